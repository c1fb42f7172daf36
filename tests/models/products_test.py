"""Convolutions as products give the numbers of the plain form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models import layers
from dianet_jax.models.layers import cpu, products


def _plain(x, kernel, strides, padding):
  return jax.lax.conv_general_dilated(
    x, kernel, strides, padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


@pytest.mark.parametrize(
  'size,strides,padding',
  [
    ((3, 3), (1, 1), 'SAME'),
    ((1, 1), (2, 2), 'VALID'),
    ((5, 2), (2, 3), [(2, 1), (0, 3)]),
    ((3, 3), (1, 1), [(-1, 0), (1, -1)]),
  ],
)
def test_the_same_numbers_and_gradients(size, strides, padding):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 9, 8, 3)).astype(np.float32)
  kernel = rng.normal(size=(*size, 3, 4)).astype(np.float32)

  def of(form):
    def loss(x, kernel):
      return jnp.sum(jnp.sin(form(x, kernel, strides, padding)))

    return form(x, kernel, strides, padding), jax.grad(loss, (0, 1))(x, kernel)

  jax.tree.map(
    lambda one, two: np.testing.assert_allclose(one, two, atol=1e-3),
    of(products.conv),
    of(_plain),
  )


def test_many_networks_are_one_batched_product():
  model = layers.Conv(4, (3, 3))
  x = jnp.ones((5, 2, 8, 8, 3))
  variables = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 5), x)

  def program(context):
    def apply(variables, x):
      with context():
        return model.apply(variables, x)

    return str(jax.make_jaxpr(jax.vmap(apply))(variables, x))

  assert 'conv_general_dilated' in program(cpu.switched_off)
  text = program(products.everywhere)
  assert 'conv_general_dilated' not in text and 'dot_general' in text
