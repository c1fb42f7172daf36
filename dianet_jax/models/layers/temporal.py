"""Temporal shift: each frame takes some channels from its neighbours."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def temporal_shift(
  x: Float[Array, 'clip frame *pixels channel'], share: int = 8
) -> Float[Array, 'clip frame *pixels channel']:
  """Takes 1/`share` of the channels from the next frame, and from the previous.

  >>> x = jnp.array([[[1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]]], float)
  >>> temporal_shift(x, share=4)[0].astype(int).tolist()
  [[2, 0, 1, 1], [3, 1, 2, 2], [0, 2, 3, 3]]

  Args:
    x: maps or vectors of each frame.
    share: the first channels / share come from the next frame, as many from
      the previous one, the others stay.

  Returns:
    The shape of x; zeros where there is no such frame.

  Source: Lin et al., "TSM: Temporal Shift Module for Efficient Video
  Understanding", ICCV 2019, the form that shifts in both directions.
  """
  part = x.shape[-1] // share
  none = jnp.zeros_like(x[:, :1, ..., :part])
  following = jnp.concatenate([x[:, 1:, ..., :part], none], axis=1)
  before = jnp.concatenate([none, x[:, :-1, ..., part : 2 * part]], axis=1)
  return jnp.concatenate([following, before, x[..., 2 * part :]], axis=-1)
