"""Each extension point works with a package outside the project alone."""

import importlib
import json
import pathlib
import sys

import jax
import numpy as np
import pytest

from configs import casme2
from dianet_jax.core import errors
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.data import folds as folds_lib
from dianet_jax.data import inputs as inputs_lib
from dianet_jax.evaluation import compare, metrics, predictions
from dianet_jax.experiments import run
from dianet_jax.models.registry import MODELS
from dianet_jax.motion.registry import REPRESENTATIONS
from dianet_jax.training import checkpoints
from dianet_jax.training.objectives import OBJECTIVES
from tests.support import documents

# What CONTRIBUTING.md shows.
SOURCES = {
  pathlib.PurePath(name).stem: source
  for name, source in documents.files('CONTRIBUTING.md').items()
  if name.startswith('someones_package/')
}
SOURCES['contrast'] = """
import dataclasses
from typing import ClassVar
import jax
import jax.numpy as jnp
import optax
from dianet_jax.core import config, schema

@dataclasses.dataclass(frozen=True)
class ContrastSettings(config.Objective):
  name: str = 'contrast'
  queue: int = schema.key(12, 'Negatives kept.', schema.at_least(1))
  momentum: float = schema.key(0.9, 'Of the copy.', schema.BELOW_ONE)

@dataclasses.dataclass(frozen=True)
class Contrast:
  'Cross-entropy, and a queue of features by a slow copy of the network.'
  settings: ContrastSettings = ContrastSettings()
  Settings: ClassVar = ContrastSettings

  def init(self, variables, outputs, key):
    width = outputs.auxiliary['features'].shape[-1]
    return {
      'queue': jax.random.normal(key, (self.settings.queue, width)),
      'copy': variables['params'],
    }

  def __call__(self, outputs, batch, state):
    entropy = optax.softmax_cross_entropy_with_integer_labels
    slow = batch.variables | {'params': jax.lax.stop_gradient(state['copy'])}
    keys = batch.apply(slow, batch.inputs, False).auxiliary['features']
    features = outputs.auxiliary['features']
    positive = (features * keys).sum(-1, keepdims=True)
    negative = features @ state['queue'].T
    scores = jnp.concatenate([positive, negative], axis=-1)
    loss = batch.mean(
      lambda labels: entropy(outputs.logits[:, 0], labels)
      + 0.1 * entropy(scores, jnp.zeros_like(labels)))
    queue = jnp.concatenate(
      [jnp.where(batch.valid[:, None], keys, 0), state['queue']])
    copy = optax.incremental_update(
      batch.variables['params'], state['copy'], 1 - self.settings.momentum)
    return loss, jax.lax.stop_gradient(
      {'queue': queue[: self.settings.queue], 'copy': copy})
"""

ROWS = (
  (REPRESENTATIONS, 'apex_minus_onset', 'representations:APEX_MINUS_ONSET'),
  (REPRESENTATIONS, 'brightness', 'representations:BRIGHTNESS'),
  (MODELS, 'two_inputs', 'model:TwoInputs'),
  (OBJECTIVES, 'two_heads', 'objectives:TwoHeads'),
  (OBJECTIVES, 'contrast', 'contrast:Contrast'),
)


@pytest.fixture(scope='module', autouse=True)
def package(tmp_path_factory):
  """A package outside the project, and its rows."""
  folder = tmp_path_factory.mktemp('site') / 'someones_package'
  folder.mkdir()
  (folder / '__init__.py').touch()
  for name, source in SOURCES.items():
    (folder / f'{name}.py').write_text(source)
  sys.path.insert(0, str(folder.parent))
  for registry, name, row in ROWS:
    registry.register(name, f'someones_package.{row}')
  yield
  for registry, name, _ in ROWS:
    registry.unregister(name)
  sys.path.remove(str(folder.parent))


@pytest.fixture
def config(make_config):
  def make(**overrides):
    overrides = {
      'data__simulation__enabled': True,
      'data__simulation__subjects': 4,
      'data__simulation__clips_per_subject': 5,
      'data__frame_size': 32,
      'data__image_size': 16,
      'train__epochs': 2,
      'train__batch_size': 6,
      'train__augment__shift_pixels': 1,
    } | overrides
    return make_config(casme2, **overrides)

  return make


BOTH = {'model__name': 'two_inputs'}


@pytest.mark.slow
def test_a_representation(config, tmp_path):
  settings = config(
    data__inputs=('apex_minus_onset',),
    model__backbone='compact',
    model__fusion='concat',
  )
  dataset = run.read_dataset(settings)
  [images] = dataset.inputs.values()
  assert images.shape == (1, 20, 1, 32, 32, 1)
  assert dataset.representations == {'dynamic_images': 'apex_minus_onset'}
  # The motion of the apex frame, by hand.
  records = dataset_lib.open_records(settings.data)
  number = [
    i for i in range(len(records.source))
    if records.source[i]['clip_id'].decode() == dataset.clips[3].clip_id
  ]  # fmt: skip
  record = records.source[number[0]]
  frames = inputs_lib.decode_clip(record['frames'], settings.data)
  motion = frames[record['apex']].astype(float) - frames[record['onset']]
  np.testing.assert_allclose(
    images[0, 3, 0, ..., 0], motion.mean(-1), atol=1e-3
  )
  summary = run.run(settings, tmp_path / 'run')
  assert summary['overall']['n'] == 20
  # Its picture is in the report.
  assert (tmp_path / 'run' / 'report.html').read_text().count('image/png') > 4


@pytest.mark.slow
def test_a_model_of_two_inputs(config, tmp_path):
  settings = config(**BOTH, model__width=5)
  dataset = run.read_dataset(settings)
  shapes = {name: array.shape for name, array in dataset.inputs.items()}
  assert shapes == {
    'apex_minus_onset': (1, 20, 1, 32, 32, 1), 'brightness': (1, 20, 4, 2)
  }  # fmt: skip
  assert dataset.channels['brightness'] == ()
  summary = run.run(settings, tmp_path / 'run')
  assert summary['overall']['n'] == 20
  written = json.loads((tmp_path / 'run' / 'config.json').read_text())['config']
  assert written['model'] == {
    'name': 'two_inputs', 'pretrained': '', 'width': 5
  }  # fmt: skip
  with pytest.raises(errors.UserError, match='model.widht.*nearest.*width'):
    config(**BOTH, model__widht=5)
  with pytest.raises(errors.UserError, match='model.width=0'):
    config(**BOTH, model__width=0)


@pytest.mark.slow
def test_an_objective_with_an_auxiliary_head(config):
  def head(objective):
    settings = config(**BOTH, objective__name=objective)
    dataset = run.read_dataset(settings)
    folds = folds_lib.of(settings, dataset)
    program = run.make_program(settings, dataset, folds)
    [results] = program.train(folds.select([0]))
    return results[0].variables['params']['auxiliary']['kernel']

  assert np.abs(head('two_heads') - head('cross_entropy')).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize('strategy', ['loop', 'unroll', 'map', 'vmap'])
def test_an_objective_with_a_state_in_each_fold(config, tmp_path, strategy):
  """A queue and a momentum copy, checkpointed and resumed bit by bit."""
  settings = config(
    **BOTH,
    objective__name='contrast',
    parallel__strategy=strategy,
    parallel__devices=1,
    train__epochs=3,
  )
  dataset = run.read_dataset(settings)
  folds = folds_lib.of(settings, dataset)

  def make():
    return run.make_program(settings, dataset, folds)

  whole, snapshots = {}, []
  program = make()
  for group in program.train(folds, lambda _, take: snapshots.append(take())):
    whole |= {result.subject: result for result in group}
  states = [fold.training.state.objective for fold in snapshots[0]]
  begun = [f for snapshot in snapshots for f in snapshot if f.epochs == 1]
  assert len(begun) == 4
  queues = {np.asarray(f.training.state.objective['queue']).tobytes()
            for f in begun}  # fmt: skip
  # Folds have their own; a copy lags behind the parameters.
  assert len(queues) == 4 and set(states[0]) == {'queue', 'copy'}
  state = begun[0].training.state
  assert any(
    (one != other).any()
    for one, other in zip(
      jax.tree.leaves(state.params), jax.tree.leaves(state.objective['copy'])
    )
  )

  saved = checkpoints.Checkpoints(tmp_path)
  for fold in begun:
    saved.save_unfinished(fold)
  saved.close()
  program, saved = make(), checkpoints.Checkpoints(tmp_path)
  read = [
    saved.load_unfinished(f.seed, f.subject, program.shapes) for f in begun
  ]
  saved.close()
  resumed = {
    result.subject: result
    for group in program.train(folds, unfinished=read)
    for result in group
  }
  assert resumed.keys() == whole.keys()
  for name, result in whole.items():
    for field in ('variables', 'probabilities', 'loss'):
      jax.tree.map(
        np.testing.assert_array_equal,
        getattr(result, field),
        getattr(resumed[name], field),
      )


def test_the_held_out_subject_does_not_reach_the_state(config):
  """Nothing of the fold's subject is in its queue."""
  settings = config(**BOTH, objective__name='contrast')
  dataset = run.read_dataset(settings)
  folds = folds_lib.of(settings, dataset).select([1])
  held_out = np.array(dataset.subjects) == folds.subjects[0]

  def objective_state(spoil):
    for array in dataset.inputs.values():
      array[:, spoil] += 7.0
    taken = []
    program = run.make_program(settings, dataset, folds)
    for array in dataset.inputs.values():
      array[:, spoil] -= 7.0
    for _ in program.train(folds, lambda _, take: taken.append(take())):
      pass
    return taken[-1][0].training.state.objective

  nobody = np.zeros_like(held_out)
  clean, spoiled = objective_state(nobody), objective_state(held_out)
  jax.tree.map(np.testing.assert_array_equal, clean, spoiled)
  other = objective_state(~held_out)
  assert (clean['queue'] != other['queue']).any()


@pytest.mark.slow
def test_a_metric(config, tmp_path):
  importlib.import_module('someones_package.metric')
  try:
    settings = config(model__backbone='compact')
    summary = run.run(settings, tmp_path / 'run')
    value = summary['overall']['precision']['mean']
    confusion = np.array(summary['overall']['confusion'][0])
    columns = confusion.sum(axis=0)
    expected = np.diag(confusion)[columns > 0] / columns[columns > 0]
    assert value == pytest.approx(expected.mean())
    page = (tmp_path / 'run' / 'report.html').read_text()
    assert 'precision' in page and f'{value:.3f}' in page
    run_of_it = {'it': predictions.load(tmp_path / 'run')}
    assert f'{value:.3f}' in compare.table(run_of_it)
    assert 'precision' in compare.table(run_of_it, 'csv')
  finally:
    metrics.METRICS.pop('precision')


def test_an_unknown_name_is_refused_with_the_nearest(config):
  with pytest.raises(errors.UserError, match="'two_input'.*mean 'two_inputs'"):
    config(model__name='two_input')
  with pytest.raises(errors.UserError, match='objective.name=.contrasts.'):
    config(objective__name='contrasts')
  with pytest.raises(errors.UserError, match='data.inputs=.flow.'):
    config(data__inputs=('flow',))


def test_registering_a_name_twice_is_refused():
  with pytest.raises(errors.UserError, match='another model called'):
    MODELS.register('two_inputs', 'someones_package.model:Other')
  assert importlib.import_module('someones_package')
