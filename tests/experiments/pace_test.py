"""Estimates of the remaining time of a study."""

import types

import numpy as np
import pytest

from dianet_jax.data import folds as folds_lib
from dianet_jax.experiments import pace


def test_the_estimate_covers_all_remaining_work():
  done = pace.Pace()
  # Before anything is known, the timed step speaks for what follows.
  assert 'about 0:01:50 for the rest' in done.remark(10.0, work=10, rest=100)
  done = pace.Pace(seconds=20.0, work=10)
  assert 'about 0:03:30 for the rest' in done.remark(10.0, work=10, rest=100)


def test_only_completed_work_changes_the_pace(monkeypatch):
  clock = iter([0.0, 1.0, 21.0, 30.0])
  monkeypatch.setattr(pace.time, 'perf_counter', lambda: next(clock))
  done = pace.Pace()
  with done.timed(0):
    pass
  assert done == pace.Pace()
  with done.timed(10):
    pass
  assert done == pace.Pace(20.0, 10)
  with pytest.raises(ValueError), done.timed(10):
    raise ValueError
  assert done.work == 10


def test_finished_trainings_are_not_estimated(make_config, tmp_path):
  config = make_config(train__epochs=3)
  folds = folds_lib.leave_one_subject_out(list('aabb'), [0, 1, 0, 1], 2)
  # Each clip has 2 x 5 and 7 input values; variants are not looked at at once.
  dataset = types.SimpleNamespace(
    inputs={'one': np.zeros((2, 4, 2, 5)), 'other': np.zeros((2, 4, 7))}
  )
  # Two folds of two training clips.
  assert pace.work(config, dataset, folds, tmp_path) == 2 * 2 * 17 * 3
  (tmp_path / 'checkpoints/seed0/a').mkdir(parents=True)
  (tmp_path / 'checkpoints/seed0/b.orbax-checkpoint-tmp-1').mkdir()
  assert pace.work(config, dataset, folds, tmp_path) == 2 * 17 * 3
