"""Nested selection: the better candidate wins, and nothing leaks."""

import contextlib
import dataclasses
import json

import jax
import numpy as np
import pytest

from dianet_jax.core import errors
from dianet_jax.data import dataset as data_lib
from dianet_jax.evaluation import metrics
from dianet_jax.experiments import nested, pace, rows, workdirs
from dianet_jax.training import checkpoints, saved_folds
from dianet_jax.training import parallel as parallel_lib
from dianet_jax.training import results as results_lib
from tests.support.slow import slow

NAMES = [f'casme2/{s}' for s in range(6)] + [f'samm/{s}' for s in range(9)]


def test_groups_are_of_equal_size_and_mixed():
  rng = np.random.default_rng(0)
  clips = rng.integers(1, 12, len(NAMES))
  subjects = np.repeat(NAMES, clips).tolist()
  groups = nested.group_subjects(subjects, 3)
  assert sorted(name for group in groups for name in group) == sorted(NAMES)
  sizes = [sum(subjects.count(n) for n in group) for group in groups]
  assert max(sizes) - min(sizes) <= 12
  for group in groups:
    assert {name.split('/')[0] for name in group} == {'casme2', 'samm'}
  assert groups == nested.group_subjects(subjects[::-1], 3)
  with pytest.raises(errors.UserError, match='groups=16, but there are 15'):
    nested.group_subjects(subjects, 16)


def result(pair, clips, guesses, seed=0):
  return results_lib.FoldResult(
    pair, seed, {}, np.zeros(1), np.zeros(1), np.array(clips),
    np.eye(2)[guesses],
  )  # fmt: skip


def test_a_score_uses_models_and_clips_without_the_group():
  # Two clips a group; each pair's model is right or wrong in a way of its own.
  group_of_clip = np.array([0, 0, 1, 1, 2, 2])
  labels = np.array([0, 1, 0, 1, 0, 1])
  pairs = nested.pairs([(), (), ()])
  assert list(pairs.values()) == [(0, 1), (0, 2), (1, 2)]
  first, second, third = pairs
  results = [
    result(first, [0, 1, 2, 3], [0, 1, 0, 0]),
    result(second, [0, 1, 4, 5], [1, 0, 0, 1]),
    result(third, [2, 3, 4, 5], [1, 1, 0, 1]),
  ]
  found = nested.scores(results, pairs, group_of_clip, labels)
  guesses = {
    # Group 1 by the model without 0 and 1, group 2 by that without 0 and 2.
    0: ([0, 1, 0, 1], [0, 0, 0, 1]),
    1: ([0, 1, 0, 1], [0, 1, 0, 1]),
    2: ([0, 1, 0, 1], [1, 0, 1, 1]),
  }
  for group, (truth, guess) in guesses.items():
    confusion = metrics.confusion_matrix(np.array(truth), np.array(guess), 2)
    assert found[group] == pytest.approx(metrics.uf1(confusion))
  # A second seed, all wrong, takes half of it.
  results += [
    result(r.subject, r.test_index, 1 - labels[r.test_index], seed=1)
    for r in results
  ]
  both = nested.scores(results, pairs, group_of_clip, labels)
  np.testing.assert_allclose(both, found / 2)


CANDIDATES = (
  'frozen: train.learning_rate=1e-9',
  'default: train.learning_rate=5e-3',
)


@pytest.fixture
def make(make_study):
  def make_nested(**overrides):
    overrides = {
      'study__kind': 'nested',
      'study__rows': CANDIDATES,
      'study__groups': 3,
      'train__epochs': 6,
      'data__image_size': 12,
      'train__augment__shift_pixels': 0,
      'model__fusion': 'concat',
      'model__widths': (8, 8),
      'model__dropout': 0.0,
    } | overrides
    return make_study(**overrides)

  return make_nested


@pytest.fixture
def planted(monkeypatch):
  """Clips whose class is visible; `planted[...]` corrupts some of them."""
  corruption = {'subjects': set()}

  def load(config, seed, reads, load=data_lib.load):
    dataset = load(config, seed, reads)
    [(name, images)] = dataset.inputs.items()
    rng = np.random.default_rng(0)
    # [variant, clip, view, height, width, channel].
    images = 20 * rng.normal(size=images.shape).astype(np.float32)
    size = images.shape[3] // 3
    # Every subject has a clip of each class.
    subjects = dataset.subjects
    labels = np.array([subjects[:i].count(s) for i, s in enumerate(subjects)])
    for index, label in enumerate(labels):
      images[:, index, :, label * size : (label + 1) * size] += 100
    bad = np.isin(dataset.subjects, list(corruption['subjects']))
    noise = np.random.default_rng(1).normal(size=images.shape)
    images[:, bad] = noise[:, bad]
    labels[bad] = (labels[bad] + 1) % 3
    return dataclasses.replace(dataset, inputs={name: images}, labels=labels)

  monkeypatch.setattr(data_lib, 'load', load)
  return corruption


@pytest.mark.slow
def test_the_better_candidate_is_chosen(make, planted, tmp_path, capsys):
  config = make()
  summary = nested.run(config, tmp_path / 'clean')
  selection = json.loads((tmp_path / 'clean' / 'selection.json').read_text())
  assert [group['chosen'] for group in selection['groups']] == ['default'] * 3
  assert summary['chosen'] == selection['groups']
  assert summary['overall']['n'] == 18 and summary['folds'] == 6
  frozen, default = (
    np.array(c['uf1_without_group']) for c in selection['candidates']
  )
  assert (default > frozen + 0.1).all()
  shown = capsys.readouterr().out
  assert 'Candidate 2 of 2: default' in shown
  # Two of the selection, one of what was chosen.
  assert shown.count('for the rest of the study') == 3
  done = (tmp_path / 'clean/selection').glob('*/checkpoints/*/*')
  assert len(list(done)) == 6
  # Seeds of the selection are not those of the result.
  assert (tmp_path / 'clean/selection/default/checkpoints/seed1').is_dir()
  assert (tmp_path / 'clean/chosen/default/checkpoints/seed0').is_dir()

  nested.run(config, tmp_path / 'clean')
  again = capsys.readouterr().out
  assert 'This study is finished' in again and 'default' in again


@pytest.mark.parametrize('how_many', [*slow('one subject'), 'its whole group'])
def test_nothing_leaks(make, planted, tmp_path, how_many):
  config = make(train__epochs=2, model__widths=(8,))
  nested.run(config, tmp_path / 'clean')
  selection = json.loads((tmp_path / 'clean' / 'selection.json').read_text())
  group = 1
  subjects = selection['groups'][group]['subjects']
  whole = how_many == 'its whole group'
  planted['subjects'] = set(subjects if whole else subjects[:1])
  nested.run(config, tmp_path / 'spoiled')
  other = json.loads((tmp_path / 'spoiled' / 'selection.json').read_text())
  assert other['groups'][group] == selection['groups'][group]
  changed = False
  for one, two in zip(selection['candidates'], other['candidates']):
    clean, spoiled = one['uf1_without_group'], two['uf1_without_group']
    # Bit for bit for the group itself; the others must notice.
    assert clean[group] == spoiled[group]
    changed |= clean != spoiled
  assert changed
  if whole:
    return
  # Nor does the subject reach the network that predicts it. The network of
  # the group's other subject was trained on it, by the same configuration: so
  # a leak would show.
  chosen = selection['groups'][group]['chosen']
  held_out, seen = (
    [weights(tmp_path / name / 'chosen' / chosen, subject)
     for name in ('clean', 'spoiled')]
    for subject in subjects[:2]
  )  # fmt: skip
  jax.tree.map(np.testing.assert_array_equal, *held_out)
  different = jax.tree.map(lambda one, two: (one != two).any(), *seen)
  assert all(jax.tree.leaves(different['params']))


def weights(workdir, subject):
  """The variables of the finished fold that holds out `subject`."""
  with contextlib.closing(checkpoints.Checkpoints(workdir)) as saved:
    variables = saved.load_variables(0, subject)
  assert jax.tree.leaves(variables)
  return variables


@pytest.mark.slow
def test_resuming_selects_the_same(make, planted, tmp_path, monkeypatch):
  config = make(train__epochs=1)
  before = nested.run(config, tmp_path)
  predictions = (tmp_path / 'predictions.csv').read_bytes()
  selection_json = (tmp_path / 'selection.json').read_bytes()
  (tmp_path / 'metrics.json').unlink()
  # All trainings were done: nothing may be compiled or trained.
  monkeypatch.setattr(parallel_lib.FoldParallel, 'train', None)
  after = nested.run(config, tmp_path)
  assert (tmp_path / 'predictions.csv').read_bytes() == predictions
  assert (tmp_path / 'selection.json').read_bytes() == selection_json
  assert after['overall'] == before['overall']


@pytest.mark.parametrize(
  'row', ['x: seeds=2', 'x: evaluation.epochs=inner_split', 'x: seed=4']
)
def test_settings_that_candidates_must_share(make, row):
  with pytest.raises(errors.UserError, match='must be the same for all rows'):
    rows.parse(make(study__rows=(row,)))


def test_other_clips_are_refused_before_training(make, tmp_path, monkeypatch):
  monkeypatch.setattr(parallel_lib.FoldParallel, 'train', None)
  texts = (*CANDIDATES, 'x: data.permute_labels=true')
  with pytest.raises(
    errors.UserError, match="'x': its labels differ from those"
  ):
    nested.run(make(study__rows=texts, train__epochs=1), tmp_path / 'run')


@pytest.mark.slow
def test_chosen_candidates_may_differ_in_epochs(make, tmp_path, monkeypatch):
  texts = ('short: train.epochs=1', 'long: train.epochs=2')
  values = iter([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
  monkeypatch.setattr(nested, 'scores', lambda *args: np.array(next(values)))
  summary = nested.run(make(study__rows=texts), tmp_path / 'run')
  assert [group['chosen'] for group in summary['chosen']] == [
    'short', 'long', 'long'
  ]  # fmt: skip
  assert summary['overall']['n'] == 18
  assert '<svg' in (tmp_path / 'run' / 'report.html').read_text()
  for name, trainings in (('short', 2), ('long', 4)):
    place = tmp_path / 'run' / 'chosen' / name
    assert saved_folds.finished(place) == trainings
    assert workdirs.load_config(place).train.epochs == int(name == 'long') + 1


@pytest.mark.slow
def test_remains_of_a_killed_write_are_removed(make, tmp_path, monkeypatch):
  config = make(train__epochs=1)
  # The last candidate is chosen for every group.
  rising = iter(np.arange(len(CANDIDATES), dtype=float))
  monkeypatch.setattr(nested, 'scores', lambda *_: np.full(3, next(rising)))
  run = tmp_path / 'run'
  left = [
    run / kind / 'default/checkpoints/seed0/x.orbax-checkpoint-tmp-1'
    for kind in ('selection', 'chosen')
  ]
  for path in left:
    path.mkdir(parents=True)
  nested.run(config, run)
  assert not left[0].exists() and not left[1].exists()


def test_what_was_chosen_under_other_settings_is_refused(
  make, tmp_path, monkeypatch
):
  monkeypatch.setattr(parallel_lib.FoldParallel, 'train', None)
  place = tmp_path / 'chosen' / 'default'
  place.mkdir(parents=True)
  workdirs.note_config(place, make(train__epochs=3))
  with pytest.raises(
    errors.UserError, match='chosen/default contains a run of'
  ):
    nested.run(make(train__epochs=1), tmp_path)
