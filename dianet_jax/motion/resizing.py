"""Resizes images."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

from dianet_jax.core.arrays import AnyArray

Images = Float[AnyArray, '*batch height width channel']
Resized = Float[Array, '*batch new_height new_width channel']


def area(images: Images, size: int) -> Resized:
  """Resizes by averaging the area of each new pixel, like OpenCV's INTER_AREA.

  Args:
    images: float, of any range.
    size: new height and width, pixels.

  Returns:
    float32 [..., size, size, channel], in the units of `images`.

  >>> area(jnp.arange(4.0).reshape(2, 2, 1), 1).ravel().tolist()
  [1.5]
  """
  height, width = images.shape[-3:-1]
  if height == width == size:
    return jnp.asarray(images)
  return jnp.einsum(
    '...hwc,rh,kw->...rkc',
    images,
    _area_weights(height, size),
    _area_weights(width, size),
    precision='highest',
  )


@functools.lru_cache(maxsize=16)
def _area_weights(length: int, size: int) -> Float[np.ndarray, 'size length']:
  """Fraction of each new pixel covered by each old one; rows sum to 1."""
  edges = np.arange(size + 1) * length / size
  pixel = np.arange(length)
  overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(
    edges[:-1, None], pixel
  )
  return (np.clip(overlap, 0, None) * size / length).astype(np.float32)


def antialiased(images: Images, size: int) -> Resized:
  """Resizes bilinearly, with anti-aliasing when reducing.

  Args:
    images: float, of any range.
    size: new height and width in pixels.

  Returns:
    float32, in the units of `images`.

  >>> antialiased(jnp.arange(4.0)[None, :, None].repeat(4, 0), 2).shape
  (2, 2, 1)
  """
  return _bilinear(images, size, True)


def bilinear(images: Images, size: int) -> Resized:
  """Resizes bilinearly between the four nearest pixels, without anti-aliasing.

  Args:
    images: float, of any range.
    size: new height and width in pixels.

  Returns:
    float32, in the units of `images`.

  >>> bilinear(jnp.ones((2, 2, 3)), 4).shape
  (4, 4, 3)
  """
  return _bilinear(images, size, False)


def _bilinear(images, size, antialias):
  shape = (*images.shape[:-3], size, size, images.shape[-1])
  if images.shape == shape:
    return jnp.asarray(images)
  return jax.image.resize(images, shape, 'linear', antialias=antialias)
