"""A finished run becomes a bundle."""

import json

import jax
import numpy as np
import pytest

from configs import megc2019
from dianet_jax.core import errors
from dianet_jax.experiments import (
  ablation,
  export,
  final,
  nested,
  run,
  trained,
  workdirs,
)
from dianet_jax.inference import folder
from tests.experiments.conftest import ROWS


@pytest.fixture
def finished(flow, make_config, tmp_path):
  config = make_config(
    megc2019, data__manual_dir=str(flow), seeds=1, train__epochs=2
  )
  run.run(config, tmp_path / 'run')
  return tmp_path / 'run'


@pytest.mark.slow
def test_a_run_becomes_a_bundle(finished, tmp_path, capsys):
  export.main([str(finished), str(tmp_path / 'bundle')])
  assert 'the networks of 5 of 6 folds' in capsys.readouterr().out
  bundle = folder.load(tmp_path / 'bundle')
  opened = trained.open_run(finished)
  dataset = run.read_dataset(opened.config)
  inputs = {name: array[0] for name, array in dataset.inputs.items()}
  subjects = sorted(set(dataset.subjects))
  chosen = [subjects[row] for row in (0, 1, 2, 4, 5)]
  expected = np.mean(
    [opened.network(0, subject).predict(inputs) for subject in chosen], axis=0
  )
  np.testing.assert_allclose(
    np.exp(bundle.log_probabilities_of(inputs)), expected, atol=1e-5
  )
  # A user's frames are aligned first, as these images were by others.
  assert bundle.data.align and bundle.data.frame_size == 224
  # One more training, on everybody.
  final_one = export.make(finished, final=True)
  assert len(final_one.members) == 1
  assert 'all subjects for 2 epochs' in final_one.facts['training']['networks']
  assert final_one.facts['result'] == bundle.facts['result']
  with pytest.raises(errors.UserError, match='the run was trained on x'):
    final.train(opened.config, {'fingerprint': 'x'}, 1, finished)


def test_a_final_network_trains_on_all_clips(flow, make_config):
  config = make_config(
    megc2019, data__manual_dir=str(flow), evaluation__ensemble=2
  )
  dataset = run.read_dataset(config)
  folds = final.everything(config, dataset, range(2))
  assert folds.seeds == (0, 1) and folds.train_valid.all()
  for index in folds.train_index:
    assert sorted(index) == list(range(len(dataset.clips)))


def test_epochs_are_the_median_of_those_chosen(make_config):
  fixed = make_config(train__epochs=7)
  assert final.epochs_of(fixed, ()) == 7
  chosen = make_config(evaluation__epochs='inner_split')
  assert final.epochs_of(chosen, (3, 40, 5)) == 5
  with pytest.raises(errors.UserError, match='No fold was trained with'):
    final.epochs_of(chosen, ())


def test_the_temperature_undoes_overconfidence():
  rng = np.random.default_rng(0)
  logits = 2 * rng.normal(size=(4000, 3))
  truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
  sharp = np.exp(3 * logits)
  sharp /= sharp.sum(axis=1, keepdims=True)
  found = export.calibrate(sharp[None], truth)
  assert found['temperature'] == pytest.approx(3, rel=0.1)
  assert found['nats_after'] < found['nats_before']


def test_a_study_needs_the_name_of_a_row(make_study, make_config, tmp_path):
  ablation, alone = tmp_path / 'ablation', tmp_path / 'alone'
  for path, config in ((ablation, make_study()), (alone, make_config())):
    path.mkdir()
    workdirs.note_config(path, config)
  for row in ('', 'third'):
    with pytest.raises(
      errors.UserError,
      match='--row=NAME, expected one of whole, Both, added, f',
    ):
      export.make(ablation, final=False, row=row)
  with pytest.raises(errors.UserError, match='not a workdir'):
    export.make(ablation, final=False, row='whole')
  with pytest.raises(errors.UserError, match='alone is not an abl'):
    export.make(alone, final=False, row='whole')


def test_a_selection_chooses_by_all_groups():
  scores = {'a': [0.9, 0.1, 0.1], 'b': [0.5, 0.5, 0.5], 'c': [0.5, 0.5, 0.5]}
  selection = {
    'candidates': [
      {'name': name, 'uf1_without_group': values}
      for name, values in scores.items()
    ]
  }
  assert nested.choose(selection) == 'b'


@pytest.mark.slow
def test_a_row_of_an_ablation_becomes_a_bundle(make_study, tmp_path):
  config = make_study(study__rows=ROWS[1:])
  ablation.run(config, tmp_path / 'study')
  bundle = export.make(tmp_path / 'study', final=False, row='Both, added')
  alone = export.make(tmp_path / 'study' / 'both-added', final=False)
  assert bundle.model.fusion == 'add' and bundle.name == 'Both, added'
  jax.tree.map(np.testing.assert_array_equal, bundle.members, alone.members)
  folder.save(bundle, tmp_path / 'bundle')
  card = (tmp_path / 'bundle' / 'README.md').read_text()
  assert 'is Both, added, one of 2 rows of an ablation. If it was' in card


@pytest.mark.slow
def test_what_a_selection_chooses_becomes_a_bundle(make_study, tmp_path):
  config = make_study(
    study__kind='nested', study__groups=3, study__rows=ROWS[1:]
  )
  workdir = tmp_path / 'study'
  nested.run(config, workdir)
  selection = json.loads((workdir / 'selection.json').read_text())

  def choose(scores, names):
    for candidate, values in zip(selection['candidates'], scores):
      candidate['uf1_without_group'] = values
    for group, name in zip(selection['groups'], names):
      group['chosen'] = name
    (workdir / 'selection.json').write_text(json.dumps(selection))

  names = [candidate['name'] for candidate in selection['candidates']]
  choose([[0.1] * 3, [0.2] * 3], [names[1], names[1], names[0]])
  with pytest.raises(
    errors.UserError, match=f'several.*{names[1]}, {names[0]}'
  ):
    export.make(workdir, final=False)
  bundle = export.make(workdir, final=True)
  assert bundle.name == names[1] and len(bundle.members) == 1
  assert bundle.data.phases == ('onset_apex',)
  training = bundle.facts['training']
  assert 'all subjects for 1 epochs' in training['networks']
  assert f'{names[1]}, chosen among 2' in training['choice']
  summary = workdirs.load_summary(workdir)
  mean = bundle.facts['result']['uf1']['mean']
  assert mean == summary['overall']['uf1']['mean']
