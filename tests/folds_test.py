"""Folds: every clip tested once, nothing held out is trained on."""

import numpy as np
import pytest

from dianet_jax import errors, folds

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
