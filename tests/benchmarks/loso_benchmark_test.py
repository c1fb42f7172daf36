"""The benchmark compares networks of the same size."""

import dataclasses

import numpy as np
import pytest

from benchmarks import loso

SMALL = dataclasses.replace(
  loso.CASES['compact, 28 px'], clips=12, subjects=3, epochs=1
)


@pytest.mark.parametrize('name', loso.CASES)
def test_networks_have_equally_many_parameters(name):
  pytest.importorskip('torch')
  # As many clips as subjects: the data are not what is tested.
  case = dataclasses.replace(loso.CASES[name], clips=6, subjects=3)
  assert loso.Ours(case, 1).count() == loso.PyTorch(case).count()


def test_the_peer_trains_and_predicts():
  torch = pytest.importorskip('torch')
  from benchmarks.peers import loso_torch

  images, labels = SMALL.data()
  images = torch.from_numpy(images.transpose(0, 1, 4, 2, 3).copy())
  probabilities = loso_torch.train_fold(
    SMALL, images, torch.from_numpy(labels).long(), 1
  )
  assert probabilities.shape == (4, 3)
  np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
def test_ours_trains_a_fold_on_each_device():
  ours = loso.Ours(SMALL, 2)
  assert ours.at_once == 2
  assert ours.train(3) == 3


@pytest.mark.parametrize('name', loso.CASES)
def test_steps_of_a_case(name):
  case = loso.CASES[name]
  kept = [int((~case.held_out(fold)).sum()) for fold in range(case.subjects)]
  assert sum(case.clips - number for number in kept) == case.clips
  assert -(-max(kept) // 32) == case.steps_per_epoch


def test_the_median_stands_with_the_least_and_the_largest():
  assert loso.spread([1.0, 3.0, 1.5]) == '1.50 (1.00 to 3.00)'
