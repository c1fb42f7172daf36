"""Shapes of fusions, and which views reach them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models import fusions
from tests.support.slow import slow


def _tokens(views):
  return list(jax.random.normal(jax.random.key(0), (views, 3, 4, 8)))


def test_views_that_are_needed():
  needed = {name: fusion.views for name, fusion in fusions.FUSIONS.items()}
  assert needed == {
    'cross_attention': 2,
    'concat': None,
    'add': None,
    'gated': 2,
    'adaptive': 2,
    'each_phase': None,
    'biovilt': 2,
    'gban': 2,
    'causal': 2,
  }


@pytest.mark.parametrize('name', fusions.FUSIONS)
@pytest.mark.parametrize('pool', fusions.POOLS)
@pytest.mark.parametrize('views', [1, *slow(2, 3)])
def test_every_fusion_returns_views(name, pool, views):
  module = fusions.FUSIONS[name](pool=pool)
  tokens = _tokens(views)
  if module.views not in (None, views):
    with pytest.raises(ValueError):
      module.init(jax.random.key(1), tokens)
    return
  fused, variables = module.init_with_output(jax.random.key(1), tokens)
  pooled = 8 if pool == 'mean' else 4 * 8
  width = {
    'cross_attention': 2 * pooled,
    'concat': views * pooled,
    # The gate's own width, that of the features.
    'gated': 8,
    'biovilt': 2 * pooled,
    'gban': 128,
    'causal': 3 * pooled,
  }.get(name, pooled)
  assert fused.shape == (3, views if name == 'each_phase' else 1, width)
  gradients = jax.grad(lambda t: (module.apply(variables, t) ** 2).sum())(
    tokens
  )
  assert all(jnp.abs(gradient).max() > 0 for gradient in gradients)


def test_each_phase_keeps_views_apart():
  tokens = _tokens(3)
  fused = fusions.EachPhase().apply({}, tokens)
  np.testing.assert_array_equal(
    fused, jnp.stack([view.mean(axis=1) for view in tokens], axis=1)
  )


def test_cross_attention_attends_to_the_other_view():
  module = fusions.CrossAttention(pool='mean')
  first, second = _tokens(2)
  variables = module.init(jax.random.key(1), (first, second))
  moved = second.at[:, 0].add(1.0)
  before = module.apply(variables, (first, second))[:, 0]
  after = module.apply(variables, (first, moved))[:, 0]
  # The first half stems from the first view's queries.
  assert jnp.abs(after[:, :8] - before[:, :8]).max() > 1e-4


def test_positions_start_with_the_deviation_that_is_set():
  tokens = list(jnp.ones((2, 1, 50, 40)))
  for options, expected in ({}, 0.02), ({'position_stddev': 0.5}, 0.5):
    module = fusions.CrossAttention(**options)
    position = module.init(jax.random.key(0), tokens)['params']['position']
    assert position.std() == pytest.approx(expected, rel=0.1)


@pytest.mark.slow
def test_bfloat16_attends_as_float32_does():
  # Queries of 16 and keys of 8 and 8.0625: scores of 256 and 257, which
  # bfloat16 cannot tell apart. The values are 0 and 4.
  first = jnp.full((1, 2, 4), 16.0) * jnp.array([0, 1, 2, 1])
  second = jnp.full((1, 2, 4), 8.0).at[0, 1, :2].add(0.0625)
  module = fusions.CrossAttention(heads=1)
  variables = module.init(jax.random.key(0), (first, second))
  params = variables['params'] | {'position': jnp.zeros((2, 4))}
  zeros, eye = jnp.zeros((4, 4)), jnp.eye(4)
  kernels = {
    'query': zeros.at[1].set(1.0)[:, None],
    'key': eye[:, None],
    'value': zeros.at[0, 0].set(64.0).at[2, 0].set(-64.0)[:, None],
    'out': eye[None],
  }
  params['first_attention'] = {
    name: {'kernel': kernel} for name, kernel in kernels.items()
  }

  def fused(dtype):
    module = fusions.CrossAttention(heads=1, dtype=dtype)
    tokens = first.astype(dtype), second.astype(dtype)
    # The second half stems from the other view's queries.
    return np.asarray(module.apply({'params': params}, tokens), float)[0, 0, :4]

  np.testing.assert_allclose(fused('bfloat16'), fused('float32'), atol=0.02)


@pytest.mark.parametrize(
  'initializer,bound,deviation',
  [
    # Bounded at two deviations, of which the truncation leaves .88.
    ('lecun_normal', 2 / 0.88, 1.0),
    ('xavier_normal', 2 / 0.88, (2 / (1 + 128 / 8)) ** 0.5),
    ('xavier_uniform', 3**0.5, (2 / (1 + 128 / 8)) ** 0.5),
  ],
)
def test_initial_weights_of_gban(initializer, bound, deviation):
  fusion = fusions.GBAN(initializer=initializer, hidden=64)
  params = fusion.init(jax.random.key(0), _tokens(2))['params']
  kernel = params['gate']['aligned_first']['kernel'] * 8**0.5
  assert kernel.std() == pytest.approx(deviation, rel=0.1)
  assert jnp.abs(kernel).max() == pytest.approx(bound * deviation, rel=0.06)
  hidden = params['hidden']['kernel'] * 128**0.5
  wanted = 1.0 if initializer == 'lecun_normal' else (2 / (1 + 64 / 128)) ** 0.5
  assert hidden.std() == pytest.approx(wanted, rel=0.1)


def test_dropout_within_gban():
  tokens, key = _tokens(2), jax.random.key(2)
  plain, dropped = fusions.GBAN(), fusions.GBAN(dropout=0.5)
  variables = plain.init(jax.random.key(1), tokens)

  def fused(fusion, train):
    rngs = {'dropout': key}
    return fusion.apply(variables, tokens, None, train, rngs=rngs)

  np.testing.assert_array_equal(fused(plain, True), fused(plain, False))
  np.testing.assert_array_equal(fused(dropped, False), fused(plain, False))
  assert jnp.abs(fused(dropped, True) - fused(plain, True)).max() > 1e-3


@pytest.mark.parametrize(
  'name, options',
  [
    ('biovilt', {}),
    ('gban', {}),
    *(('adaptive', {'gate': gate}) for gate in fusions.GATES),
  ],
)
@pytest.mark.parametrize('missing', [0, 1])
def test_a_missing_view_reaches_nothing(name, options, missing):
  module = fusions.FUSIONS[name](**options)
  tokens = _tokens(2)
  variables = module.init(jax.random.key(1), tokens)
  present = jnp.ones((3, 2), bool).at[0, missing].set(False)
  moved = list(tokens)
  moved[missing] = -2 * moved[missing]
  one, other = (module.apply(variables, t, present) for t in (tokens, moved))
  np.testing.assert_array_equal(one[0], other[0])
  assert jnp.abs(one[1:] - other[1:]).max() > 1e-4
  # The one that is there does.
  moved = [t + 1.0 for t in tokens]
  assert jnp.abs(one - module.apply(variables, moved, present))[0].max() > 1e-4


def test_a_learned_vector_replaces_a_missing_view():
  module = fusions.BioViLT()
  first, second = _tokens(2)
  variables = module.init(jax.random.key(1), (first, second))
  vector = variables['params']['missing']
  for missing, there in ((1, first), (0, second)):
    present = jnp.ones((3, 2), bool).at[:, missing].set(False)
    found = module.apply(variables, (first, second), present)[:, 0]
    np.testing.assert_allclose(found[:, :8], there.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(
      found[:, 8:], jnp.tile(vector, (3, 1)), atol=1e-6
    )


def test_the_current_phase_of_biovilt():
  first, second = _tokens(2)
  plain, last = (fusions.BioViLT(current_phase=phase) for phase in (0, 1))
  variables = plain.init(jax.random.key(1), (first, second))
  found = last.apply(variables, (first, second))
  swapped = plain.apply(variables, (second, first))
  np.testing.assert_allclose(found, swapped, atol=1e-6)
  both = fusions.BioViLT(symmetric=True).apply(variables, (first, second))
  assert both.shape == (3, 1, 32)
  one = plain.apply(variables, (first, second))
  np.testing.assert_allclose(both[..., :16], one, atol=1e-6)
  # The types of images are swapped, too, so that it is not the reverse.
  assert jnp.abs(both[..., 24:] - swapped[..., 8:]).max() > 1e-4


@pytest.mark.parametrize('score', ['additive', 'dot_tanh', 'scaled_dot'])
def test_scores_of_gban(score):
  module = fusions.GBAN(score=score)
  tokens = _tokens(2)
  variables = module.init(jax.random.key(1), tokens)
  assert ('alignment' in variables['params']) == (score == 'additive')
  assert jnp.isfinite(module.apply(variables, tokens)).all()


@pytest.mark.parametrize('pool', fusions.POOLS)
def test_adaptive_weights_every_channel_of_a_clip(pool):
  module = fusions.Adaptive(pool=pool)
  first, second = _tokens(2)
  variables = module.init(jax.random.key(1), (first, second))
  # (2 x 8 + 1) x 8 and (8 + 1) x 8: one hidden layer.
  sizes = [leaf.size for leaf in jax.tree.leaves(variables)]
  assert sum(sizes) == 17 * 8 + 9 * 8
  hidden, gate = (variables['params'][name] for name in ('hidden', 'gate'))
  means = np.concatenate([first.mean(axis=1), second.mean(axis=1)], axis=-1)
  inner = np.maximum(means @ hidden['kernel'] + hidden['bias'], 0)
  weight = 1 / (1 + np.exp(-(inner @ gate['kernel'] + gate['bias'])))
  assert np.ptp(weight, axis=0).min() > 0 and np.ptp(weight, axis=1).min() > 0
  expected = weight[:, None] * first + (1 - weight[:, None]) * second
  expected = (
    expected.mean(axis=1) if pool == 'mean' else expected.reshape(3, -1)
  )
  found = module.apply(variables, (first, second))
  np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)


def test_adaptive_weights_of_images_are_the_same_for_all_clips():
  module = fusions.Adaptive(gate='image')
  first, second = _tokens(2)
  initial = module.init(jax.random.key(1), (first, second))['params']
  assert initial['weights'].tolist() == [0, 0] and len(initial) == 1
  variables = {'params': {'weights': jnp.log(jnp.array([3.0, 1.0]))}}
  np.testing.assert_allclose(
    module.apply(variables, (first, second))[:, 0],
    (0.75 * first + 0.25 * second).mean(axis=1),
    atol=1e-6,
  )


@pytest.mark.parametrize('gate', fusions.GATES)
def test_adaptive_gives_a_lone_view_the_weight_one(gate):
  module = fusions.Adaptive(gate=gate)
  tokens = _tokens(2)
  variables = module.init(jax.random.key(1), tokens)
  for there in (0, 1):
    present = jnp.zeros((3, 2), bool).at[:, there].set(True)
    found = module.apply(variables, tokens, present)[:, 0]
    np.testing.assert_allclose(found, tokens[there].mean(axis=1), atol=1e-6)


@pytest.mark.parametrize('gate', fusions.GATES)
def test_adaptive_in_bfloat16(gate):
  tokens = _tokens(2)
  module = fusions.Adaptive(gate=gate)
  variables = module.init(jax.random.key(1), tokens)
  rounded = fusions.Adaptive(gate=gate, dtype=jnp.bfloat16)
  narrow = [t.astype(jnp.bfloat16) for t in tokens]
  found = rounded.apply(variables, narrow)
  assert found.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    np.asarray(found, np.float32), module.apply(variables, tokens), atol=0.02
  )
