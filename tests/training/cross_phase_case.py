"""A fold that pretrains by contrast between the phases of its clips."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from dianet_jax.core import config
from dianet_jax.models import layers
from dianet_jax.motion.registry import Channel
from dianet_jax.training import cross_phase
from dianet_jax.training.state import Data, Fold
from dianet_jax.training.trainer import Trainer
from tests.models.zoo import small

TRAINING, EPOCHS, PRETRAINING = 8, 6, 4
HELD_OUT = TRAINING
CODES = {'token_target': 'codes', 'codes': 5}


@pytest.fixture(scope='module')
def trainer():
  model, _ = small.make('cots')
  settings = cross_phase.Settings(queue=6)
  train = config.Train(
    epochs=EPOCHS,
    batch_size=4,
    learning_rate=0.01,
    weight_decay=0.0,
    warmup_fraction=0.5,
    augment=config.Augment(flip_probability=0.0, shift_pixels=0),
  )
  channels = {'dynamic_images': (Channel('any', ''),)}
  return Trainer(
    model,
    cross_phase.CrossPhase(settings),
    train,
    'none',
    channels,
    TRAINING,
    PRETRAINING,
  )


@pytest.fixture(scope='module')
def data():
  inputs, labels = small.planted('cots', TRAINING + 1)
  return Data({k: jnp.asarray(v)[None] for k, v in inputs.items()}, labels)


@pytest.fixture(scope='module')
def fold():
  index = jnp.arange(TRAINING)
  none = jnp.zeros(0, jnp.int32)
  return Fold(
    seed=jnp.uint32(0),
    subject_hash=jnp.uint32(7),
    train_index=index,
    train_valid=index < TRAINING,
    validation_index=none,
    validation_valid=none.astype(bool),
    test_index=jnp.array([HELD_OUT]),
    class_weights=jnp.ones(3),
  )


def untrained(trainer, data, fold):
  """`Trainer.init` without compiling what draws the parameters."""
  inputs = {name: values[0, :4] for name, values in data.inputs.items()}
  variables = small.variables_of(trainer.model, inputs)
  state = jax.eval_shape(trainer.init, data, fold)
  state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
  params = variables.pop('params')
  state = dataclasses.replace(state, params=params, statistics=variables)
  outputs = jax.eval_shape(trainer.model.apply, state.current, inputs)
  objective = trainer.objective.init(state.current, outputs, None)
  clips = trainer.training_clips(data, fold)
  objective = trainer.objective.fitted(objective, outputs, clips)
  return dataclasses.replace(state, objective=objective)


@pytest.fixture(scope='module')
def steps(trainer, fold):
  """Runs epochs of one fold, as on a CPU: one program per step."""
  with layers.cpu.switched_off():
    early, late = (
      small.jit(dataclasses.replace(trainer, pretrains=pretrains).next_step)
      for pretrains in (True, False)
    )
    gather = small.jit(trainer.gather)

    def run(data, state, epochs):
      losses = []
      for _ in range(epochs):
        batches, total = gather(data, state, fold), 0.0
        pretrains = state.step < PRETRAINING * trainer.steps_per_epoch
        step = early if pretrains else late
        for _ in range(trainer.steps_per_epoch):
          state, sums = step(state, fold, batches)
          total += float(sums.loss)
        losses.append(total / TRAINING)
      return state, losses

    yield run


@pytest.fixture(scope='module')
def pretrained(trainer, data, fold, steps):
  with layers.cpu.switched_off():
    return steps(data, untrained(trainer, data, fold), PRETRAINING)


def spoiled(data, clip):
  [(name, images)] = data.inputs.items()
  return data.replace(inputs={name: images.at[:, clip].multiply(-3)})


def with_settings(trainer, **settings):
  settings = cross_phase.Settings(queue=6, **settings)
  return dataclasses.replace(
    trainer, objective=cross_phase.CrossPhase(settings)
  )
