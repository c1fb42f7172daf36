"""Input of SKD-TSTSAN: apex and onset, complete and in blocks, and the flow.

Source: arXiv 2406.17538 and its code. Differences: faces are aligned or cropped
by this project, the flow is not stored as 8-bit JPEG images in between, and
TV-L1 is this project's, with fewer iterations and without a median filter of
the flow.
"""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Num
import numpy as np

from dianet_jax.core import config
from dianet_jax.core.arrays import AnyArray
from dianet_jax.motion import flow as flow_lib
from dianet_jax.motion import key_frames as key_frames_lib
from dianet_jax.motion import optical_flow, resizing
from dianet_jax.motion.registry import Channel, ClipBatch, Representation

# Side of the face and of the channels in pixels; blocks per side.
_FACE, SIZE, _GRID = 128, 48, 4
_LEVEL = '1'


def _block_channels(frame: str) -> tuple[Channel, ...]:
  """Channels of the blocks, row by row; mirroring exchanges the columns."""

  def name(row, column):
    return f'{frame}, block {row + 1} {column + 1}'

  return tuple(
    Channel(
      name(row, column),
      _LEVEL,
      mirror_channel=name(row, _GRID - 1 - column),
      area=(
        row / _GRID,
        (row + 1) / _GRID,
        column / _GRID,
        (column + 1) / _GRID,
      ),
    )
    for row in range(_GRID)
    for column in range(_GRID)
  )


class SkdTstsan(Representation):
  """38 channels of 48 x 48 pixels, 0..1, in one view.

  Channels 0 and 1 are the grey apex and onset frames, each scaled by its own
  minimum and maximum, or with `data.scale_jointly` by those of both. 2 to 17
  and 18 to 33 are their 4 x 4 blocks. 34 to 37 are u and v of onset to apex and
  of apex to offset, each scaled by its own minimum and maximum, or 0.5 if it is
  constant. Published with
  `data.flow.method=tv_l1`.

  >>> SKD_TSTSAN.shape(config.Data())
  (1, 48, 48, 38)
  """

  title = 'the inputs of SKD-TSTSAN'
  cached = True

  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """Blocks and flow can be mirrored, but not shifted or rotated."""
    del settings
    flow = (
      channel
      for number in (1, 2)
      for channel in (
        Channel(f'u{number}', '', flips_sign=True, component='x', zero=0.5),
        Channel(f'v{number}', '', component='y', zero=0.5),
      )
    )
    return (
      Channel('apex', _LEVEL),
      Channel('onset', _LEVEL),
      *_block_channels('apex'),
      *_block_channels('onset'),
      *flow,
    )

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """[view, height, width, channel], independent of `data.image_size`."""
    del settings
    return 1, SIZE, SIZE, 2 + 2 * _GRID**2 + 4

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    del settings
    return ('apex, onset, their blocks, and flow',)

  def note(self, key_frames: Mapping[str, int], settings: config.Data) -> str:
    """See `registry.Representation`."""
    del settings
    return key_frames_lib.single_frames(key_frames, config.PHASES[:2])

  def still(
    self, images: Float[AnyArray, 'view height width channel']
  ) -> Float[AnyArray, 'view height width channel']:
    """The apex equal to the onset, and flow of 0.5."""
    blocks_, flow = _GRID**2, np.full_like(images[..., -4:], 0.5)
    onset, parts = images[..., 1:2], images[..., 2 + blocks_ : 2 + 2 * blocks_]
    return np.concatenate([onset, onset, parts, parts, flow], axis=-1)

  def __call__(
    self, clips: ClipBatch, settings: config.Data
  ) -> Float[Array, 'clip view height width channel']:
    """See the class."""
    clips = _small(clips)
    grey = optical_flow.grey(
      key_frames_lib.at_key_frames(clips, ('apex', 'onset'))
    )
    if settings.scale_jointly:
      # As one image, twice as high.
      tall = jnp.asarray(grey).reshape(len(grey), 1, -1, grey.shape[-1], 1)
      faces = flow_lib.minmax(tall).reshape(*grey.shape, 1)
    else:
      faces = flow_lib.minmax(grey[..., None])
    first, last = key_frames_lib.ends(clips, config.PHASES[:2])
    flow = flow_lib.between(clips, first, last, settings.flow)
    small = resizing.bilinear(jnp.asarray(flow), SIZE)
    scaled = flow_lib.minmax(small, constant=0.5)
    parts = [
      _channels_last(resizing.bilinear(faces, SIZE)),
      _channels_last(resizing.bilinear(blocks(faces[:, 0]), SIZE)),
      _channels_last(resizing.bilinear(blocks(faces[:, 1]), SIZE)),
      scaled[:, 0],
      scaled[:, 1],
    ]
    return jnp.concatenate(parts, axis=-1)[:, None]


def blocks(
  face: Num[AnyArray, 'clip size size 1'],
) -> Num[Array, 'clip block height width 1']:
  """The 4 x 4 blocks of a face, row by row.

  >>> face = jnp.arange(64).reshape(1, 8, 8, 1)
  >>> blocks(face)[0, 1].ravel().tolist()
  [2, 3, 10, 11]
  """
  clips, size = face.shape[:2]
  side = size // _GRID
  grid = face.reshape(clips, _GRID, side, _GRID, side)
  return jnp.moveaxis(grid, 3, 2).reshape(clips, _GRID**2, side, side, 1)


def _channels_last(images):
  """[clip, channel, height, width, 1] -> [clip, height, width, channel]."""
  return jnp.moveaxis(images[..., 0], 1, -1)


def _small(clips: ClipBatch) -> ClipBatch:
  """The three key frames of each clip, resized to 128 x 128 pixels."""
  frames = key_frames_lib.at_key_frames(clips, ('onset', 'apex', 'offset'))
  frames = resizing.bilinear(frames, _FACE)
  same = [
    np.asarray(getattr(clips, a)) == np.asarray(getattr(clips, b))
    for a, b in (('onset', 'apex'), ('apex', 'offset'))
  ]
  number = np.full(len(frames), 3)
  onset = np.zeros(len(frames), int)
  apex = np.where(same[0], 0, 1)
  offset = np.where(same[1], apex, 2)
  return ClipBatch(
    frames.reshape(*frames.shape[:2], -1),
    number,
    onset,
    apex,
    offset,
    frame_shape=frames.shape[2:],
  )


SKD_TSTSAN = SkdTstsan()
