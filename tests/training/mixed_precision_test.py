"""Computation in bfloat16, state in float32, without loss scaling."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dianet_jax.models.dianet import DIANet
from tests.support.small_folds import clips, run, shared_programs


@pytest.fixture(scope='module')
def gradients(clips):
  """The gradients of a loss that is multiplied by `scale`, divided by it."""
  images, labels = (jnp.asarray(array[:6]) for array in clips)
  settings = DIANet.Settings(backbone='compact', dropout=0.0)
  inputs = {'dynamic_images': images}
  variables = jax.jit(DIANet(3, settings).init)(jax.random.key(0), inputs)

  @functools.cache
  def of(dtype, scale):
    model = DIANet(3, settings, dtype)

    @jax.jit
    def gradient(params):
      def loss(params):
        outputs, _ = model.apply(
          variables | {'params': params},
          inputs,
          jnp.ones(len(images), bool),
          True,
          mutable=['batch_stats'],
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(
          outputs.logits[:, 0], labels
        )
        return scale * losses.mean()

      return jax.tree.map(lambda leaf: leaf / scale, jax.grad(loss)(params))

    return np.concatenate(
      [
        np.ravel(leaf)
        for leaf in jax.tree.leaves(gradient(variables['params']))
      ]
    )

  return of


@pytest.mark.slow
def test_a_scaled_loss_changes_no_bit(gradients):
  # bfloat16 has the exponents of float32: a power of two passes through.
  plain = gradients(jnp.bfloat16, 1.0)
  assert plain.dtype == np.float32 and np.count_nonzero(plain) > 1000
  for scale in (2.0**-20, 2.0**15):
    np.testing.assert_array_equal(gradients(jnp.bfloat16, scale), plain)


@pytest.mark.slow
def test_float16_would_need_a_scaled_loss(gradients):
  plain, small = (gradients(jnp.float16, s) for s in (1.0, 2.0**-20))
  assert np.count_nonzero(small) < 0.5 * np.count_nonzero(plain)


@pytest.mark.slow
def test_gradients_are_those_of_float32_as_far_as_bfloat16_goes(gradients):
  exact, rounded = (gradients(d, 1.0) for d in (jnp.float32, jnp.bfloat16))
  # 8 bits of mantissa, some dozen roundings.
  difference = np.linalg.norm(exact - rounded) / np.linalg.norm(exact)
  assert 1e-4 < difference < 0.1


@pytest.mark.slow
def test_the_training_state_is_float32(run):
  exact, rounded = (
    run.training_of_one(
      devices=1, strategy='map', rows=[0], compute_dtype=dtype
    )
    for dtype in ('float32', 'bfloat16')
  )
  kinds = {
    leaf.dtype.name
    for leaf in jax.tree.leaves(rounded.state)
    if jnp.issubdtype(leaf.dtype, jnp.floating)
  }
  assert kinds == {'float32'}
  one, other = exact.history.loss, rounded.history.loss
  assert (one != other).all()
  np.testing.assert_allclose(one, other, rtol=0.1)
