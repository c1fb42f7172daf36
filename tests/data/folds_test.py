"""Folds: every clip tested once, nothing held out is trained on."""

import numpy as np
import pytest

from dianet_jax.core import errors
from dianet_jax.data import folds

SUBJECTS = ['b', 'a', 'b', 'c', 'a', 'b', 'c']
LABELS = [0, 1, 1, 0, 2, 0, 1]


def make(**kwargs):
  return folds.leave_one_subject_out(SUBJECTS, LABELS, 3, **kwargs)


def test_every_clip_is_tested_exactly_once_a_seed():
  table = make(seeds=(0, 1))
  assert table.subjects == ('a', 'b', 'c') * 2
  assert table.seeds == (0, 0, 0, 1, 1, 1)
  for rows in (slice(0, 3), slice(3, 6)):
    tested = table.test_index[rows][table.test_valid[rows]]
    assert sorted(tested) == list(range(len(SUBJECTS)))


def test_training_clips_are_all_the_others():
  table = make()
  for fold, subject in enumerate(table.subjects):
    train = table.train_index[fold][table.train_valid[fold]]
    assert [i for i, s in enumerate(SUBJECTS) if s != subject] == list(train)


def test_padding_never_names_a_held_out_clip():
  table = make()
  for fold, subject in enumerate(table.subjects):
    assert subject not in {SUBJECTS[i] for i in table.train_index[fold]}
    assert {subject} == {SUBJECTS[i] for i in table.test_index[fold]}


def test_class_weights_come_from_training_clips_alone():
  table = make()
  # Fold a: labels 0 1 0 0 1; class 2 is absent.
  np.testing.assert_allclose(table.class_weights[0], [5 / 6, 5 / 4, 0])
  assert table.absent_classes() == [('a', 2)]
  for fold in range(len(table)):
    train = table.train_index[fold][table.train_valid[fold]]
    weights = table.class_weights[fold][np.array(LABELS)[train]]
    assert weights.mean() == pytest.approx(1)
  np.testing.assert_array_equal(
    make(balance='none').class_weights[0], [1, 1, 0]
  )


def test_a_data_set_is_held_out_whole():
  datasets = ['two', 'one', 'two', 'one', 'one', 'two', 'one']
  table = folds.leave_one_dataset_out(SUBJECTS, LABELS, 3, datasets=datasets)
  assert table.subjects == ('one', 'two')
  for fold, name in enumerate(table.subjects):
    train = {datasets[i] for i in table.train_index[fold]}
    assert train == {'one', 'two'} - {name}
    assert {name} == {datasets[i] for i in table.test_index[fold]}
  assert sorted(table.test_index[table.test_valid]) == list(range(7))
  with pytest.raises(errors.UserError, match='cross_dataset.* all are of one'):
    folds.leave_one_dataset_out(SUBJECTS, LABELS, 3, datasets=['one'] * 7)


def test_hash_is_stable():
  assert folds.stable_hash('sub01') == 3782874155


def test_select_keeps_rows_together():
  table = make()
  picked = table.select([2, 0])
  assert picked.subjects == ('c', 'a')
  np.testing.assert_array_equal(picked.test_index, table.test_index[[2, 0]])


def test_one_subject_or_one_class_cannot_be_trained():
  with pytest.raises(errors.UserError, match='two subjects'):
    folds.leave_one_subject_out(['a', 'a'], [0, 1], 2)
  with pytest.raises(errors.UserError, match='one class'):
    folds.leave_one_subject_out(['a', 'b'], [1, 1], 2)


def test_weights_by_the_effective_number_of_clips():
  counts = np.array([10, 2, 0])
  weights = folds.class_weights(counts, 'effective_number', 0.9)
  # Cui et al., eq. 4: (1 - beta^n) / (1 - beta) effective clips.
  effective = (1 - 0.9 ** np.array([10, 2])) / 0.1
  assert weights[1] / weights[0] == pytest.approx(effective[0] / effective[1])
  assert weights[2] == 0
  assert (weights * counts).sum() == pytest.approx(12)


@pytest.mark.parametrize(
  'beta,balance', [(0.0, 'none'), (1 - 1e-9, 'inverse_frequency')]
)
def test_limits_of_the_effective_number(beta, balance):
  counts = np.array([[10, 2, 5], [7, 0, 1]])
  np.testing.assert_allclose(
    folds.class_weights(counts, 'effective_number', beta),
    folds.class_weights(counts, balance),
    rtol=1e-5,
  )


NAMES = [f'{d}/{s}' for d in ('casme2', 'samm') for s in range(10)]


def test_set_aside_takes_subjects_of_every_data_set():
  for seed in range(20):
    chosen = folds.set_aside(NAMES, 0.2, seed, 'casme2/x')
    assert len(set(chosen)) == 4
    assert sum(name.startswith('samm') for name in chosen) == 2


def test_set_aside_depends_on_seed_and_fold_alone():
  one = folds.set_aside(NAMES, 0.2, 0, 'x')
  assert one == folds.set_aside(NAMES[::-1], 0.2, 0, 'x')
  others = [folds.set_aside(NAMES, 0.2, s, n) for s, n in [(1, 'x'), (0, 'y')]]
  assert one not in others


def test_set_aside_takes_and_leaves_at_least_one_subject():
  assert len(folds.set_aside(['a', 'b'], 0.9, 0, 'x')) == 1
  assert len(folds.set_aside(['a', 'b', 'c'], 0.01, 0, 'x')) == 1
  with pytest.raises(errors.UserError, match='1 training subject'):
    folds.set_aside(['a'], 0.2, 0, 'x')


def test_validation_subjects_are_neither_trained_on_nor_tested():
  table = make(validation_share=0.4, seeds=(0, 1))
  for fold, name in enumerate(table.subjects):
    sets = [
      {SUBJECTS[i] for i in getattr(table, f'{part}_index')[fold]}
      for part in ('train', 'validation', 'test')
    ]
    assert sets[2] == {name} and len(sets[1]) == 1
    assert not sets[0] & sets[1] and set.union(*sets) == set(SUBJECTS)
  assert make().validation_index.shape == (3, 0)


def test_the_width_of_training_clips_does_not_depend_on_the_seeds():
  # Without a split the widest fold trains on all but the two clips of a or c.
  widths = {
    make(validation_share=0.4, seeds=range(seeds)).train_index.shape[1]
    for seeds in range(1, 6)
  }
  assert widths == {make().train_index.shape[1]} == {5}


def test_groups_are_held_out_together():
  groups = {'ab': ('a', 'b'), 'c': ('c',)}
  table = folds.hold_out(groups, SUBJECTS, LABELS, 3)
  assert table.subjects == ('ab', 'c')
  tested = table.test_index[0][table.test_valid[0]]
  assert {SUBJECTS[i] for i in tested} == {'a', 'b'}
  assert {SUBJECTS[i] for i in table.train_index[0]} == {'c'}
