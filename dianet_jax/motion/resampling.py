"""Warps images by optical flow, and resizes them, with OpenCV's conventions."""

from collections.abc import Callable, Mapping
import functools
import operator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32
import numpy as np

from dianet_jax.core.arrays import AnyArray


def warp(
  images: Float32[AnyArray, 'image height width'],
  flow: Float32[AnyArray, '2 height width'],
  weights: Callable,
) -> tuple[Float32[Array, 'image height width'], Bool[Array, 'height width']]:
  """Samples images at x + flow.

  Args:
    images: border pixels are repeated.
    flow: x then y, pixels.
    weights: interpolation, a value of `WEIGHTS`.

  Returns:
    The sampled images; and whether x + flow is inside the image.

  >>> flow, image = jnp.zeros((2, 2, 2)).at[0].set(0.5), [[0.0, 10.0]] * 2
  >>> image, inside = warp(jnp.array([image]), flow, WEIGHTS['linear'])
  >>> image[0, 0].tolist(), inside[0].tolist()
  ([5.0, 10.0], [True, False])
  """
  _, height, width = images.shape
  y, x = jnp.mgrid[:height, :width].astype(jnp.float32)
  x, y = x + flow[0], y + flow[1]
  inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
  x, y = jnp.clip(x, 0, width - 1), jnp.clip(y, 0, height - 1)
  left = jnp.minimum(jnp.floor(x), width - 2)
  top = jnp.minimum(jnp.floor(y), height - 2)
  columns, rows = weights(x - left), weights(y - top)
  taps = len(rows)
  margin = (taps // 2 - 1,) * 2
  images = jnp.pad(images, ((0, 0), margin, margin), mode='edge')
  stride = images.shape[2]
  corner = (top * stride + left).astype(jnp.int32)
  flat = images.reshape(len(images), -1)

  def at(shift):
    # Clipped, so that NaN in the flow does not read out of bounds.
    return jnp.take(flat, corner + shift, axis=1, mode='clip')

  def along(j):
    terms = (w * at(j * stride + i) for i, w in enumerate(columns))
    return functools.reduce(operator.add, terms)

  lines = (weight * along(j) for j, weight in enumerate(rows))
  return functools.reduce(operator.add, lines), inside


def _linear(f):
  """Weights of the values before and after a position, `f` after the first."""
  return 1 - f, f


def _cubic(f):
  """Weights of four neighbours: Keys' kernel with a = -0.75, as in OpenCV."""
  a = -0.75

  def near(d):
    return ((a + 2) * d - (a + 3)) * d * d + 1

  before = ((a * (f + 1) - 5 * a) * (f + 1) + 8 * a) * (f + 1) - 4 * a
  middle = near(f), near(1 - f)
  return before, *middle, 1 - before - sum(middle)


WEIGHTS: Mapping[str, Callable] = {'linear': _linear, 'cubic': _cubic}


def resize(
  image: Float32[AnyArray, '*batch height width'],
  size: tuple[int, int],
  scale: float | None = None,
) -> Float32[Array, '*batch new_height new_width']:
  """Resizes bilinearly, with half-pixel centres, without anti-aliasing.

  Args:
    image: any range.
    size: new height and width.
    scale: size of a new pixel in old pixels; None for the ratio of the sizes.

  Returns:
    float32 [..., new height, new width].

  >>> resize(jnp.array([[0.0, 4.0]] * 2), (2, 4))[0].tolist()
  [0.0, 1.0, 3.0, 4.0]
  """
  rows, columns = (
    _linear_weights(old, new, scale or old / new)
    for old, new in zip(image.shape[-2:], size)
  )
  return jnp.einsum(
    'yi,...ij,xj->...yx',
    rows,
    image,
    columns,
    precision=jax.lax.Precision.HIGHEST,
  )


@functools.lru_cache(maxsize=64)
def _linear_weights(old: int, new: int, scale: float) -> np.ndarray:
  """float32 [new, old], two weights per row."""
  position = np.clip((np.arange(new) + 0.5) * scale - 0.5, 0, old - 1)
  below = np.minimum(np.floor(position), old - 2).astype(int)
  weights = np.zeros((new, old), np.float32)
  weights[np.arange(new), below] = 1 - (position - below)
  weights[np.arange(new), below + 1] = position - below
  return weights
