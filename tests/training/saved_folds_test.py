"""Counts of saved trainings in workdirs of runs and studies."""

import pytest

from dianet_jax.training import saved_folds


@pytest.mark.parametrize('below', ['.', 'row', 'chosen/row'])
def test_finished_and_unfinished_trainings_are_counted(tmp_path, below):
  assert saved_folds.sentence(tmp_path) == 'no training was saved'
  place = tmp_path / below
  for path in (
    'checkpoints/seed0/a',
    'checkpoints/seed1/a',
    'checkpoints/seed0/b.orbax-checkpoint-tmp-1',
    'unfinished/seed0/c/12',
    'unfinished/seed0/c/13',
    # Nothing whole yet.
    'unfinished/seed0/d/12.orbax-checkpoint-tmp-1',
  ):
    (place / path).mkdir(parents=True)
  assert (saved_folds.finished(place), saved_folds.begun(place)) == (2, 1)
  assert saved_folds.sentence(tmp_path) == (
    f'2 finished and 1 unfinished training(s) are saved in {tmp_path}, and the'
    ' same command resumes them'
  )
