"""Strain, magnitude, orientation and colour coding of optical flow.

Flow is [..., height, width, 2] in pixels, x (to the right) before y (down).
Compute them before resizing, which changes derivatives.
"""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.core.arrays import AnyArray

Flow = Float[AnyArray, '*batch height width 2']
Scalars = Float[Array, '*batch height width']


def strain(flow: Flow) -> Scalars:
  """Magnitude of optical strain, which measures how much the skin stretches.

      sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2),

  the Frobenius norm of the symmetric part of the flow's gradient, by central
  differences. It is 0 for a translation of the head.

  Args:
    flow: pixels.

  Returns:
    float, 0 or more, dimensionless.

  >>> float(strain(jnp.ones((3, 3, 2))).max())
  0.0

  Source: Liong et al., arXiv 1902.03634 (where the last term is misprinted).
  """
  u_y, u_x = jnp.gradient(flow[..., 0], axis=(-2, -1))
  v_y, v_x = jnp.gradient(flow[..., 1], axis=(-2, -1))
  return jnp.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2)


def magnitude(flow: Flow) -> Scalars:
  """Length of the displacement.

  Args:
    flow: pixels.

  Returns:
    float, pixels.

  >>> magnitude(jnp.array([[[3.0, 4.0]]])).tolist()
  [[5.0]]
  """
  return jnp.hypot(flow[..., 0], flow[..., 1])


def orientation(flow: Flow) -> Float[Array, '*batch height width 2']:
  """Unit vector of the displacement; 0 without motion.

  A vector is used because angles cannot be averaged or interpolated across the
  jump by a full turn.

  Args:
    flow: in any unit.

  Returns:
    float, x before y.

  >>> orientation(jnp.array([[[0.0, -2.0], [0.0, 0.0]]])).tolist()
  [[[0.0, -1.0], [0.0, 0.0]]]
  """
  length = magnitude(flow)[..., None]
  return jnp.asarray(flow) / jnp.where(length == 0, 1, length)


# Name in `data.flow.channels` -> [..., height, width, channel].
MEASURES: Mapping[str, Callable[[Flow], Array]] = {
  'u': lambda flow: jnp.asarray(flow)[..., :1],
  'v': lambda flow: jnp.asarray(flow)[..., 1:],
  'strain': lambda flow: strain(flow)[..., None],
  'magnitude': lambda flow: magnitude(flow)[..., None],
  'orientation': orientation,
}


def colors(
  flow: Flow, value: Float[AnyArray, '*batch height width']
) -> Float[Array, '*batch height width 3']:
  """Codes flow as colours: the hue is the direction, with full saturation.

  Args:
    flow: only its direction is used; to the right is red.
    value: brightness, 0..1.

  Returns:
    RGB, float, 0..1.

  >>> colors(jnp.array([[[1.0, 0.0]]]), jnp.array([[1.0]])).tolist()
  [[[1.0, 0.0, 0.0]]]
  """
  turns = jnp.arctan2(flow[..., 1], flow[..., 0]) / (2 * jnp.pi)
  # From HSV, as in Smith, "Color Gamut Transform Pairs", SIGGRAPH 1978.
  sector = (turns[..., None] * 6 + jnp.array([5.0, 3.0, 1.0])) % 6
  dimmed = jnp.clip(jnp.minimum(sector, 4 - sector), 0, 1)
  return jnp.asarray(value)[..., None] * (1 - dimmed)
