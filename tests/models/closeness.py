"""Compares values and gradients of two forms of a layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

# Relative to the largest value.
TOLERANCE = {'float32': 2e-6, 'float64': 1e-14}


@pytest.fixture(params=TOLERANCE)
def precision(request):
  """Each dtype of `TOLERANCE`; float64 is enabled for its test."""
  with jax.enable_x64(request.param == 'float64'):
    yield request.param


def draw(dtype, *shape):
  """Normally distributed numbers, the same each time."""
  return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def assert_close(found, expected, dtype, factor=1):
  """Equal types and shapes; values up to `factor` times the tolerance."""
  assert found.dtype == expected.dtype == jnp.dtype(dtype)
  assert found.shape == expected.shape
  largest = max(float(jnp.abs(expected).max(initial=0)), 1e-30)
  np.testing.assert_allclose(
    found / largest, expected / largest, atol=factor * TOLERANCE[dtype], rtol=0
  )


def assert_same(own, reference, arguments, dtype, factor=1):
  """Values and gradients with respect to all arguments."""
  shape = jax.eval_shape(reference, *arguments).shape
  weights = jnp.asarray(np.random.default_rng(1).normal(size=shape), dtype)

  # One program each: operation by operation, compiling takes the most time.
  def with_gradients(form):
    def run(weights, *arguments):
      value, transposed = jax.vjp(form, *arguments)
      return value, *transposed(weights)

    return jax.jit(run)(weights, *arguments)

  for one, other in zip(
    with_gradients(own), with_gradients(reference), strict=True
  ):
    assert_close(one, other, dtype, factor)
