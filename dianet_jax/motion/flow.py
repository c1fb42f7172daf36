"""Computes optical flow between frames of clips, and codes it as images."""

from collections.abc import Sequence
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Num
import numpy as np

from dianet_jax.core import config
from dianet_jax.core.arrays import AnyArray
from dianet_jax.motion import (
  head_motion,
  key_frames,
  optical_flow,
  resizing,
  strain,
)
from dianet_jax.motion.registry import Channel, ClipBatch

# Largest number of pairs of frames per call; at 224 pixels they have 20 MB, and
# their flow as much.
PAIRS = 16

_CHANNELS = {
  'u': (Channel('u', 'pixels', flips_sign=True, component='x'),),
  'v': (Channel('v', 'pixels', component='y'),),
  'strain': (Channel('strain', '1'),),
  'magnitude': (Channel('magnitude', 'pixels'),),
  'orientation': (
    Channel('orientation x', '1', flips_sign=True, component='x'),
    Channel('orientation y', '1', component='y'),
  ),
}
CODED = tuple(Channel(c, '', coded=True) for c in ('red', 'green', 'blue'))


def between(
  clips: ClipBatch,
  first: Num[np.ndarray, 'clip pair'],
  last: Num[np.ndarray, 'clip pair'],
  settings: config.Flow,
) -> Float32[np.ndarray, 'clip pair height width 2']:
  """Computes optical flow between pairs of frames of each clip.

  Args:
    clips: with frames.
    first: index of the first frame of each pair; see `key_frames.frames_at`.
    last: index of the second frame.
    settings: the `data.flow` section.

  Returns:
    Flow in pixels, x then y, at the size of the frames; exactly 0 if both
    indices are equal.

  >>> frames = np.zeros((1, 2, 32 * 32 * 3), np.uint8)
  >>> at = np.array([[2], [0], [1], [1]])
  >>> still = ClipBatch(frames, *at, frame_shape=(32, 32, 3))
  >>> first, last = np.array([[0]]), np.array([[1]])
  >>> flow = between(still, first, last, config.Flow(method='farneback'))
  >>> flow.shape, float(np.abs(flow).max())
  ((1, 1, 32, 32, 2), 0.0)
  """
  flow = np.zeros((*first.shape, *clips.frame_shape[:2], 2), np.float32)
  # Padding of a batch has one frame, so no flow is computed for it.
  rows, columns = np.nonzero(first != last)
  # The same number for all batches of one shape, so one program is compiled.
  pairs = min(PAIRS, first.size)
  for start in range(0, len(rows), pairs):
    row = rows[start : start + pairs]
    column = columns[start : start + pairs]
    ends = np.concatenate([first[row, column], last[row, column]])
    frames = key_frames.pick(clips, np.tile(row, 2), ends)
    grey = optical_flow.grey(frames).reshape(2, len(row), *frames.shape[1:3])
    before, after = grey
    flow[row, column] = _of_pairs(before, after, pairs, settings)
  return flow


def _of_pairs(first, second, pairs, settings):
  """Flow of at most `pairs` pairs of grey images."""
  if settings.method == 'farneback':
    flow = optical_flow.farneback(np.asarray(first), np.asarray(second))
  else:
    number = len(first)
    padding = ((0, pairs - number), (0, 0), (0, 0))
    flow = optical_flow.tv_l1(
      jnp.pad(first, padding),
      jnp.pad(second, padding),
      scales=settings.scales,
      warps=settings.warps,
    )[:number]
  flow = head_motion.without_head_motion(
    jnp.asarray(flow), settings.head_motion
  )
  return np.asarray(flow)


def channels(settings: config.Flow) -> tuple[Channel, ...]:
  """Channels of the images that `images` returns.

  Args:
    settings: the `data.flow` section.

  >>> [channel.name for channel in channels(config.Flow())]
  ['u', 'v', 'strain']
  """
  if settings.coding == 'hsv':
    return CODED
  named = (c for name in settings.channels for c in _CHANNELS[name])
  if settings.coding == 'pixels':
    return tuple(named)
  # Each image is scaled by unknown factors, so channels have no unit.
  return tuple(Channel(c.name, '', c.flips_sign, c.component) for c in named)


# Compiled as one program, because forty small ones take seconds to compile.
@functools.partial(jax.jit, static_argnames=('settings', 'size'))
def images(
  flow: Float[AnyArray, '*batch height width 2'],
  settings: config.Flow,
  size: int,
) -> Float[Array, '*batch new_height new_width channel']:
  """Codes flow as images.

  Derived quantities are computed at the size of the flow; then images are
  resized by averaging areas; then they are scaled, as in the code of HTNet. The
  images of MEGC 2019 published with CausalNet were scaled before they were
  resized: few of their channels have values of 0 and 255. Here 127.5 is
  subtracted.
  Colours are scaled before they are resized, as in the code of SLSTT (arXiv
  2112.05851), which also rounds them down to 8 bits and compresses them.

  Args:
    flow: pixels; with `value_scale=clip` the last axis of the batch has all
      images of a clip.
    settings: the `data.flow` section; determines channels and coding.
    size: new height and width in pixels.

  Returns:
    float32, -127.5..127.5 for grey levels, pixels for `coding=pixels`, 0..1 for
    `coding=hsv`.

  >>> right = np.zeros((4, 4, 2), np.float32)
  >>> right[..., 0] = 3
  >>> settings = config.Flow(coding='pixels', channels=('u', 'magnitude'))
  >>> images(right, settings, 1).ravel().tolist()
  [3.0, 3.0]
  """
  flow = jnp.asarray(flow)
  if settings.coding == 'hsv':
    axes = (-4, -3, -2) if settings.value_scale == 'clip' else (-3, -2)
    value = minmax(strain.magnitude(flow)[..., None], axes=axes)[..., 0]
    return resizing.area(strain.colors(flow, value), size)
  measured = [strain.MEASURES[name](flow) for name in settings.channels]
  reduced = resizing.area(jnp.concatenate(measured, axis=-1), size)
  if settings.coding == 'pixels':
    return reduced
  levels = jnp.round(minmax(reduced) * 255) - 127.5
  # A constant channel cannot be scaled.
  return jnp.where(jnp.ptp(reduced, (-3, -2), keepdims=True) == 0, 0, levels)


def minmax(
  images_: Float[AnyArray, '*batch height width channel'],
  constant: float = 0.0,
  axes: Sequence[int] = (-3, -2),
) -> Float[Array, '*batch height width channel']:
  """Scales each channel of an image to 0..1 by its own minimum and maximum.

  Args:
    images_: of any range.
    constant: result for a constant channel.
    axes: over which minimum and maximum are taken; by default one image.

  Returns:
    The same shape, float.

  >>> minmax(jnp.array([[[1.0], [2.0], [3.0]]])).ravel().tolist()
  [0.0, 0.5, 1.0]
  """
  low = images_.min(axis=tuple(axes), keepdims=True)
  span = images_.max(axis=tuple(axes), keepdims=True) - low
  scaled = (images_ - low) / jnp.where(span == 0, 1, span)
  return jnp.where(span == 0, constant, scaled)
