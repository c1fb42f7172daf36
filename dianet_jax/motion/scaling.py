"""Scales images to the input range of a network, after augmentation.

Each image is scaled on its own, so held-out clips affect no other clip.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8
import numpy as np

from dianet_jax.core.arrays import AnyArray

Images = Float[AnyArray, '*batch height width channel']
Scaled = Float[Array, '*batch height width channel']
_IMAGE = (-3, -2, -1)


def symmetric(images: Images) -> Scaled:
  """Divides by the largest absolute value: -1..1; 0 (no motion) stays 0.

  Args:
    images: of any range; each is scaled by itself.

  Returns:
    float, -1..1.

  >>> symmetric(jnp.array([[[-2.0], [1.0]]])).ravel().tolist()
  [-1.0, 0.5]
  """
  images = jnp.asarray(images)
  largest = jnp.abs(images).max(axis=_IMAGE, keepdims=True)
  return images / jnp.where(largest == 0, 1, largest)


def minmax(images: Images) -> Scaled:
  """Maps minimum and maximum over all channels to -1 and 1; constant to 0.

  Bilen et al. (CVPR 2016) use the same scaling to 0..255.

  Args:
    images: of any range; each is scaled by itself.

  Returns:
    float, -1..1.

  >>> minmax(jnp.array([[[0.0], [1.0], [4.0]]])).ravel().tolist()
  [-1.0, -0.5, 1.0]
  """
  images = jnp.asarray(images)
  low = images.min(axis=_IMAGE, keepdims=True)
  span = images.max(axis=_IMAGE, keepdims=True) - low
  scaled = 2 * (images - low) / jnp.where(span == 0, 1, span) - 1
  return jnp.where(span == 0, 0, scaled)


def standardize(images: Images) -> Scaled:
  """Scales each channel to mean 0 and variance 1; a constant channel to 0.

  For optical flow stored as grey levels: the grey level of no motion is unknown
  and the channels have different units.

  Args:
    images: of any range; each is scaled by itself.

  Returns:
    float, the same shape.

  >>> standardize(jnp.array([[[1.0], [3.0]]])).ravel().tolist()
  [-1.0, 1.0]
  """
  images = jnp.asarray(images)
  centred = images - images.mean(axis=(-3, -2), keepdims=True)
  deviation = jnp.sqrt((centred**2).mean(axis=(-3, -2), keepdims=True))
  return centred / jnp.where(deviation < 1e-6, 1, deviation)


def grey_levels(images: Images) -> Scaled:
  """Maps -127.5..127.5, grey levels minus mid-grey, to -1..1.

  For images of flow that are stored as grey levels, to be read as they are.

  >>> grey_levels(jnp.array([[[-127.5], [255 / 4]]])).ravel().tolist()
  [-1.0, 0.5]
  """
  return jnp.asarray(images) / 127.5


def none(images: Images) -> Scaled:
  """Returns the images unchanged.

  >>> none(jnp.array([[[3.0]]])).tolist()
  [[[3.0]]]
  """
  return jnp.asarray(images)


SCALINGS: Mapping[str, Callable[[Images], Scaled]] = {
  'symmetric': symmetric,
  'minmax': minmax,
  'standardize': standardize,
  'grey_levels': grey_levels,
  'none': none,
}


def to_display(
  image: Float[np.ndarray, 'height width channel'],
) -> UInt8[np.ndarray, 'height width channel']:
  """Maps minimum and maximum over all channels to 0 and 255; constant to 128.

  Args:
    image: of any range.

  Returns:
    uint8, the same shape.

  >>> to_display(np.array([[[-3.0], [3.0]]])).ravel().tolist()
  [0, 255]
  """
  scaled = np.asarray(jax.jit(minmax)(image))
  return np.round((scaled + 1) * 127.5).astype(np.uint8)
