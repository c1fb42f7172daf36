"""TCM: motion between frames, found by correlation and added to their maps.

Source: Liu et al., "Motion-driven Visual Tempo Learning for Video-based Action
Recognition", arXiv 2202.12116, and its code. Measured: correlation is not
divided by the number of features, the softmax's factor of 100 is fixed, the
window around the best match has no gradient. Ours: the module may follow any
stage.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int
import numpy as np

from dianet_jax.models import layers, official

Frames = Float[Array, 'clip frame height width channel']
NewFrames = Float[Array, 'clip new_frame new_height new_width feature']
Valid = Bool[Array, ' clip'] | None
# Standard deviation of the window around the best match, positions; factor of
# the softmax.
_DEVIATION, _SHARPNESS = 5.0, 100.0


def displacements(patch: int) -> Int[np.ndarray, 'move yx']:
  """All displacements (down, right) within a patch, row by row.

  >>> displacements(3)[:4].tolist()
  [[-1, -1], [-1, 0], [-1, 1], [0, -1]]

  Args:
    patch: rows, and columns, of the patch, odd.

  Returns:
    Integers, positions of the map, from -(patch // 2) to patch // 2.
  """
  reach = np.arange(patch) - patch // 2
  return np.stack(np.meshgrid(reach, reach, indexing='ij'), axis=-1).reshape(
    -1, 2
  )


def correlation(
  one: Frames, other: Frames, patch: int
) -> Float[Array, 'clip frame place move']:
  """Dot products of each position in one map with its neighbours in another.

  A feature that moves one position to the right is found at displacement 5,
  (0, 1):

  >>> one = jnp.array([1.0, 0.0]).reshape(1, 1, 1, 2, 1)
  >>> correlation(one, one[..., ::-1, :], patch=3)[0, 0, 0].astype(int).tolist()
  [0, 0, 0, 0, 0, 1, 0, 0, 0]

  Args:
    one: maps.
    other: maps of the same shape.
    patch: rows, and columns, of the neighbourhood, odd.

  Returns:
    float32 sums over the channels, for each of `displacements`; 0 outside the
    map.
  """
  height, width = one.shape[2:4]
  flat = [x.reshape(*x.shape[:2], height * width, -1) for x in (one, other)]
  products = layers.widened(jnp.einsum('ctpf,ctqf->ctpq', *flat))
  row, column = np.divmod(np.arange(height * width), width)
  moves = displacements(patch)
  rows, columns = row[:, None] + moves[:, 0], column[:, None] + moves[:, 1]
  inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
  index = np.where(inside, rows * width + columns, 0)
  found = jnp.take_along_axis(products, jnp.asarray(index)[None, None], axis=-1)
  return jnp.where(inside, found, 0)


def motion(
  one: Frames, other: Frames, patch: int
) -> Float[Array, 'clip frame height width uvc']:
  """Displacement of each position between two maps, and its correlation.

  >>> one = jnp.array([1.0, 0.0]).reshape(1, 1, 1, 2, 1)
  >>> motion(one, one[..., ::-1, :], patch=3)[0, 0, 0, 0].tolist()
  [1.0, 0.0, 1.0]

  Args:
    one: maps, whose features have length 1.
    other: maps of the same shape.
    patch: rows, and columns, of the neighbourhood, odd.

  Returns:
    Displacement to the right and down, -1..1, as a fraction of patch // 2
    positions, and the highest correlation, at least 0.
  """
  height, width = one.shape[2:4]
  scores = nn.relu(correlation(one, other, patch))
  moves = displacements(patch)
  best = jnp.asarray(moves)[scores.argmax(axis=-1)]
  squares = ((jnp.asarray(moves) - best[..., None, :]) ** 2).sum(axis=-1)
  window = jnp.exp(-squares.astype(scores.dtype) / (2 * _DEVIATION**2))
  weights = jax.nn.softmax(_SHARPNESS * scores * window)
  reach = max(patch // 2, 1)
  down, right = jnp.moveaxis(
    weights @ jnp.asarray(moves / reach, scores.dtype), -1, 0
  )
  found = jnp.stack([right, down, layers.largest(scores, -1)], axis=-1)
  return found.reshape(*one.shape[:2], height, width, 3).astype(one.dtype)


class MotionMaps(nn.Module):
  """Displacement and correlation of each position: fast, then slow.

  Attributes:
    patch: see `SlowFastTCM`.
    reduced: see `SlowFastTCM`.
    dtype: see `SlowFastTCM`.
  """

  patch: int = 15
  reduced: int = 64
  dtype: Any = None

  @nn.compact
  def __call__(
    self, x: Frames, valid: Valid = None, train: bool = False
  ) -> Float[Array, 'clip frame height width six']:
    """The result of `motion`, fast and slow; at least two frames."""
    y = layers.Conv(
      self.reduced, (1, 1), use_bias=False, dtype=self.dtype, name='reduce'
    )(x)
    y = layers.BatchNorm(self.dtype, name='reduce_norm')(y, valid, train)
    y = nn.relu(y)
    y = y / jnp.sqrt((y * y).sum(axis=-1, keepdims=True) + 1e-6)
    first = jnp.broadcast_to(y[:, :1], y[:, 1:].shape)
    both = [motion(one, y[:, 1:], self.patch) for one in (y[:, :-1], first)]
    found = jnp.concatenate(both, axis=-1)
    return jnp.concatenate([found, found[:, -1:]], axis=1)


class SlowFastTCM(nn.Module):
  """Adds features of the motion between frames to their maps.

  Fast motion is that to the next frame, slow motion that from the first frame.
  The last frame repeats the motion of the one before it.

  Attributes:
    patch: rows, and columns, of the neighbourhood that is searched, odd.
    reduced: number of features that are compared.
    dtype: computation dtype; None for that of the maps.
  """

  patch: int = 15
  reduced: int = 64
  dtype: Any = None

  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^mtdm\.chnl_reduction\.0', 'motion.reduce'),
      (r'^mtdm\.chnl_reduction\.1', 'motion.reduce_norm'),
      *((rf'^tam\.conv1\.{3 * n}\.', f'convolution_{n}.') for n in range(4)),
      *((rf'^tam\.conv1\.{3 * n + 1}\.', f'norm_{n}.') for n in range(4)),
      (r'^tam\.conv(\d)\.0', r'pair_\1.spread'),
      (r'^tam\.conv(\d)\.1', r'pair_\1.spread_norm'),
      (r'^tam\.conv(\d)\.3', r'pair_\1.widen'),
      (r'^tam\.conv(\d)\.4', r'pair_\1.widen_norm'),
      (r'^tam\.ETA\.conv', 'gate'),
    )
  )

  @nn.compact
  def __call__(
    self, x: Frames, valid: Valid = None, train: bool = False
  ) -> NewFrames:
    """Maps of the same shape; at least two frames."""
    y = MotionMaps(self.patch, self.reduced, self.dtype, name='motion')(
      x, valid, train
    )
    for number in range(4):
      size, width, groups = (1, 16, 1) if number == 3 else (3, 6, 3)
      y = layers.Conv(
        width,
        (size, size),
        padding=size // 2,
        feature_group_count=groups,
        use_bias=False,
        dtype=self.dtype,
        name=f'convolution_{number}',
      )(y)
      y = layers.BatchNorm(self.dtype, name=f'norm_{number}')(y, valid, train)
      y = nn.relu(y)
    for number, width in enumerate((32, 64, x.shape[-1]), 2):
      y = _Pair(width, self.dtype, name=f'pair_{number}')(y, valid, train)
    # One temporal filter for all channels.
    size = int(np.log2(x.shape[1]))
    size += 1 - size % 2
    gate = y.mean(axis=(2, 3)).swapaxes(1, 2)[..., None]
    gate = layers.Conv(
      1,
      (size,),
      padding=size // 2,
      use_bias=False,
      dtype=self.dtype,
      name='gate',
    )(gate)[..., 0]
    return x + y * nn.sigmoid(gate).swapaxes(1, 2)[:, :, None, None]


class _Pair(nn.Module):
  """Depthwise 3x3, then 1x1 convolution, each with norm and ReLU."""

  width: int
  dtype: Any

  @nn.compact
  def __call__(self, x: Frames, valid: Valid, train: bool) -> NewFrames:
    for name, width, size, groups in (
      ('spread', x.shape[-1], 3, x.shape[-1]),
      ('widen', self.width, 1, 1),
    ):
      x = layers.Conv(
        width,
        (size, size),
        padding=size // 2,
        feature_group_count=groups,
        use_bias=False,
        dtype=self.dtype,
        name=name,
      )(x)
      x = layers.BatchNorm(self.dtype, name=f'{name}_norm')(x, valid, train)
      x = nn.relu(x)
    return x
