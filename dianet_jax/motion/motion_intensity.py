"""How far each frame of a clip has moved from the onset, to rank frames by.

Source: arXiv 2510.09730. Stated there: a dynamic image of frames that are
ordered by motion intensity. The measure is ours, as the paper's is not known.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int, Num

from dianet_jax.core import errors
from dianet_jax.core.arrays import AnyArray
from dianet_jax.motion import optical_flow


def motion_intensity(
  frames: Num[AnyArray, 'clip frame pixel'],
  onset: Int[AnyArray, ' clip'],
  frame_shape: tuple[int, ...],
) -> Float32[Array, 'clip frame']:
  """Mean absolute difference of each frame from the onset frame.

  Frames are converted to grey levels and averaged over 3 x 3 pixels, so that
  the noise of single pixels counts less; pixels at the border are repeated.

  Args:
    frames: uint8 or float, grey levels.
    onset: index of the onset frame.
    frame_shape: height, width and channel of a frame, with three channels (red,
      green, blue) or one.

  Returns:
    Grey levels, at least 0; exactly 0 for a frame that equals the onset frame.

  Raises:
    UserError: `frame_shape` is not that of the frames.

  A frame of nine pixels, of which the one in the middle becomes brighter:

  >>> frames = jnp.zeros((1, 2, 9)).at[0, 1, 4].set(9.0)
  >>> motion_intensity(frames, jnp.array([0]), (3, 3, 1)).tolist()
  [[0.0, 1.0]]
  """
  _check_shape(frames, frame_shape)
  start = jnp.take_along_axis(frames, onset[:, None, None], axis=1)
  start = start[:, 0].astype(jnp.float32)

  # Frame by frame, because all differences together would be a copy.
  def of_frame(t):
    frame = jax.lax.dynamic_slice_in_dim(frames, t, 1, axis=1)
    moved = frame[:, 0].astype(jnp.float32) - start
    # Both are linear, so that they can be applied to the difference.
    moved = _blurred(_grey(moved.reshape(-1, *frame_shape)))
    return jnp.abs(moved).mean(axis=(1, 2))

  return jax.lax.map(of_frame, jnp.arange(frames.shape[1])).T


def _check_shape(frames, frame_shape):
  colors = frame_shape[2:]
  known = len(frame_shape) == 3 and colors[0] in (1, 3)
  if not known or math.prod(frame_shape) != frames.shape[2]:
    raise errors.UserError(
      f'frame_shape={tuple(frame_shape)}: frames of {frames.shape[2]} values'
      ' are ordered by motion intensity; expected their height, width and'
      ' number of channels, 1 or 3.'
    )


def _grey(images):
  """Grey levels [clip, height, width] of images with one or three channels."""
  if images.shape[-1] == 3:
    return optical_flow.grey(images)
  return images[..., 0]


def _blurred(images):
  """Means over 3 x 3 pixels, [clip, height, width]."""
  for axis in (1, 2):
    rest = [(0, 0)] * 3
    rest[axis] = (1, 1)
    padded = jnp.pad(images, rest, mode='edge')
    size = images.shape[axis]
    parts = [
      jax.lax.slice_in_dim(padded, first, first + size, axis=axis)
      for first in range(3)
    ]
    images = (parts[0] + parts[1] + parts[2]) / 3
  return images
