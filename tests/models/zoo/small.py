"""Every model of the registry at the smallest size that has all its parts."""

import functools

import jax
import numpy as np

from dianet_jax.models.registry import MODELS

# Programs here run for milliseconds and would compile for a minute.
jit = functools.partial(
  jax.jit,
  compiler_options={
    'xla_backend_optimization_level': 0,
    'xla_llvm_disable_expensive_passes': True,
  },
)

COMPACT = {'backbone': 'compact', 'widths': (8,), 'heads': 2, 'dropout': 0.0}
TRUNK = {'width': 8, 'repeats': (1, 1, 1), 'heads': 2, 'input_scale': 1}
RETENTION = {'widths': (8, 8, 8, 8), 'projection': 8, 'drop_path': 0.0}
FLOW = (2, 28, 28, 3)

# Model -> settings, shape of a clip's input.
SMALL = {
  'dianet': (COMPACT, (2, 12, 12, 3)),
  'biovilt': (COMPACT | {'depth': 1, 'phase_dropout': 0.0}, (2, 12, 12, 3)),
  'gban': (COMPACT | {'gate_width': 8, 'hidden_width': 8}, (2, 12, 12, 3)),
  'causal': (COMPACT | {'depth': 1}, (2, 12, 12, 3)),
  'cots': (COMPACT | {'projection_width': 8}, (2, 12, 12, 3)),
  'ststnet': ({'input_scale': 1, 'dropout': 0.0}, FLOW),
  'offapexnet': ({'width': 16, 'dropout': 0.0, 'input_scale': 1}, FLOW),
  'htnet': (TRUNK, FLOW),
  'causalnet': (
    TRUNK | {'depth': 1, 'block_heads': 2, 'head_width': 8},
    FLOW,
  ),
  'fmanet': ({'widths': (4, 8, 8), 'dropout': 0.0}, FLOW),
  'skd_tstsan': ({'width': 0.125, 'dropout': 0.0}, (1, 24, 24, 38)),
  'skd_tstsan_t': ({'width': 0.125, 'dropout': 0.0, 'enlarge': 0}, FLOW),
  'slstt': (
    {
      'patch': 8,
      'width': 12,
      'depth': 1,
      'heads': 2,
      'mlp_width': 12,
      'lstm_width': 8,
      'lstm_depth': 1,
      'head_width': 8,
      'dropout': 0.0,
    },
    (3, 16, 16, 3),
  ),
  'tsfmicro': (RETENTION, (2, 32, 32, 3)),
  'gamdss': (RETENTION, (3, 32, 32, 3)),
  'atm_gcn': (
    {'encoder_width': 0.05, 'width': 8, 'key_width': 4, 'dropout': 0.0},
    (4, 16, 16, 3),
  ),
  'slow_fast_tcm': (
    {'widths': (8, 8), 'patch': 3, 'tcm_after': 1, 'dropout': 0.0},
    (4, 32, 32, 3),
  ),
}


def make(name, classes=3, dtype=None, **settings):
  """A small model, and one clip's inputs as shapes."""
  cls = MODELS[name]
  chosen, shape = SMALL[name]
  model = cls(classes, cls.Settings(**chosen | settings), dtype)
  [read] = cls.reads
  return model, {read: jax.ShapeDtypeStruct(shape, 'float32')}


def variables_of(model, inputs, seed=0):
  """Variables without compiling what draws them: norms as they start."""
  shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    name = path[-1].key
    if name in ('scale', 'var'):
      return np.ones(leaf.shape, np.float32)
    if name == 'mean':
      return np.zeros(leaf.shape, np.float32)
    # A bias is small, so that no ReLU is off for all clips.
    inputs = 100 if name == 'bias' else max(1, leaf.size // leaf.shape[-1])
    return rng.normal(size=leaf.shape).astype(np.float32) * inputs**-0.5

  return jax.tree_util.tree_map_with_path(draw, shapes)


def planted(name, clips, seed=0):
  """Inputs that show the class of each clip, and the classes."""
  _, specs = make(name)
  [(read, spec)] = specs.items()
  rng = np.random.default_rng(seed)
  labels = np.arange(clips) % 3
  shapes = (3, *spec.shape), (3, 1, 1, 1, spec.shape[-1])
  # Of places and, for what averages over them, of channels.
  patterns = sum(
    np.random.default_rng(1).normal(size=shape) for shape in shapes
  )
  images = 0.2 * rng.normal(size=(clips, *spec.shape)) + patterns[labels]
  images /= np.abs(images).max(axis=(1, 2, 3, 4), keepdims=True)
  return {read: images.astype(np.float32)}, labels.astype(np.int32)


def initialised(name, clips=2, **settings):
  """A small model, its variables, and inputs of a few clips."""
  model, _ = make(name, **settings)
  inputs, _ = planted(name, clips)
  return model, variables_of(model, inputs), inputs


def apply(model, variables, inputs):
  return jit(model.apply)(variables, inputs)


def logits(model, variables, inputs):
  return np.asarray(apply(model, variables, inputs).logits)


def gradient(model, variables, inputs):
  """Of the squared logits, by parameters and inputs."""

  def loss(params, inputs):
    found = model.apply(variables | {'params': params}, inputs).logits
    return (found**2).sum()

  return jit(jax.grad(loss, (0, 1)))(variables['params'], inputs)
