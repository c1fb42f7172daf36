"""The mean of the systems of a kept leaderboard."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from benchmarks import ensemble
from dianet_jax.core import errors
from dianet_jax.evaluation import predictions

KEPT = pathlib.Path(__file__).parents[2] / 'benchmarks/results/zoo-megc2019'


def test_systems_take_part_and_variants_do_not(tmp_path):
  rows = json.loads((KEPT / 'ablation.json').read_text())['rows']
  folder = str(KEPT / 'dianet')
  chosen = ['DIANet', 'STSTNet', 'DIANet, dual add', 'STSTNet, own recipe']
  for row in rows:
    row.pop('folder', None)
    if row['name'] in chosen:
      row['folder'] = folder
  (tmp_path / 'ablation.json').write_text(json.dumps({'rows': rows}))
  assert list(ensemble.members(tmp_path)) == ['DIANet', 'STSTNet']


def test_it_is_the_mean_of_the_probabilities():
  runs = {name: predictions.load(KEPT / name) for name in ('dianet', 'ststnet')}
  found = ensemble.mean(runs)
  one, other = (run.probabilities for run in runs.values())
  np.testing.assert_allclose(found.probabilities, (one + other) / 2)
  most = found.probabilities.argmax(axis=-1)
  np.testing.assert_array_equal(found.predictions, most)
  assert found.clips == runs['dianet'].clips


def test_as_many_seeds_as_all_have():
  runs = {name: predictions.load(KEPT / name) for name in ('dianet', 'ststnet')}
  one = runs['ststnet']
  first = dataclasses.replace(
    one,
    seeds=one.seeds[:1],
    predictions=one.predictions[:1],
    probabilities=one.probabilities[:1],
  )
  assert len(one.seeds) == 3
  found = ensemble.mean(runs | {'ststnet': first})
  np.testing.assert_array_equal(
    found.probabilities, ensemble.mean(runs).probabilities[:1]
  )


def test_seeds_become_one_prediction():
  run = predictions.load(KEPT.parent / 'megc2019')
  found = ensemble.of_seeds(run)
  assert len(run.seeds) == 3 and len(found.seeds) == 1
  np.testing.assert_allclose(found.probabilities[0], run.probabilities.mean(0))
  most = run.probabilities.mean(axis=0).argmax(axis=-1)
  np.testing.assert_array_equal(found.predictions[0], most)


def test_another_folder_is_refused(tmp_path):
  with pytest.raises(errors.UserError, match='ablation.json does not exist'):
    ensemble.members(tmp_path)
