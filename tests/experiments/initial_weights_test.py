"""Runs that start from a file of weights record it and resume with no other."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors

from configs import megc2019
from dianet_jax.core import errors
from dianet_jax.experiments import (
  configuration,
  export,
  initial_weights,
  run,
  trained,
  workdirs,
)
from dianet_jax.inference import folder
from dianet_jax.models import pretrained
from dianet_jax.training import build
from tests.experiments.run_test import flow, flow_config


@pytest.fixture
def short_config(flow_config):
  def make(**overrides):
    # So small a rate that no weight changes.
    short = {'seeds': 1, 'train__epochs': 1, 'train__learning_rate': 1e-35}
    return flow_config(**short | overrides)

  return make


@pytest.fixture
def weights(short_config, tmp_path):
  """Random weights of the whole network in a file of our own layout."""
  config = short_config()
  dataset = run.read_dataset(config)
  model = build.make_trainer(config, 3, dataset.channels, 1, None).model
  inputs = {
    name: jax.ShapeDtypeStruct(values.shape[2:], 'float32')
    for name, values in dataset.inputs.items()
  }
  rng = np.random.default_rng(0)
  entries = {
    '0/' + name.replace('.', '/'): rng.uniform(0.5, 1, spec.shape).astype('f4')
    for name, spec in pretrained._shapes(model, inputs).items()
  }
  path = tmp_path / 'weights.safetensors'
  safetensors.save_file(entries, path)
  return path


def test_the_folder_of_the_weights_does_not_change_a_run(make_config):
  def make(path):
    return make_config(model__pretrained=path)

  one, moved, other, none = map(make, ('/a/x.pth', '/b/x.pth', 'y.pth', ''))
  assert configuration.identity(one) == configuration.identity(moved)
  names = {configuration.digest(config) for config in (one, other, none)}
  assert len(names) == 3
  assert configuration.digest(none) == configuration.digest(make_config())


def test_another_file_is_refused(make_config, tmp_path):
  path = tmp_path / 'x.pth'
  path.write_bytes(b'one')
  config = make_config(model__pretrained=str(path))
  saved = {'file': 'x.pth', 'sha256': pretrained.checksum(path)}
  initial_weights.refuse_other(saved, config, tmp_path)
  initial_weights.refuse_other({}, make_config(), tmp_path)
  path.write_bytes(b'other')
  for before, now in ((saved, config), ({}, config), (saved, make_config())):
    with pytest.raises(errors.UserError, match='started from'):
      initial_weights.refuse_other(before, now, tmp_path)
  path.unlink()
  with pytest.raises(errors.UserError, match='pretrained=.*cannot be read'):
    initial_weights.refuse_other(saved, config, tmp_path)


def test_the_sentence_lists_new_and_unused_entries():
  saved = {
    'file': 'x.pth',
    'sha256': 'ab',
    'used': {'a': ['b'], 'c': ['d', 'e']},
    'unused': ['fc.bias'],
    'new': ['params.fusion.x', 'params.fusion.y', 'params.classifier.z'],
  }
  text = initial_weights.sentence(saved)
  for words in (
    'started from x.pth (SHA-256 ab)',
    '2 of its entries are used; unused: fc.bias',
    'randomly initialised: fusion, classifier.',
    'not a leave-one-subject-out result',
  ):
    assert words in text
  assert initial_weights.sentence({}) == ''


@pytest.mark.slow
def test_a_complete_run_from_initial_weights(
  short_config, weights, tmp_path, capsys
):
  workdir = tmp_path / 'run'
  config = short_config(model__pretrained=str(weights))
  summary = run.run(config, workdir)
  digest = pretrained.checksum(weights)
  assert summary['data']['pretrained']['sha256'] == digest
  note = f'started from weights.safetensors (SHA-256 {digest})'
  assert any(note in one for one in summary['notes'])
  assert digest in (workdir / 'report.html').read_text()
  assert 'started from weights.safetensors' in ' '.join(
    capsys.readouterr().out.split()
  )
  # Nothing was learned: what each fold has is what the file holds.
  entries = safetensors.load_file(weights)
  opened = trained.open_run(workdir)
  kernels = []
  for seed, subject in opened.folds:
    params = opened.network(seed, subject).variables['params']
    for view in ('backbone_0', 'backbone_1'):
      np.testing.assert_array_equal(
        params[view]['Conv_1']['kernel'],
        entries[f'0/params/{view}/Conv_1/kernel'],
      )
    kernels.append(params['classifier']['kernel'])
  assert np.abs(kernels[0] - kernels[1]).max() > 1e-3
  # The file may be gone once the run is finished, and the bundle says of it.
  weights.rename(tmp_path / 'moved.safetensors')
  again = run.run(config, workdir)
  assert again['overall'] == summary['overall']
  export.main([str(workdir), str(tmp_path / 'bundle')])
  bundle = folder.load(tmp_path / 'bundle')
  assert bundle.model.pretrained == ''
  card = (tmp_path / 'bundle' / 'README.md').read_text()
  assert digest in card and 'Before that training, every network' in card
  # One more training needs it, and it alone.
  with pytest.raises(errors.UserError, match='weights.safetensors cannot be'):
    export.make(workdir, final=True)
  # A run that is not finished goes on from it alone.
  (workdir / 'metrics.json').unlink()
  shutil.copy(tmp_path / 'moved.safetensors', weights)
  resumed = run.run(config, workdir)
  assert resumed['overall'] == summary['overall']
  (workdir / 'metrics.json').unlink()
  entries['0/params/classifier/bias'] += 1
  safetensors.save_file(entries, weights)
  with pytest.raises(errors.UserError, match='Restore that file'):
    run.run(config, workdir)
  without = dataclasses.replace(
    config, model=dataclasses.replace(config.model, pretrained='')
  )
  with pytest.raises(errors.UserError, match='pretrained'):
    run.run(without, workdir)
  saved = json.loads((workdir / 'data.json').read_text())
  assert workdirs.started(saved).startswith('every network started')
