"""The motion of the head, to be taken out of optical flow."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.core import errors
from dianet_jax.core.arrays import AnyArray

HEAD_MOTIONS = ('none', 'median', 'rigid')


def without_head_motion(
  flow: Float[AnyArray, 'pair height width 2'], kind: str = 'median'
) -> Float[Array, 'pair height width 2']:
  """What is left of a flow when the motion of the head is subtracted.

  Args:
    flow: pixels, x then y.
    kind: 'none'; 'median': each component's median over the image, which a
      motion of less than half of the face does not move; 'rigid': the shift and
      the small rotation about the centre that most of the flow follows, fitted
      by least absolute deviations.

  Returns:
    The same shape, pixels.

  Raises:
    UserError: another kind.

  A head that moves a pixel to the right, and nothing else:

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
  """float32 [height, width, 2]: a shift and a rotation by a small angle.

  Weights of 1 / deviation, by turns with the fit, make the squares absolute
  values.
  """
  height, width, _ = flow.shape
  y, x = jnp.mgrid[:height, :width].astype(flow.dtype)
  # In half-widths from the centre: all three unknowns are pixels then.
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
