"""Representations: what a clip's frames become before a model reads them.

One file and one row each. A representation is a module-level object with the
attributes of `Representation`. Precomputed images of a data set are one, too.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any, Protocol

import flax.struct
import jax
from jaxtyping import Array, Int, UInt8

from dianet_jax.core import config, errors, registry


@dataclasses.dataclass(frozen=True)
class Channel:
  """What a channel of images holds, so that augmentation can act on it.

  Attributes:
    name: such as 'u'.
    unit: such as 'grey levels' or 'pixels'; '' where images were scaled by an
      unknown factor.
    flips_sign: whether a mirror left to right changes the value's sign.
    component: 'x' (to the right) or 'y' (down) of a vector, '' for a scalar.
      An x is followed by its y.
  """

  name: str
  unit: str
  flips_sign: bool = False
  component: str = ''


@flax.struct.dataclass
class ClipBatch:
  """Clips as they come out of records; what a data set lacks is empty.

  Attributes:
    frames: uint8, onset to offset, padded at the end, each frame flat (as TPUs
      want them); None where the data set holds images instead.
    lengths: frames of each clip.
    onset: index of the onset frame.
    apex: index of the apex frame.
    offset: index of the offset frame.
    stored: phase -> images that the data set holds, uint8
      [clip, height, width, channel].
    frame_shape: height, width, channel of a frame.
  """

  frames: UInt8[Array, 'clip frame pixel'] | None
  lengths: Int[Array, ' clip']
  onset: Int[Array, ' clip']
  apex: Int[Array, ' clip']
  offset: Int[Array, ' clip']
  stored: Mapping[str, Array] = flax.struct.field(default_factory=dict)
  frame_shape: tuple[int, ...] = flax.struct.field(
    pytree_node=False, default=()
  )


class Representation(Protocol):
  """One row."""

  def lacking(self, settings: config.Data, stored: str) -> str:
    """Why a data set cannot feed it, for a user to read; '' where it can.

    Args:
      settings: the `data` section.
      stored: the representation whose images the data set's records hold; ''
        where they hold frames.
    """

  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """Of images [clip, view, height, width, channel]; () where it is none.

    What is no image is neither scaled nor augmented.
    """

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """Of one clip. 0 where only the data know."""

  def __call__(self, clips: ClipBatch, settings: config.Data) -> Array:
    """float32 [clip, ...]."""


REPRESENTATIONS: registry.Registry[Representation] = registry.Registry(
  'representation',
  'data.inputs',
  {
    'dynamic_images': 'dianet_jax.motion.dynamic_images:DYNAMIC_IMAGES',
    'phase_flow': 'dianet_jax.motion.phase_flow:PHASE_FLOW',
  },
)


def feed(reads: Sequence[str], given: Sequence[str]) -> dict[str, str]:
  """Name of a model's input -> the representation that it is fed with.

  Args:
    reads: what the model was made for.
    given: `data.inputs`: as many in the same order, or () for `reads`.

  Raises:
    UserError: another number, or an unknown representation.
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
  """Name of a model's input -> its shape without the clips, float32."""
  return {
    name: jax.ShapeDtypeStruct(
      REPRESENTATIONS[representation].shape(settings), 'float32'
    )
    for name, representation in chosen.items()
  }


def channels(
  chosen: Mapping[str, str], settings: config.Data
) -> dict[str, tuple[Channel, ...]]:
  """Name of a model's input -> its channels; () for what is no image."""
  return {
    name: tuple(REPRESENTATIONS[representation].channels(settings))
    for name, representation in chosen.items()
  }


def lacking(
  chosen: Mapping[str, str], settings: config.Data, stored: str
) -> str:
  """Why a data set cannot feed a model, the first reason; '' where it can."""
  reasons: Any = (
    REPRESENTATIONS[representation].lacking(settings, stored)
    for representation in chosen.values()
  )
  return next(filter(None, reasons), '')
