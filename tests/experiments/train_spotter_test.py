"""A spotter is evaluated on people that it was not trained on."""

import dataclasses

import jax
import numpy as np
import pytest

from dianet_jax.clips import intervals
from dianet_jax.core import errors
from dianet_jax.data import folds as folds_lib
from dianet_jax.evaluation import spotting, thresholds
from dianet_jax.experiments import train_spotter
from dianet_jax.inference import learned
from dianet_jax.models import movement_network
from tests.support import measured


@pytest.fixture(autouse=True)
def quick(monkeypatch):
  recommended = movement_network.MovementNetwork.recommended
  monkeypatch.setattr(
    movement_network.MovementNetwork,
    'recommended',
    recommended | {'train.epochs': 6, 'train.batch_size': 64},
  )


def videos(seeds):
  return [
    train_spotter.MeasuredVideo(*measured.acted(subject, seed), measured.GRID)
    for subject, seed in seeds
  ]


SEEDS = [('a', 0), ('a', 1), ('b', 2), ('b', 3), ('c', 4), ('c', 5)]


def test_a_step_has_the_class_of_its_interval():
  [one] = videos([('a', 0)])
  _, labels = train_spotter.samples_of(one)
  for item in one.labelled.truth:
    class_ = learned.CLASSES.index(item.interval.kind)
    assert (labels == class_).sum() == len(item.interval)
  inside = sum(len(item.interval) for item in one.labelled.truth)
  assert (labels == 0).sum() == pytest.approx((600 - inside) / 3, abs=2)


@pytest.mark.slow
def test_who_is_left_out_changes_nothing_of_his_network():
  networks = []
  for last in (5, 9):
    samples = train_spotter.all_samples(videos([*SEEDS[:-1], ('c', last)]))
    folds = folds_lib.leave_one_subject_out(
      samples.subjects, samples.labels, 3, balance='none'
    )
    networks.append(train_spotter.train(samples, folds))
  for name, same in (('c', True), ('a', False)):
    pairs = zip(*(jax.tree.leaves(one[name]) for one in networks), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs) == same


@pytest.mark.slow
def test_a_spotter_learns_and_is_kept(tmp_path):
  _, result = train_spotter.run(videos(SEEDS), tmp_path, 'nobody')
  assert result['as_given']['both']['misses'] <= 2
  assert result['leave_one_subject_out']['both']['f1'] > 0.5
  spotter = learned.load(tmp_path / 'spotter.safetensors')
  assert spotter.trained_on == 'nobody' and 0 < spotter.threshold < 1
  assert len(intervals.read(tmp_path / 'intervals.csv')) == len(SEEDS)


def test_one_threshold_for_both_kinds_is_the_best_of_all():
  scores = {'micro': 0.6, 'macro': 0.4}
  labelled = [one.labelled for one in videos(SEEDS)]
  predicted = [
    dataclasses.replace(
      video,
      found=tuple(
        spotting.Expression(
          dataclasses.replace(item.interval, score=scores[item.interval.kind])
        )
        for item in video.truth
      ),
    )
    for video in labelled
  ]
  assert thresholds.common(predicted) == 0.4
  with pytest.raises(errors.UserError, match='No threshold'):
    thresholds.common(labelled)
