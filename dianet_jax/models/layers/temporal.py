"""Temporal shift: channels that a frame takes from its neighbours."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def temporal_shift(
  x: Float[Array, 'clip frame *pixels channel'], share: int = 8
) -> Float[Array, 'clip frame *pixels channel']:
  """One part in `share` comes from the next frame, one from the one before.

  There are zeros where there is none.

  Source: Lin et al., "TSM: Temporal Shift Module", ICCV 2019.
  """
  part = x.shape[-1] // share
  none = jnp.zeros_like(x[:, :1, ..., :part])
  following = jnp.concatenate([x[:, 1:, ..., :part], none], axis=1)
  before = jnp.concatenate([none, x[:, :-1, ..., part : 2 * part]], axis=1)
  return jnp.concatenate([following, before, x[..., 2 * part :]], axis=-1)
