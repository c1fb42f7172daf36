"""Adam without a division by what is the same for a whole array."""

import jax
import jax.numpy as jnp
import optax


def scale_by_adam(
  b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
  """As `optax.scale_by_adam`, but multiplies by the reciprocal of 1 - b**t.

  XLA compiles that division otherwise for one device than for several, and the
  last bit of a parameter would depend on their number.

  Args:
    b1: decay of the mean of the gradients.
    b2: decay of the mean of their squares.
    eps: added to the root of the latter.

  Source: Kingma and Ba, arXiv 1412.6980, algorithm 1.
  """

  def init(params):
    zeros = jax.tree.map(jnp.zeros_like, params)
    return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), zeros, zeros)

  def update(gradients, state, params=None):
    del params
    mu = optax.tree.update_moment(gradients, state.mu, b1, 1)
    nu = optax.tree.update_moment(gradients, state.nu, b2, 2)
    count = optax.safe_increment(state.count)
    of_mu, of_nu = (1 / (1 - b**count) for b in (b1, b2))
    updates = jax.tree.map(
      lambda m, v: (
        m * of_mu.astype(m.dtype) / (jnp.sqrt(v * of_nu.astype(v.dtype)) + eps)
      ),
      mu,
      nu,
    )
    return updates, optax.ScaleByAdamState(count, mu, nu)

  return optax.GradientTransformation(init, update)
