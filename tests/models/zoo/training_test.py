"""Properties of every model: it trains, and clips and folds are independent."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from dianet_jax.experiments import configuration
from dianet_jax.models.registry import MODELS
from dianet_jax.motion.registry import Channel
from dianet_jax.training.objectives import OBJECTIVES
from dianet_jax.training.state import Batch, Fold, State
from dianet_jax.training.trainer import Trainer
from tests.models.zoo import small
from tests.support.slow import slow_but

pytestmark = pytest.mark.usefixtures('plain_layers')

STEPS, CLIPS = 25, 6
NAMES = list(small.SMALL)
# Others have many layers, which take long to compile.
FAST = ('dianet', 'ststnet')


def test_every_model_is_tested():
  assert set(small.SMALL) == set(MODELS)


@pytest.mark.parametrize('name', MODELS)
def test_what_its_authors_recommend_is_a_configuration(name):
  values = default.get_config(name).to_dict()
  config = configuration.parse(values)
  assert config.model.name == name
  for key, value in MODELS[name].recommended.items():
    section, _, last = key.rpartition('.')
    part = functools.reduce(getattr, section.split('.'), config)
    assert getattr(part, last) == value
  assert inspect.getmodule(MODELS[name]).__doc__


def _trainer(name):
  model, _ = small.make(name)
  config = configuration.parse(
    configuration.changed(
      default.get_config(name).to_dict(),
      {
        'train.epochs': STEPS,
        'train.batch_size': CLIPS,
        'train.learning_rate': 0.01,
        'train.warmup_fraction': 0.0,
        'train.weight_decay': 0.0,
        'train.augment.flip_probability': 0.0,
        'train.augment.shift_pixels': 0,
        'train.augment.rotation_degrees': 0.0,
      },
    )
  )
  objective = OBJECTIVES[config.objective.name or 'cross_entropy']
  channels = {name: (Channel('any', ''),) for name in model.reads}
  return Trainer(
    model,
    objective(config.objective),
    config.train,
    'symmetric',
    channels,
    CLIPS,
  )


def _folds(seeds):
  """Folds that differ in their seed, so in their parameters."""
  seeds = jnp.array(seeds, jnp.uint32)
  none = jnp.zeros((len(seeds), 0), jnp.int32)
  return Fold(
    seed=seeds,
    subject_hash=seeds,
    train_index=none,
    train_valid=none.astype(bool),
    validation_index=none,
    validation_valid=none.astype(bool),
    test_index=none,
    class_weights=jnp.ones((len(seeds), 3)),
  )


def _states(trainer, inputs, seeds):
  """Untrained states of folds, side by side, without `Trainer.init`.

  To compile what draws the parameters takes as long as all the rest.
  """
  states = []
  for seed in seeds:
    variables = dict(small.variables_of(trainer.model, inputs, seed))
    outputs = jax.eval_shape(trainer.model.apply, variables, inputs)
    key = jax.random.key(seed)
    objective = trainer.objective.init(dict(variables), outputs, key)
    params = variables.pop('params')
    opt_state = trainer.optimizer().init(params)
    states.append(State(jnp.int32(0), params, variables, opt_state, objective))
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


@pytest.mark.slow
@pytest.mark.parametrize('name', slow_but(NAMES, FAST))
def test_two_folds_train_side_by_side(name):
  trainer = _trainer(name)
  inputs, labels = small.planted(name, CLIPS)
  clips = jnp.arange(CLIPS)
  batch = Batch(inputs, jnp.asarray(labels), jnp.ones(CLIPS, bool), clips)

  # Step by step: gradients of convolutions are slow in a loop on a CPU.
  step = small.jit(
    jax.vmap(lambda state, fold: trainer.step(state, fold, batch))
  )

  def train(seeds):
    state, losses = _states(trainer, inputs, seeds), []
    for _ in range(STEPS):
      state, sums = step(state, _folds(seeds))
      losses.append(np.asarray(sums.loss) / CLIPS)
    return state, np.stack(losses, axis=1)

  state, loss = train([0, 1])
  other, _ = train([0, 2])
  assert np.isfinite(loss).all()
  assert (loss[:, -1] < 0.9 * loss[:, 0]).all(), loss
  # The fold beside it changes nothing.
  for one, same in zip(jax.tree.leaves(state), jax.tree.leaves(other)):
    np.testing.assert_allclose(one[0], same[0], rtol=1e-4, atol=1e-5)
  different = [
    np.abs(leaf[0] - leaf[1]).max() for leaf in jax.tree.leaves(state.params)
  ]
  assert max(different) > 1e-3


@pytest.mark.parametrize('name', slow_but(NAMES, FAST))
def test_padded_clips_reach_nothing(name):
  model, _ = small.make(name)
  inputs, _ = small.planted(name, CLIPS)
  variables = small.variables_of(model, inputs)
  valid = jnp.arange(CLIPS) < 4

  @small.jit
  def train(inputs):
    outputs, statistics = model.apply(
      variables,
      inputs,
      valid,
      True,
      mutable=['batch_stats'],
      rngs={'dropout': jax.random.key(2)},
    )
    return jax.tree.map(lambda leaf: leaf[:4], outputs), statistics

  spoiled = {k: jnp.asarray(v).at[4:].multiply(-7) for k, v in inputs.items()}
  found, statistics = train(inputs)
  again, same = train(spoiled)
  assert found.logits.shape[0] == 4 and found.logits.shape[2] == 3
  # Values are of any size: some have no norm before their logits.
  for one, other in zip(
    jax.tree.leaves((found, statistics)), jax.tree.leaves((again, same))
  ):
    scale = max(1.0, float(jnp.abs(one).max(initial=0)))
    np.testing.assert_allclose(one / scale, other / scale, atol=1e-5)


@pytest.mark.parametrize('name', slow_but(NAMES, FAST))
def test_computation_in_bfloat16_and_parameters_in_float32(name):
  """bfloat16 within; parameters, logits and gradients in float32."""
  model, specs = small.make(name, dtype=jnp.bfloat16)
  inputs = {
    key: jax.ShapeDtypeStruct((2, *spec.shape), spec.dtype)
    for key, spec in specs.items()
  }
  variables = jax.eval_shape(model.init, jax.random.key(0), inputs)

  def loss(params, rest, inputs):
    outputs, _ = model.apply(
      {'params': params, **rest},
      inputs,
      jnp.ones(2, bool),
      True,
      mutable=list(rest),
      rngs={'dropout': jax.random.key(0)},
    )
    return outputs.logits.sum(), outputs

  params = variables.pop('params')
  gradient, outputs = jax.eval_shape(
    jax.grad(loss, has_aux=True), params, variables, inputs
  )
  assert outputs.logits.dtype == jnp.float32
  leaves = jax.tree.leaves((params, variables, gradient))
  assert {leaf.dtype.name for leaf in leaves} == {'float32'}


@pytest.mark.parametrize('name', NAMES)
def test_every_model_accepts_its_own_input(name):
  model, specs = small.make(name)
  for key, holds, expected in model.check(model.settings, specs):
    assert holds, (key, expected)


# What optical flow of both phases, 28 x 28, can feed, with its settings.
FED_BY_FLOW = {
  'dianet': {},
  'biovilt': {},
  'gban': {},
  'causal': {},
  'cots': {},
  'ststnet': {},
  'offapexnet': {},
  'htnet': {},
  'causalnet': {},
  'fmanet': {},
  'skd_tstsan_t': {},
  'slstt': {'patch': 7, 'normalise': 'none'},
  'tsfmicro': {'position': False, 'stem_stride': 1},
  'gamdss': {'position': False, 'stem_stride': 1},
}


@pytest.mark.parametrize('name', FED_BY_FLOW)
def test_models_accept_flow_of_two_phases(name):
  model, specs = small.make(name, **FED_BY_FLOW[name])
  specs = {key: jax.ShapeDtypeStruct(small.FLOW, 'float32') for key in specs}
  for key, holds, expected in model.check(model.settings, specs):
    assert holds, (key, expected)
  inputs = {key: jnp.ones((2, *small.FLOW)) for key in specs}
  outputs, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), inputs)
  assert outputs.logits.shape[::2] == (2, 3)


@pytest.mark.parametrize(
  'name,settings,shape,key',
  [
    ('ststnet', {'phases': 'channels'}, (1, 28, 28, 3), 'phases'),
    ('offapexnet', {'channel_order': 'bgr'}, small.FLOW, 'channel_order'),
    ('htnet', {}, (2, 36, 36, 3), 'patch'),
    ('causalnet', {}, (1, 28, 28, 3), 'name'),
    ('causalnet', {}, (4, 28, 28, 3), 'position_images'),
    ('causalnet', {'position_images': 'stored'}, small.FLOW, 'position_images'),
    ('causalnet', {'block_heads': 3}, small.FLOW, 'block_heads'),
    ('causalnet', {'repeats': (1, 1)}, small.FLOW, 'repeats'),
    ('fmanet', {}, (1, 28, 28, 3), 'name'),
    ('fmanet', {'stem': '7x7'}, small.FLOW, 'stem'),
    ('skd_tstsan', {}, small.FLOW, 'name'),
    ('skd_tstsan_t', {}, (2, 20, 20, 3), 'enlarge'),
    ('slstt', {'heads': 5}, (2, 16, 16, 3), 'heads'),
    ('slstt', {}, small.FLOW, 'patch'),
    ('tsfmicro', {}, (1, 32, 32, 3), 'position'),
    ('gamdss', {}, (2, 32, 32, 3), 'position'),
    ('atm_gcn', {'heads': 3}, (4, 16, 16, 3), 'heads'),
    ('atm_gcn', {'global_node': False}, (4, 16, 16, 3), 'readout'),
    ('slow_fast_tcm', {'spans': 3}, (4, 32, 32, 3), 'spans'),
    ('slow_fast_tcm', {'tcm_after': 3}, (4, 32, 32, 3), 'tcm_after'),
    ('biovilt', {'token_width': 12}, (2, 12, 12, 3), 'token_width'),
  ],
)
def test_what_does_not_fit_is_named(name, settings, shape, key):
  model, specs = small.make(name, **settings)
  specs = {read: jax.ShapeDtypeStruct(shape, 'float32') for read in specs}
  found = model.check(model.settings, specs)
  assert key in [k for k, holds, _ in found if not holds]
