"""Representations: what a clip's frames become before a model reads them.

One file and one row each. A representation is a module-level object, of a
subclass of `Representation`. Images that a data set stores can feed one, too.
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
  """What a channel of images holds, so that augmentation can act on it.

  Attributes:
    name: such as 'u'.
    unit: such as 'grey levels' or 'pixels', '1' for a ratio; '' where images
      were scaled by an unknown factor.
    flips_sign: whether a mirror left to right changes the value's sign.
    component: 'x' (to the right) or 'y' (down) of a vector, '' for a scalar.
      The first x and the first y are a vector, and so on.
    zero: the value about which the sign changes, such as 0.5 of 0..1.
    mirror_channel: the channel with which a mirror exchanges it, '' for none.
      Of a face that was cut into blocks: such images are mirrored only.
    coded: whether directions became colours, which neither a mirror nor a
      rotation of the image turns: such images are shifted only.
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
  """Clips as they come out of records; what a data set lacks is empty.

  Attributes:
    frames: uint8 or float, onset to offset, padded at the end, each frame flat
      (as TPUs want them); None where the data set holds images instead.
    lengths: frames of each clip.
    onset: index of the onset frame.
    apex: index of the apex frame.
    offset: index of the offset frame.
    stored: phase -> images that the data set holds, uint8
      [clip, height, width, channel].
    frame_shape: height, width, channel of a frame.
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
  """One row.

  Attributes:
    title: in the plural, for a user to read.
    kept: whether its arrays are kept on disk, a file for each clip, as they
      cost seconds a clip; see `data.input_cache`.
  """

  title: ClassVar[str] = 'these inputs'
  kept: ClassVar[bool] = False

  def lacking(self, settings: config.Data, stored: str) -> str:
    """Why a data set cannot feed it, for a user to read; '' where it can.

    Args:
      settings: the `data` section.
      stored: the representation whose images the data set's records hold; ''
        where they hold frames. By default frames are needed.
    """
    if not stored:
      return ''
    return f'{settings.dataset} holds {stored}, and {self.title} need frames'

  @abc.abstractmethod
  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """Of images [clip, view, height, width, channel]; () where it is none.

    What is no image is neither scaled nor augmented.
    """

  @abc.abstractmethod
  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """Of one clip. 0 where only the data know."""

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """What each view of images shows, such as 'onset to apex'."""
    if not self.channels(settings):
      return ()
    return tuple(f'view {n}' for n in range(1, self.shape(settings)[0] + 1))

  def note(self, key_frames: Mapping[str, int], settings: config.Data) -> str:
    """What is unusual about a clip as this shows it; '' for nothing.

    Args:
      key_frames: onset, apex and offset, indices into the clip's frames.
      settings: the `data` section.

    Returns:
      A text that is the same for all such clips, which are counted by it.
    """
    del key_frames, settings
    return ''

  def still(
    self, images: Float[AnyArray, 'view height width channel']
  ) -> Float[AnyArray, 'view height width channel']:
    """The images of one clip without its motion, for explanations.

    By default each channel of a view is its median: most of a face is still,
    and the value of no motion is not known of all images.
    """
    images = np.asarray(images)
    middle = np.median(images, axis=(-3, -2), keepdims=True)
    return np.broadcast_to(middle.astype(images.dtype), images.shape)

  @abc.abstractmethod
  def __call__(self, clips: ClipBatch, settings: config.Data) -> Array:
    """float32 [clip, ...]."""


REPRESENTATIONS: registry.Registry[Representation] = registry.Registry(
  'representation',
  'data.inputs',
  {
    'dynamic_images': 'dianet_jax.motion.dynamic_images:DYNAMIC_IMAGES',
    'phase_flow': 'dianet_jax.motion.phase_flow:PHASE_FLOW',
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
  """Name of a model's input -> the representation that it is fed with.

  Args:
    reads: what the model was made for.
    given: `data.inputs`: as many in the same order, or () for `reads`.

  Returns:
    A representation of the registry for every input of `reads`.

  Raises:
    UserError: another number, or an unknown representation.

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
  """Name of a model's input -> its shape without the clips, float32.

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
  """Name of a model's input -> its channels; () for what is no image.

  Of images that the data set stores, components of vectors are scaled by
  unknown factors.

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
  """Name of a model's input -> what each view shows; () for no image.

  >>> views({'images': 'dynamic_images'}, config.Data())
  {'images': ('onset to apex', 'apex to offset')}
  """
  return {
    name: REPRESENTATIONS[row].views(settings) for name, row in chosen.items()
  }


def notes(
  chosen: Mapping[str, str],
  key_frames: Mapping[str, int],
  settings: config.Data,
) -> Iterator[str]:
  """What is unusual about a clip, each thing once.

  >>> at = {'onset': 0, 'apex': 8, 'offset': 8}
  >>> list(notes({'images': 'dynamic_images'}, at, config.Data()))
  ['apex_offset is a single frame: no motion']
  """
  rows = (REPRESENTATIONS[row] for row in chosen.values())
  found = (row.note(key_frames, settings) for row in rows)
  yield from dict.fromkeys(filter(None, found))


def lacking(
  chosen: Mapping[str, str], settings: config.Data, stored: str
) -> str:
  """Why a data set cannot feed a model, the first reason; '' where it can.

  >>> settings = config.Data(dataset='megc2019_flow')
  >>> lacking({'images': 'key_frames'}, settings, 'phase_flow')
  'megc2019_flow holds phase_flow, and key frames need frames'
  """
  reasons: Any = (
    REPRESENTATIONS[representation].lacking(settings, stored)
    for representation in chosen.values()
  )
  return next(filter(None, reasons), '')
