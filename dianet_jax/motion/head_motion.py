"""Removes head motion from optical flow."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.core import errors
from dianet_jax.core.arrays import AnyArray

HEAD_MOTIONS = ('none', 'median', 'rigid')


def without_head_motion(
  flow: Float[AnyArray, 'pair height width 2'], kind: str = 'median'
) -> Float[Array, 'pair height width 2']:
  """Subtracts the motion of the head from optical flow.

  Args:
    flow: pixels, x then y.
    kind: 'none': no head motion is subtracted. 'median': the median of each
      component, which is not affected by motion of less than half of the face.
      'rigid': a shift and a small rotation about the centre, fitted by least
      absolute deviations.

  Returns:
    Flow of the same shape, pixels.

  Raises:
    UserError: `kind` is unknown.

  In the example, the head moves by one pixel to the right:

  >>> flow = jnp.zeros((1, 4, 4, 2)).at[..., 0].set(1.0)
  >>> float(abs(without_head_motion(flow)).max())
  0.0
  """
  flow = jnp.asarray(flow)
  if kind == 'none':
    return flow
  if kind == 'median':
    return flow - jnp.median(flow, axis=(-3, -2), keepdims=True)
  if kind == 'rigid':
    return flow - jax.vmap(_rigid_motion)(flow)
  raise errors.UserError(
    f'head motion {kind!r}: expected one of {", ".join(HEAD_MOTIONS)}.'
  )


def _rigid_motion(flow, rounds=20):
  """Shift and small rotation that fit the flow, float32 [height, width, 2].

  Iteratively reweighted least squares with weights of 1 / deviation, which
  minimises absolute deviations.
  """
  height, width, _ = flow.shape
  y, x = jnp.mgrid[:height, :width].astype(flow.dtype)
  # In units of the half width from the centre, so that all unknowns are pixels.
  x, y = (2 * x - width + 1) / width, (2 * y - height + 1) / width
  one, zero = jnp.ones_like(x), jnp.zeros_like(x)
  basis = jnp.stack(
    [
      jnp.stack([one, zero], -1),
      jnp.stack([zero, one], -1),
      jnp.stack([-y, x], -1),
    ]
  )

  def refit(_, motion):
    deviation = jnp.linalg.norm(flow - motion, axis=-1, keepdims=True)
    weighted = basis / jnp.maximum(deviation, 1e-3)
    normal = jnp.einsum('ihwc,jhwc->ij', weighted, basis, precision='highest')
    right = jnp.einsum('ihwc,hwc->i', weighted, flow, precision='highest')
    return jnp.einsum('i,ihwc->hwc', jnp.linalg.solve(normal, right), basis)

  start = jnp.broadcast_to(jnp.median(flow, axis=(0, 1)), flow.shape)
  return jax.lax.fori_loop(0, rounds, refit, start)
