"""Pooling against that of flax."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models import layers
from dianet_jax.models.layers.cpu import pooling
from tests.models.closeness import assert_close, assert_same, draw, precision

OPTIONS = {
  'avg_pool': pooling.AVG_OPTIONS,
  'max_pool': ((3, 3), (2, 2), ((1, 1), (1, 1))),
}


@pytest.mark.slow
@pytest.mark.parametrize('size', [1, 2, 5, 8])
@pytest.mark.parametrize('name', OPTIONS)
def test_pooling_that_has_a_fast_form(precision, name, size):
  # Many equal values, as behind a ReLU.
  x = jnp.maximum(draw(precision, 3, size, size + 1, 4), 0)
  assert_same(
    lambda x: getattr(layers, name)(x, *OPTIONS[name]),
    lambda x: getattr(nn, name)(x, *OPTIONS[name]),
    (x,),
    precision,
  )


@pytest.mark.parametrize(
  'options',
  [
    ((3, 3), (3, 3), ((1, 1), (1, 1))),
    ((2, 2), (2, 2)),
    ((2, 3), (2, 3), ((0, 1), (1, 0))),
    ((5, 5), (2, 2), ((2, 2), (2, 2))),
    ((3, 2), (1, 2), 'SAME'),
    ((2, 2), (3, 3)),
  ],
  ids=str,
)
def test_max_pool_of_other_windows(options):
  x = jnp.maximum(draw('float32', 2, 7, 8, 3), 0)
  assert_same(
    lambda x: layers.max_pool(x, *options),
    lambda x: nn.max_pool(x, *options),
    (x,),
    'float32',
  )


@pytest.mark.parametrize(
  'name,options',
  [
    ('avg_pool', ((2, 2), (2, 2), 'SAME', True)),
    ('avg_pool', ((2, 2), (2, 2))),
    ('avg_pool', ((3, 2), (1, 2), ((1, 1), (0, 1)), False)),
    ('max_pool', ((3, 3), (2, 2), 'SAME')),
    ('max_pool', ((2, 2),)),
  ],
  ids=str,
)
def test_other_pooling_is_that_of_flax(name, options):
  x = draw('float32', 3, 7, 8, 4)
  np.testing.assert_array_equal(
    getattr(layers, name)(x, *options), getattr(nn, name)(x, *options)
  )


@pytest.mark.parametrize('name', OPTIONS)
def test_a_single_image(name):
  x = draw('float32', 5, 6, 4)
  pool = getattr(layers, name)
  found, expected = (pool(y, *OPTIONS[name]) for y in (x, x[None]))
  assert_close(found, expected[0], 'float32')


@pytest.mark.parametrize('name', OPTIONS)
def test_pooling_keeps_bfloat16(name):
  x = jnp.ones((2, 6, 6, 3), jnp.bfloat16)
  pool = getattr(layers, name)
  assert pool(x, *OPTIONS[name]).dtype == jnp.bfloat16
  with layers.cpu.switched_off():
    assert pool(x, *OPTIONS[name]).dtype == jnp.bfloat16


def test_max_pool_keeps_nan():
  x = jnp.zeros((1, 4, 4, 1)).at[0, 3, 3].set(jnp.nan)
  assert jnp.isnan(layers.max_pool(x, *OPTIONS['max_pool'])).any()


def test_frames_are_pooled_each_by_itself():
  x = draw('float32', 2, 3, 8, 8, 5)
  edge = ((1, 1), (1, 1))
  for pool in (
    lambda x: layers.max_pool(x, (3, 3), (2, 2), edge),
    lambda x: layers.avg_pool(x, (3, 3), (2, 2), edge),
    lambda x: layers.max_pool(x, (5, 5), (2, 2)),
  ):
    each = jnp.stack([pool(x[:, frame]) for frame in range(3)], axis=1)
    np.testing.assert_array_equal(pool(x), each)


@pytest.mark.parametrize('axis', [-1, 1, 0])
def test_the_gradient_of_the_maximum_goes_to_its_first_position(axis):
  x = jnp.round(jax.random.normal(jax.random.key(0), (4, 5, 6)))
  np.testing.assert_array_equal(layers.largest(x, axis), x.max(axis))
  gradient = jax.grad(lambda x: layers.largest(x, axis).sum())(x)
  np.testing.assert_array_equal(gradient.sum(axis), jnp.ones(x.max(axis).shape))
  np.testing.assert_array_equal(gradient.argmax(axis), x.argmax(axis))
