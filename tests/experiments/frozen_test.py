"""Runs of networks with a part that is not trained, SLSTT's encoder."""

import csv
import dataclasses
import shutil

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors

from configs import megc2019
from dianet_jax.core import errors
from dianet_jax.data import folds as folds_lib
from dianet_jax.experiments import export, frozen, nested, run, trained
from dianet_jax.inference import folder
from tests.data.dataset_test import write_flow
from tests.experiments.run_test import flow_rows
from tests.support import torch_like

UNAUGMENTED = {
  'train__augment__flip_probability': 0.0,
  'train__augment__shift_pixels': 0,
}
SMALL = {
  'model__name': 'slstt',
  'model__normalise': 'none',
  'model__patch': 7,
  'model__width': 12,
  'model__depth': 2,
  'model__heads': 3,
  'model__mlp_width': 20,
  'model__lstm_width': 8,
  'model__lstm_depth': 1,
  'model__head_width': 8,
  'data__inputs': ('phase_flow',),
  'train__weight_decay': 0.1,
  'train__epochs': 2,
  'seeds': 1,
}


@pytest.fixture(scope='module')
def flow(tmp_path_factory):
  return write_flow(tmp_path_factory.mktemp('flow'), flow_rows())


@pytest.fixture(scope='module')
def entries():
  return torch_like.slstt(complete=False, patch=7, tokens=17)


@pytest.fixture(scope='module')
def weights(tmp_path_factory, entries):
  path = tmp_path_factory.mktemp('weights') / 'vit.safetensors'
  safetensors.save_file(entries, path)
  return path


@pytest.fixture
def config(make_config, flow, weights):
  def make(**overrides):
    values = {
      'data__manual_dir': str(flow), 'model__pretrained': str(weights)
    }  # fmt: skip
    return make_config(megc2019, **values | SMALL | UNAUGMENTED | overrides)

  return make


def check_predictions(workdir, dataset):
  """Every network predicts its held-out clips, from images, as written."""
  opened = trained.open_run(workdir)
  with (workdir / 'predictions.csv').open(newline='') as file:
    rows = {row['clip_id']: row for row in csv.DictReader(file)}
  for seed, subject in opened.folds:
    chosen = np.array(dataset.subjects) == subject
    inputs = {name: a[0, chosen] for name, a in dataset.inputs.items()}
    found = opened.network(seed, subject).predict(inputs)
    for index, probs in zip(np.flatnonzero(chosen), np.asarray(found)):
      row = rows.pop(dataset.clips[index].clip_id)
      written = [float(row[f'p_{name}']) for name in opened.classes]
      np.testing.assert_allclose(probs, written, atol=3e-6)
  assert not rows
  return opened


def check_encoder(params, entries):
  """That it is the file's, whatever was trained."""
  np.testing.assert_array_equal(
    params['encoder']['class_token'], entries['class_token'][0, 0]
  )
  np.testing.assert_array_equal(
    params['encoder']['block_1']['mlp']['expand']['kernel'],
    entries['transformer.blocks.1.pwff.fc1.weight'].T,
  )
  assert (params['norm']['scale'] != entries['norm.weight']).any()


def names(tree):
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return [jax.tree_util.keystr(path) for path, _ in leaves]


def test_no_fold_has_the_frozen_part(config):
  def make(**overrides):
    settings = config(**overrides)
    dataset = run.read_dataset(settings)
    folds = folds_lib.of(settings, dataset)
    return run.make_program(settings, dataset, folds), dataset

  program, _ = make()
  training = program.shapes(1)
  assert not [name for name in names(training) if 'encoder' in name]
  assert [name for name in names(training) if 'norm' in name]
  whole, _ = make(model__encoder='finetune')
  states = names(whole.shapes(1))
  assert [name for name in states if 'opt_state' in name and 'encoder' in name]
  assert whole.parameters > 2 * program.parameters


def test_the_held_out_subject_reaches_no_parameter(config):
  settings = config(train__epochs=1)
  dataset = run.read_dataset(settings)
  folds = folds_lib.of(settings, dataset).select([1])
  held_out = np.array(dataset.subjects) == folds.subjects[0]
  [(name, images)] = dataset.inputs.items()
  noise = np.random.default_rng(0).normal(scale=50, size=images.shape)

  def variables(clips):
    changed = images + clips[:, None, None, None, None] * noise
    changed = changed.astype(np.float32)
    other = dataclasses.replace(dataset, inputs={name: changed})
    program = run.make_program(settings, other, folds)
    [[result]] = program.train(folds)
    return jax.tree.leaves(result.variables)

  untouched = variables(np.zeros_like(held_out))
  pairs = zip(untouched, variables(held_out), strict=True)
  assert all((one == other).all() for one, other in pairs)
  # And that of any other clip does.
  pairs = zip(untouched, variables(~held_out), strict=True)
  assert not any((one == other).all() for one, other in pairs)


@pytest.mark.parametrize(
  'overrides,message',
  [
    (
      {'model__pretrained': '', 'model__encoder': 'frozen'},
      "model.encoder='frozen'.*or a file of weights in model.pretrained",
    ),
    (
      {'train__augment__flip_probability': 0.5},
      'flip_probability=0.5.*expected 0: the encoder of the model is not train',
    ),
    ({'train__augment__shift_pixels': 2}, 'shift_pixels=2.*is not trained'),
    (
      {'train__augment__rotation_degrees': 3.0},
      'rotation_degrees=3.0.*is not trained',
    ),
  ],
)
def test_what_a_frozen_encoder_cannot_have(config, overrides, message):
  with pytest.raises(errors.UserError, match=message):
    config(**overrides)


@pytest.mark.slow
def test_a_run_with_a_frozen_encoder(config, tmp_path, entries, capsys):
  workdir = tmp_path / 'run'
  summary = run.run(config(), workdir)
  dataset = run.read_dataset(config())
  opened = check_predictions(workdir, dataset)
  for seed, subject in opened.folds:
    check_encoder(opened.network(seed, subject).variables['params'], entries)
  # The norm, the LSTM, the hidden layer and the classifier.
  assert summary['parameters'] == 24 + (12 + 8 + 2) * 32 + 9 * 8 + 9 * 3
  # Clips are explained by complete networks.
  assert 'Evidence for' in (workdir / 'report.html').read_text()
  # It is saved once.
  sizes = {
    path.name: sum(f.stat().st_size for f in path.rglob('*') if f.is_file())
    for path in workdir.glob('weights/*')
  }
  assert sizes.keys() == {'frozen', 'seed0'}
  # Resumed from what was saved, or from the file, it is the same.
  before = (workdir / 'predictions.csv').read_text()
  for aside in ('weights/seed0', 'weights/frozen'):
    (workdir / 'metrics.json').unlink()
    (workdir / 'predictions.csv').unlink()
    shutil.rmtree(workdir / aside)
    shutil.rmtree(workdir / 'checkpoints' / 'seed0' / 'samm_005')
    shutil.rmtree(workdir / 'checkpoints' / 'seed0' / 'casme2_sub02')
    capsys.readouterr()
    run.run(config(), workdir)
    assert '4 of 6 trainings are finished' in capsys.readouterr().out
    assert (workdir / 'predictions.csv').read_text() == before
  opened.network(0, 'samm/005')
  # What is damaged is named where it is needed, and left as it is.
  damaged = workdir / 'weights' / 'frozen'
  for file in damaged.rglob('*'):
    if file.is_file():
      file.write_text('{"')
  with pytest.raises(errors.UserError, match='frozen are missing or damaged'):
    opened.network(0, 'samm/005')
  assert damaged.exists()


@pytest.mark.slow
def test_bundles_of_a_frozen_encoder_read_images(config, tmp_path, entries):
  workdir = tmp_path / 'run'
  run.run(config(), workdir)
  dataset = run.read_dataset(config())
  [name] = dataset.inputs
  images = dataset.inputs[name][0]
  opened = trained.open_run(workdir)
  for final in (False, True):
    made = export.make(workdir, final)
    assert made.model.pretrained == ''
    assert len(made.members) == 1 if final else 5
    for member in made.members:
      check_encoder(member['params'], entries)
    folder.save(made, tmp_path / f'bundle{final}')
    read = folder.load(tmp_path / f'bundle{final}')
    found = np.exp(read.log_probabilities_of({name: images}))
    if final:
      assert found.shape == (18, 3)
      continue
    # The first member is the network of the first subject.
    one = dataclasses.replace(read, members=read.members[:1])
    np.testing.assert_allclose(
      np.exp(one.log_probabilities_of({name: images})),
      opened.network(0, min(dataset.subjects)).predict({name: images}),
      atol=1e-5,
    )


@pytest.mark.slow
def test_a_nested_selection_with_a_frozen_encoder(config, tmp_path, entries):
  settings = config(
    train__epochs=1,
    study__kind='nested',
    study__groups=3,
    study__rows=(
      'lstm: model.aggregator=lstm',
      'mean: model.aggregator=mean',
      'whole: model.encoder=finetune',
    ),
  )
  workdir = tmp_path / 'nested'
  nested.run(settings, workdir)
  opened = check_predictions(workdir, run.read_dataset(settings))
  assert len(opened.folds) == 6


def test_features_are_of_every_variant(config):
  settings = config()
  dataset = run.read_dataset(settings)
  [(name, images)] = dataset.inputs.items()
  own = frozen.variables(settings, dataset)
  assert {kind: [*tree] for kind, tree in own.items()} == {
    'params': ['encoder']
  }
  assert frozen.variables(config(model__encoder='finetune'), dataset) == {}
  taken = {}

  class Model:
    def features(self, variables, inputs):
      taken.update(variables)
      return {'sums': inputs[name].sum(axis=(2, 3, 4))}

  class Trainer:
    model = Model()

    def prepare(self, inputs):
      return {key: values / 100 for key, values in inputs.items()}

  two = np.stack([images[0], 2 * images[0]])
  made = frozen.features(Trainer(), own, {name: two})
  assert taken.keys() == own.keys()
  np.testing.assert_allclose(
    made['sums'], two.sum(axis=(3, 4, 5)) / 100, rtol=1e-3, atol=1e-2
  )
