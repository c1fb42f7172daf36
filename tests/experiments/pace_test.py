"""Estimates of the remaining time of a study."""

import types

import numpy as np
import pytest

from configs import megc2019
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


def data():
  # Variants are not looked at at once.
  images = np.zeros((2, 4, 2, 28, 28, 3), np.float32)
  return types.SimpleNamespace(
    classes=('a', 'b', 'c'), inputs={'phase_flow': images}
  )


def test_work_is_what_the_network_computes(make_config, tmp_path):
  folds = folds_lib.leave_one_subject_out(list('aabb'), [0, 1, 0, 1], 2)
  narrow, wide = (
    pace.work(
      make_config(
        model__name='ststnet', model__filters=filters, train__epochs=3
      ),
      data(),
      folds,
      tmp_path,
    )
    for filters in ((1, 1, 2), (10, 10, 20))
  )
  # Two folds of two clips; 30 x 30 pixels, of 3 x 3 x 3 values by each filter.
  convolution = 2 * 2 * 3 * (30 * 30 * 27 * 4 * 2)
  # On a CPU it is a product that has zeros, too.
  assert convolution < narrow < 3 * convolution
  assert wide / narrow == pytest.approx(10, rel=0.1)


def test_finished_trainings_are_not_estimated(make_config, tmp_path):
  config = make_config(model__name='ststnet', train__epochs=3)
  folds = folds_lib.leave_one_subject_out(list('aabb'), [0, 1, 0, 1], 2)
  whole = pace.work(config, data(), folds, tmp_path)
  (tmp_path / 'checkpoints/seed0/a').mkdir(parents=True)
  (tmp_path / 'checkpoints/seed0/b.orbax-checkpoint-tmp-1').mkdir()
  assert pace.work(config, data(), folds, tmp_path) == whole / 2
  (tmp_path / 'checkpoints/seed0/b').mkdir()
  assert pace.work(config, data(), folds, tmp_path) == 0


def test_a_part_that_is_not_trained_is_no_work(make_config, tmp_path):
  folds = folds_lib.leave_one_subject_out(list('aabb'), [0, 1, 0, 1], 2)
  images = np.zeros((1, 4, 2, 28, 28, 3), np.float32)
  dataset = types.SimpleNamespace(
    classes=('a', 'b', 'c'), inputs={'long_term_flow': images}
  )
  frozen, whole = (
    pace.work(
      make_config(
        megc2019,
        model__name='slstt',
        data__inputs=('phase_flow',),
        model__patch=7,
        model__depth=1,
        model__normalise='none',
        model__pretrained='vit.pth',
        model__encoder=encoder,
        train__augment__flip_probability=0.0,
        train__augment__shift_pixels=0,
      ),
      dataset,
      folds,
      tmp_path,
    )
    for encoder in ('auto', 'finetune')
  )
  assert 0 < frozen < whole / 2
