"""Folds do not leak or communicate, and do not depend on their devices."""

import functools
import re

import jax
import numpy as np
import pytest

from dianet_jax.core import errors
from dianet_jax.data import folds as folds_lib
from tests.support.slow import slow
from tests.support.small_folds import (
  DATASETS,
  INNER,
  NUM_CLIPS,
  OPTIONS,
  SUBJECTS,
  assert_identical,
  assert_same_arrays,
  clips,
  run,
  shared_programs,
  users_programs,
)


@pytest.mark.slow
@pytest.mark.parametrize('strategy', ['loop', 'unroll', 'map', 'vmap'])
def test_any_number_of_devices_gives_the_same_result(run, strategy):
  # Up to rounding: bits are promised on as many devices of one kind.
  one = run(devices=1, strategy=strategy, folds_per_device=1)
  assert [subject for _, subject in one] == list('abcde')
  for devices, each in (2, 2), (4, 1):
    other = run(devices=devices, strategy=strategy, folds_per_device=each)
    assert one.keys() == other.keys()
    for key in one:
      np.testing.assert_allclose(
        one[key].probabilities, other[key].probabilities, atol=1e-4
      )


@pytest.mark.usefixtures('users_programs')
@pytest.mark.slow
def test_order_and_grouping_of_folds_do_not_matter(run):
  everything = run(devices=2, seeds=(0, 1))
  few = run(devices=2, rows=[8, 3], seeds=(0, 1))
  assert list(few) == [(1, 'd'), (0, 'd')]
  for key, result in few.items():
    assert_identical(result, everything[key])


@pytest.mark.slow
def test_seeds_and_subjects_differ(run):
  results = run(devices=4, rows=[0, 1, 5], seeds=(0, 1))
  kernels = {
    leaf.tobytes()
    for result in results.values()
    for leaf in jax.tree.leaves(result.variables['params']['classifier'])
    if leaf.ndim > 1
  }
  assert len(kernels) == 3


@pytest.mark.usefixtures('users_programs')
@pytest.mark.parametrize('corruption', ['noise', 'nan', 'labels'])
def test_the_held_out_subject_has_no_influence(run, clips, corruption):
  held_out = np.array([subject == 'c' for subject in SUBJECTS])
  images, labels = corrupt(clips, held_out, corruption)
  clean = run.training_of_one(devices=1, rows=[2])
  corrupted = run.training_of_one(images, labels, devices=1, rows=[2])
  assert_same_arrays(clean, corrupted)
  assert np.isfinite(clean.history.loss).all()


@pytest.mark.usefixtures('users_programs')
@pytest.mark.parametrize('corruption', ['noise', 'nan', 'labels'])
def test_the_test_data_set_has_no_influence(run, clips, corruption):
  options = {
    'devices': 1,
    'rows': [1],
    'make_folds': functools.partial(
      folds_lib.leave_one_dataset_out, datasets=DATASETS
    ),
  }
  held_out = np.array([dataset == 'two' for dataset in DATASETS])
  images, labels = corrupt(clips, held_out, corruption)
  clean = run.training_of_one(**options)
  corrupted = run.training_of_one(images, labels, **options)
  assert_same_arrays(clean, corrupted)
  # Of the other data set something would be seen.
  images, labels = corrupt(clips, ~held_out, 'noise')
  other = run.training_of_one(images, labels, **options)
  with pytest.raises(AssertionError):
    assert_same_arrays(clean.state.params, other.state.params)


def corrupt(clips, held_out, corruption):
  images, labels = (array.copy() for array in clips)
  if corruption == 'noise':
    noise = np.random.default_rng(1).normal(size=images.shape)
    images[held_out] = noise[held_out]
  elif corruption == 'nan':
    images[held_out] = np.nan
  else:
    labels[held_out] = (labels[held_out] + 1) % 3
  return images, labels


def test_corrupting_a_training_subject_is_noticed(run, clips):
  # The test above would be worthless if nothing could change parameters.
  images = clips[0].copy()
  images[0] += 1
  clean, other = run(devices=1, rows=[2]), run(images, devices=1, rows=[2])
  with pytest.raises(AssertionError):
    assert_identical(clean[0, 'c'], other[0, 'c'])


def test_every_clip_is_predicted_once(run):
  results = run(devices=4)
  tested = np.concatenate([r.test_index for r in results.values()])
  assert sorted(tested) == list(range(NUM_CLIPS))
  for result in results.values():
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert result.loss.shape == result.accuracy.shape == (2,)


COLLECTIVE = re.compile(
  'all-(reduce|gather|to-all)|reduce-scatter|collective-(permute|broadcast)'
)


@pytest.mark.parametrize('strategy', ['loop', *slow('unroll', 'map', 'vmap')])
def test_no_program_has_a_collective(run, strategy):
  program, folds = run.make(
    devices=4,
    strategy=strategy,
    overrides={'evaluation__epochs': 'inner_split'},
  )
  programs = program.compile(folds)
  assert programs.keys() >= {'predict', 'keep_best'}
  assert 'epoch' in programs or {'gather', 'step'} <= programs.keys()
  for compiled in programs.values():
    assert not COLLECTIVE.search(compiled.as_text())


def test_a_collective_would_be_detected():
  total = jax.pmap(lambda x: jax.lax.psum(x, 'device'), axis_name='device')
  assert COLLECTIVE.search(total.lower(np.ones(4)).compile().as_text())


@pytest.mark.parametrize('strategy', ['loop', *slow('map')])
def test_an_epoch_transfers_nothing_from_the_host(run, strategy, monkeypatch):
  program, folds = run.make(devices=2, strategy=strategy)
  group = program._begin(folds, [0, 1], {})
  program._run_epoch(group.state, group.fold)
  # The training state was given away, not copied.
  assert jax.tree.leaves(group.state.params)[0].is_deleted()
  group = program._begin(folds, [0, 1], {})
  on_host = group.fold.replace(train_valid=np.array(group.fold.train_valid))
  with pytest.raises(Exception, match='Disallowed host-to-device transfer'):
    program._run_epoch(group.state, on_host)


def test_too_many_devices(run):
  with pytest.raises(errors.UserError, match='jax sees 4 cpu'):
    run(devices=5)


@pytest.mark.usefixtures('users_programs')
@pytest.mark.parametrize('corruption', ['noise', 'nan', 'labels'])
def test_the_held_out_subject_does_not_choose_the_epoch(run, clips, corruption):
  held_out = np.array([subject == 'c' for subject in SUBJECTS])
  images, labels = corrupt(clips, held_out, corruption)
  settings = {'devices': 1, 'rows': [2], 'overrides': OPTIONS}
  clean = run.training_of_one(**settings)
  corrupted = run.training_of_one(images, labels, **settings)
  assert_same_arrays(clean, corrupted)
  assert np.isfinite(clean.history.validation_loss).all()


@pytest.mark.usefixtures('users_programs')
@pytest.mark.slow
@pytest.mark.parametrize('strategy', ['loop', 'map', 'vmap'])
def test_the_epoch_with_the_lowest_validation_loss_predicts(run, strategy):
  # Steps too long: the best epoch is not always the last.
  settings = INNER | {
    'evaluation__oracle': True,
    'train__learning_rate': 0.02,
  }
  results = run(devices=2, strategy=strategy, overrides=settings)
  for result in results.values():
    assert result.validation_loss.shape == (3,)
    best = result.epoch - 1
    assert result.validation_loss[best] == result.validation_loss.min()
    np.testing.assert_array_equal(
      result.probabilities, result.oracle_probabilities[best]
    )
  assert {result.epoch for result in results.values()} != {3}


@pytest.mark.usefixtures('users_programs')
def test_validation_clips_are_not_trained_on(run, clips):
  folds = folds_lib.leave_one_subject_out(
    SUBJECTS, clips[1], 3, validation_share=0.3
  )
  images = clips[0].copy()
  images[folds.validation_index[2]] += 1
  settings = {'devices': 1, 'rows': [2], 'overrides': INNER}
  clean, other = (run(i, **settings)[0, 'c'] for i in (clips[0], images))
  assert_identical(clean, other, ('loss', 'accuracy'))
  assert (clean.validation_loss != other.validation_loss).all()


@pytest.mark.usefixtures('users_programs')
@pytest.mark.parametrize('overrides', [{}, INNER], ids=['fixed', 'inner'])
@pytest.mark.parametrize('strategy', ['loop', *slow('map')])
def test_the_oracle_does_not_change_the_result(run, overrides, strategy):
  settings = {'devices': 1, 'strategy': strategy, 'rows': [0, 2]}
  plain = run(overrides=overrides, **settings)
  oracle = run(overrides=overrides | {'evaluation__oracle': True}, **settings)
  for key, result in plain.items():
    assert result.oracle_probabilities is None
    fields = ('variables', 'probabilities', 'loss', 'validation_loss')
    assert_identical(result, oracle[key], fields)
    shape = (len(result.loss), *result.probabilities.shape)
    assert oracle[key].oracle_probabilities.shape == shape


@pytest.mark.usefixtures('users_programs')
@pytest.mark.parametrize('strategy', ['loop', *slow('map', 'vmap')])
def test_a_single_remaining_fold_is_bit_identical(run, strategy):
  """As many folds train at once in a resumed run as in one never stopped."""
  settings = {'devices': 1, 'strategy': strategy, 'overrides': OPTIONS}
  everything, left = run(**settings), run(rows=[3], **settings)
  fields = ('variables', 'probabilities', 'validation_loss')
  assert_identical(left[0, 'd'], everything[0, 'd'], fields)


@pytest.mark.slow
@pytest.mark.usefixtures('users_programs')
@pytest.mark.parametrize('phases', [1, 2])
@pytest.mark.parametrize('sampling', ['all', 'random_one'])
def test_each_phase_in_parallel(run, clips, phases, sampling):
  overrides = {
    'model__fusion': 'each_phase',
    'model__share_backbone': True,
    'model__phase_sampling': sampling,
  }
  images = clips[0][:, :phases].copy()
  images[1::5, 0] = 0
  settings = {'devices': 1, 'overrides': overrides}
  results = run(images, rows=[0, 1], **settings)
  for result in results.values():
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert np.isfinite(result.loss).all()
  # Draws depend on the fold and the step, and not on other folds.
  for row, (key, result) in enumerate(results.items()):
    alone = run(images, rows=[row], **settings)
    assert_identical(alone[key], result, ('variables', 'probabilities', 'loss'))
