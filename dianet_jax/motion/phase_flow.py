"""Optical flow of a clip's phases: found in frames, or read from a data set."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.core import config
from dianet_jax.motion import flow as flow_lib
from dianet_jax.motion import key_frames as key_frames_lib
from dianet_jax.motion import resizing, strain
from dianet_jax.motion.registry import Channel, ClipBatch, Representation

# What data sets store as `phase_flow`, a channel each.
_STORED_CHANNELS = ('u', 'v', 'strain')


class PhaseFlow(Representation):
  """Flow over each phase, a view per phase: STSTNet, HTNet, FMANet and others.

  From frames: the flow from the phase's first frame to its last, as
  `data.flow` says. From a data set that stores such images: those. They are
  grey levels, each channel scaled by an unknown factor, and mid-grey is
  subtracted; `data.flow.coding=grey_levels` makes the same kind from frames.

  >>> PHASE_FLOW.views(config.Data(phases=('onset_apex',)))
  ('onset to apex',)
  >>> [channel.name for channel in PHASE_FLOW.channels(config.Data())]
  ['u', 'v', 'strain']
  """

  title = 'images of optical flow'
  cached = True

  def unsupported(self, settings: config.Data, stored: str) -> str:
    """See `registry.Representation`."""
    if not stored:
      return ''
    if reason := lacking_phases(settings, stored):
      return reason
    flow = settings.flow
    if 'onset_offset' in settings.phases:
      return (
        f'{settings.dataset} holds flow of the two phases, not the whole clip'
      )
    unknown = set(flow.channels) - set(_STORED_CHANNELS)
    if flow.coding != 'grey_levels' or unknown:
      return (
        f'{settings.dataset} holds u, v and strain in grey levels, and'
        f' data.flow asks for {", ".join(flow.channels)} in {flow.coding}'
      )
    return ''

  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """By default displacement to the right and down, and optical strain."""
    return flow_lib.channels(settings.flow)

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """[view, height, width, channel]."""
    size = settings.image_size
    return len(settings.phases), size, size, len(self.channels(settings))

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    return tuple(map(key_frames_lib.title, settings.phases))

  def note(self, key_frames: Mapping[str, int], settings: config.Data) -> str:
    """See `registry.Representation`."""
    return key_frames_lib.single_frames(key_frames, settings.phases)

  def __call__(
    self, clips: ClipBatch, settings: config.Data
  ) -> Float[Array, 'clip view height width channel']:
    """See the class; a phase of a single frame is 0."""
    if clips.frames is None:
      images = _stored(clips, settings.phases, settings.image_size)
      order = [_STORED_CHANNELS.index(c) for c in settings.flow.channels]
      return images[..., order]
    first, last = key_frames_lib.ends(clips, settings.phases)
    flow = flow_lib.between(clips, first, last, settings.flow)
    return flow_lib.images(flow, settings.flow, settings.image_size)


def lacking_phases(settings: config.Data, stored: str) -> str:
  """Why a data set cannot give the flow of two phases; '' where it can.

  >>> casme2 = config.Data(dataset='casme2')
  >>> lacking_phases(casme2, 'dynamic_images')
  'casme2 holds no images of optical flow'
  """
  if stored in ('', 'phase_flow'):
    return ''
  return f'{settings.dataset} holds no images of optical flow'


def _stored(clips: ClipBatch, phases: Sequence[str], size: int) -> Array:
  """Stored images, centred on mid-grey, `size` squared."""
  images = jnp.stack([jnp.asarray(clips.stored[p]) for p in phases], axis=1)
  return resizing.antialiased(images.astype(jnp.float32) - 127.5, size)


def displacement(
  clips: ClipBatch, settings: config.Data
) -> Float[Array, 'clip phase height width channel']:
  """u, v and magnitude of onset to apex and apex to offset.

  From frames in pixels, the magnitude taken before the images are reduced.
  From stored images an approximation: the median of each channel is taken for
  no motion, and each channel is divided by its largest absolute value, so that
  how u compares with v, and one phase with the other, is lost.

  Of stored images, the first channel being u: one of four pixels moved right.

  >>> import numpy as np
  >>> image = np.full((1, 2, 2, 3), 127, np.uint8)
  >>> image[0, 0, 0, 0] = 227
  >>> stored = {'onset_apex': image, 'apex_offset': image}
  >>> clips = ClipBatch(None, *np.array([[2], [0], [1], [1]]), stored)
  >>> made = displacement(clips, config.Data(image_size=2))
  >>> made[0, 0, ..., 0].tolist()
  [[1.0, 0.0], [0.0, 0.0]]
  """
  phases = config.PHASES[:2]
  if clips.frames is None:
    both = _stored(clips, phases, settings.image_size)[..., :2]
    both -= jnp.median(both, axis=(-3, -2), keepdims=True)
    largest = jnp.abs(both).max(axis=(-3, -2), keepdims=True)
    both /= jnp.where(largest == 0, 1, largest)
    return jnp.concatenate([both, strain.magnitude(both)[..., None]], axis=-1)
  first, last = key_frames_lib.ends(clips, phases)
  flow = jnp.asarray(flow_lib.between(clips, first, last, settings.flow))
  measured = [flow, strain.magnitude(flow)[..., None]]
  return resizing.area(jnp.concatenate(measured, -1), settings.image_size)


PHASE_FLOW = PhaseFlow()
