"""Registry of representations: the inputs that models read, made from clips.

Each is one file and one row: a module-level object of `Representation`'s
subclass. It reads frames or, for some data sets, stored images.
"""

import abc
from collections.abc import Iterator, Mapping, Sequence
import dataclasses
from typing import Any, ClassVar

import flax.struct
import jax
from jaxtyping import Array, Float, Int, Num
import numpy as np

from dianet_jax.core import config, errors, registry
from dianet_jax.core.arrays import AnyArray


@dataclasses.dataclass(frozen=True)
class Channel:
  """Meaning of an image channel, which determines how it can be augmented.

  Attributes:
    name: such as 'u'.
    unit: such as 'grey levels' or 'pixels', '1' for a ratio; '' if images were
      scaled by an unknown factor.
    flips_sign: whether mirroring left to right changes the sign of the value.
    component: 'x' (to the right) or 'y' (down) of a vector, '' for a scalar.
      The first x and the first y are a vector, and so on.
    zero: the value that represents zero, such as 0.5 in a range of 0..1.
    mirror_channel: name of the channel with which mirroring exchanges it, ''
      for none. For faces cut into blocks; such images can only be mirrored.
    coded: whether the direction of motion is coded as a colour, which mirroring
      or rotating the image would not change; such images can only be shifted.
    area: the part of the face that it shows: first and last row, first and last
      column, 0..1.
  """

  name: str
  unit: str
  flips_sign: bool = False
  component: str = ''
  zero: float = 0.0
  mirror_channel: str = ''
  coded: bool = False
  area: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)


@flax.struct.dataclass
class ClipBatch:
  """Frames or stored images of several clips.

  Attributes:
    frames: uint8 or float, onset to offset, padded at the end; each frame is
      flattened, which is faster on TPUs. None if the data set stores images.
    lengths: number of frames of each clip.
    onset: index of the onset frame.
    apex: index of the apex frame.
    offset: index of the offset frame.
    stored: phase, or 'position_' and phase -> images stored by the data set,
      uint8 [clip, height, width, channel]; empty if it stores frames.
    frame_shape: height, width, channel of a frame.

  Two clips of at most five frames; the second has four, its apex is the third.

  >>> frames = np.zeros((2, 5, 4 * 4 * 3), np.uint8)
  >>> lengths, onset, apex, offset = np.array([[5, 4], [0, 0], [2, 2], [4, 3]])
  >>> clips = ClipBatch(
  ...   frames, lengths, onset, apex, offset, frame_shape=(4, 4, 3)
  ... )
  >>> REPRESENTATIONS['key_frames'](clips, config.Data(image_size=4)).shape
  (2, 3, 4, 4, 3)
  """

  frames: Num[AnyArray, 'clip frame pixel'] | None
  lengths: Int[AnyArray, ' clip']
  onset: Int[AnyArray, ' clip']
  apex: Int[AnyArray, ' clip']
  offset: Int[AnyArray, ' clip']
  stored: Mapping[str, AnyArray] = flax.struct.field(default_factory=dict)
  frame_shape: tuple[int, ...] = flax.struct.field(
    pytree_node=False, default=()
  )


class Representation(abc.ABC):
  """Computes one input of a model from clips.

  Attributes:
    title: name in the plural, for messages.
    cached: whether its arrays are cached on disk, because they take seconds per
      clip to compute; see `data.input_cache`.
    positions: whether it reads the position images that a record may have.

  >>> images = REPRESENTATIONS['dynamic_images']
  >>> images.shape(config.Data(image_size=28))
  (2, 28, 28, 3)
  >>> [channel.unit for channel in images.channels(config.Data())]
  ['grey levels', 'grey levels', 'grey levels']
  """

  title: ClassVar[str] = 'these inputs'
  cached: ClassVar[bool] = False
  positions: ClassVar[bool] = False

  def unsupported(self, settings: config.Data, stored: str) -> str:
    """Explains why a data set cannot provide this input.

    Args:
      settings: the `data` section.
      stored: the representation whose images the data set stores; '' if it
        stores frames.

    Returns:
      The reason, for messages; '' if it can. By default frames are required.
    """
    if not stored:
      return ''
    return f'{settings.dataset} holds {stored}, and {self.title} need frames'

  @abc.abstractmethod
  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """The channels of images [clip, view, height, width, channel].

    Args:
      settings: the `data` section.

    Returns:
      The channels; () if it is not an image, and thus not scaled or augmented.
    """

  @abc.abstractmethod
  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """The shape for one clip.

    Args:
      settings: the `data` section.

    Returns:
      The shape; 0 for an axis whose length depends on the data.
    """

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """Titles of the views, such as 'onset to apex'.

    Args:
      settings: the `data` section.

    Returns:
      One title per view; () if it is not an image.
    """
    if not self.channels(settings):
      return ()
    return tuple(f'view {n}' for n in range(1, self.shape(settings)[0] + 1))

  def phases(self, settings: config.Data) -> tuple[str, ...]:
    """The phase that each view shows.

    Args:
      settings: the `data` section.

    Returns:
      One of `data.phases` per view; () if views are not of phases.
    """
    del settings
    return ()

  def note(self, key_frames: Mapping[str, int], settings: config.Data) -> str:
    """Describes an anomaly of a clip that affects this representation.

    Args:
      key_frames: onset, apex and offset, indices into the clip's frames.
      settings: the `data` section.

    Returns:
      The anomaly, '' for none. Clips with the same text are counted together.
    """
    del key_frames, settings
    return ''

  def still(
    self, images: Float[AnyArray, 'view height width channel']
  ) -> Float[AnyArray, 'view height width channel']:
    """The images of one clip without motion, as a baseline for explanations.

    By default each channel of a view is its median, because most of a face does
    not move, and not all images have a known value for no motion.

    Args:
      images: of one clip.

    Returns:
      Images of the same shape.
    """
    images = np.asarray(images)
    middle = np.median(images, axis=(-3, -2), keepdims=True)
    return np.broadcast_to(middle.astype(images.dtype), images.shape)

  @abc.abstractmethod
  def __call__(self, clips: ClipBatch, settings: config.Data) -> Array:
    """Computes the input.

    Args:
      clips: a batch of clips.
      settings: the `data` section.

    Returns:
      float32 [clip, ...], with the shape given by `shape`.
    """


REPRESENTATIONS: registry.Registry[Representation] = registry.Registry(
  'representation',
  'data.inputs',
  {
    'dynamic_images': 'dianet_jax.motion.dynamic_images:DYNAMIC_IMAGES',
    'phase_flow': 'dianet_jax.motion.phase_flow:PHASE_FLOW',
    'flow_and_positions': 'dianet_jax.motion.flow_and_positions:POSITIONS',
    'mm_cof': 'dianet_jax.motion.mm_cof:MM_COF',
    'long_term_flow': 'dianet_jax.motion.long_term_flow:LONG_TERM_FLOW',
    'key_frames': 'dianet_jax.motion.key_frames:KEY_FRAMES',
    'apex_difference': 'dianet_jax.motion.key_frames:APEX_DIFFERENCE',
    'sampled_frames': 'dianet_jax.motion.sampled_frames:SAMPLED_FRAMES',
    'onset_difference': 'dianet_jax.motion.sampled_frames:ONSET_DIFFERENCE',
    'skd_tstsan': 'dianet_jax.motion.skd_tstsan:SKD_TSTSAN',
  },
)


def feed(reads: Sequence[str], given: Sequence[str]) -> dict[str, str]:
  """Assigns a representation to each input of a model.

  Args:
    reads: names of the model's inputs, which are their default representations.
    given: `data.inputs`: one representation per input, or () for the default.

  Returns:
    Name of each input -> name of its representation.

  Raises:
    UserError: the number is wrong, or a representation is unknown.

  >>> feed(['dynamic_images'], [])
  {'dynamic_images': 'dynamic_images'}
  >>> feed(['dynamic_images'], ['phase_flow'])
  {'dynamic_images': 'phase_flow'}
  """
  if given and len(given) != len(reads):
    raise errors.UserError(
      f'--config.data.inputs={tuple(given)}: the model reads'
      f' {len(reads)} input(s), {", ".join(reads)}; name one representation'
      ' for each, or leave it empty.'
    )
  chosen = dict(zip(reads, given or reads))
  for name in chosen.values():
    _ = REPRESENTATIONS[name]
  return chosen


def specs(
  chosen: Mapping[str, str], settings: config.Data
) -> dict[str, jax.ShapeDtypeStruct]:
  """Shapes of a model's inputs for one clip.

  Args:
    chosen: name of each input -> its representation.
    settings: the `data` section.

  Returns:
    Name of each input -> shape without the clip axis, float32.

  >>> specs({'images': 'dynamic_images'}, config.Data(image_size=28))
  {'images': ShapeDtypeStruct(shape=(2, 28, 28, 3), dtype=float32)}
  """
  return {
    name: jax.ShapeDtypeStruct(
      REPRESENTATIONS[representation].shape(settings), 'float32'
    )
    for name, representation in chosen.items()
  }


def channels(
  chosen: Mapping[str, str], settings: config.Data, stored: str
) -> dict[str, tuple[Channel, ...]]:
  """Channels of a model's inputs.

  Args:
    chosen: name of each input -> its representation.
    settings: the `data` section.
    stored: the representation whose images the data set stores; '' for frames.
      Stored vector components have no unit, because they were scaled by
      unknown factors.

  Returns:
    Name of each input -> its channels; () if it is not an image.

  >>> of_frames = channels({'images': 'phase_flow'}, config.Data(), '')
  >>> [channel.name for channel in of_frames['images']]
  ['u', 'v', 'strain']
  """

  def as_read(channel):
    unknown = stored and channel.component
    return dataclasses.replace(channel, unit='') if unknown else channel

  return {
    name: tuple(map(as_read, REPRESENTATIONS[row].channels(settings)))
    for name, row in chosen.items()
  }


def views(
  chosen: Mapping[str, str], settings: config.Data
) -> dict[str, tuple[str, ...]]:
  """Titles of the views of a model's inputs.

  Args:
    chosen: name of each input -> its representation.
    settings: the `data` section.

  Returns:
    Name of each input -> title of each view; () if it is not an image.

  >>> views({'images': 'dynamic_images'}, config.Data())
  {'images': ('onset to apex', 'apex to offset')}
  """
  return {
    name: REPRESENTATIONS[row].views(settings) for name, row in chosen.items()
  }


def phases(
  chosen: Mapping[str, str], settings: config.Data
) -> dict[str, tuple[str, ...]]:
  """The phase that each view of a model's inputs shows.

  Args:
    chosen: name of each input -> its representation.
    settings: the `data` section.

  Returns:
    Name of each input -> phase of each view; () if views are not of phases.

  >>> phases({'images': 'dynamic_images'}, config.Data())
  {'images': ('onset_apex', 'apex_offset')}
  """
  return {
    name: REPRESENTATIONS[row].phases(settings) for name, row in chosen.items()
  }


def notes(
  chosen: Mapping[str, str],
  key_frames: Mapping[str, int],
  settings: config.Data,
) -> Iterator[str]:
  """Describes anomalies of a clip that affect a model's inputs.

  Args:
    chosen: name of each input -> its representation.
    key_frames: onset, apex and offset, indices into the clip's frames.
    settings: the `data` section.

  Yields:
    Each anomaly once.

  >>> at = {'onset': 0, 'apex': 8, 'offset': 8}
  >>> list(notes({'images': 'dynamic_images'}, at, config.Data()))
  ['apex_offset is a single frame: no motion']
  """
  rows = (REPRESENTATIONS[row] for row in chosen.values())
  found = (row.note(key_frames, settings) for row in rows)
  yield from dict.fromkeys(filter(None, found))


def unsupported(
  chosen: Mapping[str, str], settings: config.Data, stored: str
) -> str:
  """Explains why a data set cannot provide the inputs of a model.

  Args:
    chosen: name of each input -> its representation.
    settings: the `data` section.
    stored: the representation whose images the data set stores; '' for frames.

  Returns:
    The first reason; '' if it can.

  >>> settings = config.Data(dataset='megc2019_flow')
  >>> unsupported({'images': 'key_frames'}, settings, 'phase_flow')
  'megc2019_flow holds phase_flow, and key frames need frames'
  """
  reasons: Any = (
    REPRESENTATIONS[representation].unsupported(settings, stored)
    for representation in chosen.values()
  )
  return next(filter(None, reasons), '')
