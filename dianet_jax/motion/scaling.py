"""Phase images to the network's range: the last step before the network.

Rank pooling is linear, so augmentation may come before scaling; min-max
scaling does not commute with it. Every form looks at one image alone: nothing
is learned from other clips, held out or not.
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
  """Divided by the largest absolute value: [-1, 1], no motion stays 0.

  >>> symmetric(jnp.array([[[-2.0], [1.0]]])).ravel().tolist()
  [-1.0, 0.5]
  """
  images = jnp.asarray(images)
  largest = jnp.abs(images).max(axis=_IMAGE, keepdims=True)
  return images / jnp.where(largest == 0, 1, largest)


def minmax(images: Images) -> Scaled:
  """Joint minimum and maximum to [-1, 1]; a constant image becomes 0.

  The display form of Bilen et al. (2016), shifted to the network's range.

  >>> minmax(jnp.array([[[0.0], [1.0], [4.0]]])).ravel().tolist()
  [-1.0, -0.5, 1.0]
  """
  images = jnp.asarray(images)
  low = images.min(axis=_IMAGE, keepdims=True)
  span = images.max(axis=_IMAGE, keepdims=True) - low
  scaled = 2 * (images - low) / jnp.where(span == 0, 1, span) - 1
  return jnp.where(span == 0, 0, scaled)


def standardize(images: Images) -> Scaled:
  """Each channel to mean 0 and variance 1; a constant channel becomes 0.

  For optical flow stored as grey levels, whose grey value of no motion is
  unknown and whose channels have different units.

  >>> standardize(jnp.array([[[1.0], [3.0]]])).ravel().tolist()
  [-1.0, 1.0]
  """
  images = jnp.asarray(images)
  centred = images - images.mean(axis=(-3, -2), keepdims=True)
  deviation = jnp.sqrt((centred**2).mean(axis=(-3, -2), keepdims=True))
  return centred / jnp.where(deviation < 1e-6, 1, deviation)


def none(images: Images) -> Scaled:
  """As the representation gives them.

  >>> none(jnp.array([[[3.0]]])).tolist()
  [[[3.0]]]
  """
  return jnp.asarray(images)


SCALINGS: Mapping[str, Callable[[Images], Scaled]] = {
  'symmetric': symmetric,
  'minmax': minmax,
  'standardize': standardize,
  'none': none,
}


def to_display(
  image: Float[np.ndarray, 'height width channel'],
) -> UInt8[np.ndarray, 'height width channel']:
  """Joint min-max over pixels and channels to 0..255; constant: mid-grey.

  >>> to_display(np.array([[[-3.0], [3.0]]])).ravel().tolist()
  [0, 255]
  """
  scaled = np.asarray(jax.jit(minmax)(image))
  return np.round((scaled + 1) * 127.5).astype(np.uint8)
