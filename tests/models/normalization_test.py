"""Batch normalisation against that of flax."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models import layers
from tests.models.closeness import draw

ALL, SOME = (True,) * 5, (True, False, True, False, True)


@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('valid', [None, ALL, SOME])
@pytest.mark.parametrize('shape', [(5, 6), (5, 4, 6), (5, 4, 3, 6)], ids=str)
def test_normalisation(shape, valid, train):
  x = draw('float32', *shape) * 3 + 2
  mask = None if valid is None else jnp.array(valid)
  own = layers.BatchNorm(momentum=0.7, epsilon=1e-2)
  variables = own.init(jax.random.key(0), x, mask, train)
  reference = nn.BatchNorm(
    use_running_average=not train, momentum=0.7, epsilon=1e-2
  )
  assert jax.tree.structure(variables) == jax.tree.structure(
    reference.init(jax.random.key(0), x)
  )
  spread = None
  weights = draw('float32', *shape)
  if mask is not None:
    spread = mask.reshape(-1, *[1] * (x.ndim - 1))
    weights = jnp.where(spread, weights, 0)

  def run(apply):
    def loss(params, x):
      y, updated = apply({**variables, 'params': params}, x)
      return (y * weights).sum(), (y * (weights != 0), updated)

    return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(variables['params'], x)

  found = run(lambda v, x: own.apply(v, x, mask, train, mutable='batch_stats'))
  expected = run(
    lambda v, x: reference.apply(v, x, mask=spread, mutable='batch_stats')
  )
  ones, others = jax.tree.leaves(found), jax.tree.leaves(expected)
  for one, other in zip(ones, others, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize('train', [True, False])
def test_initialising_does_not_update_the_statistics(train):
  x = draw('float32', 5, 6) + 3
  variables = layers.BatchNorm().init(jax.random.key(0), x, None, train)
  np.testing.assert_array_equal(variables['batch_stats']['mean'], 0)
  np.testing.assert_array_equal(variables['batch_stats']['var'], 1)


def test_no_valid_clip_gives_finite_numbers():
  x = draw('float32', 5, 4, 4, 6)
  norm = layers.BatchNorm()
  variables = norm.init(jax.random.key(0), x, None, False)
  nothing = jnp.zeros(5, bool)
  found = norm.apply(variables, x, nothing, True, mutable='batch_stats')
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_zero_scale_gives_zeros():
  x = draw('float32', 5, 6)
  norm = layers.BatchNorm(zero_scale=True)
  variables = norm.init(jax.random.key(0), x, None, False)
  np.testing.assert_array_equal(norm.apply(variables, x, None, False), 0)


def test_bfloat16_has_statistics_of_float32():
  x = draw('bfloat16', 64, 8, 8, 3) + 1
  norm = layers.BatchNorm(jnp.bfloat16, momentum=0.0)
  variables = norm.init(jax.random.key(0), x, None, False)
  y, updated = norm.apply(variables, x, None, True, mutable='batch_stats')
  assert y.dtype == jnp.bfloat16
  exact = np.asarray(x, np.float64).mean(axis=(0, 1, 2))
  np.testing.assert_allclose(updated['batch_stats']['mean'], exact, rtol=1e-5)
