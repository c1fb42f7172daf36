"""A finished run becomes a bundle."""

import numpy as np
import pytest

from configs import megc2019
from dianet_jax.core import errors
from dianet_jax.experiments import export, final, run, trained
from dianet_jax.inference import folder
from tests.data.dataset_test import write_flow
from tests.experiments.run_test import flow_rows


@pytest.fixture(scope='module')
def flow(tmp_path_factory):
  return write_flow(tmp_path_factory.mktemp('flow'), flow_rows())


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
  summary_of_other_data = {'data_fingerprint': 'x', 'evaluation': {}}
  with pytest.raises(errors.UserError, match='the run was made of x'):
    final.train(opened.config, summary_of_other_data, finished)


def test_nobody_is_held_out(flow, make_config):
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
  assert final.epochs_of(fixed, {}) == 7
  chosen = make_config(evaluation__epochs='inner_split')
  summary = {'evaluation': {'chosen': [{'epoch': e} for e in (3, 40, 5)]}}
  assert final.epochs_of(chosen, summary) == 5


def test_the_temperature_undoes_overconfidence():
  rng = np.random.default_rng(0)
  logits = 2 * rng.normal(size=(4000, 3))
  truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
  sharp = np.exp(3 * logits)
  sharp /= sharp.sum(axis=1, keepdims=True)
  found = export.calibrate(sharp[None], truth)
  assert found['temperature'] == pytest.approx(3, rel=0.1)
  assert found['nats_after'] < found['nats_before']


def test_a_study_is_refused(tmp_path, monkeypatch):
  class Opened:
    class config:
      class study:
        kind = 'ablation'

  monkeypatch.setattr(export.trained, 'open_run', lambda _: Opened)
  with pytest.raises(errors.UserError, match='is a study'):
    export.make(tmp_path, final=False)
