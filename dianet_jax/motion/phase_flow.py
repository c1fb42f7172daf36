"""Optical flow of the phases of a clip, computed from frames or stored."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.core import config
from dianet_jax.motion import flow as flow_lib
from dianet_jax.motion import key_frames as key_frames_lib
from dianet_jax.motion import resizing, strain
from dianet_jax.motion.registry import Channel, ClipBatch, Representation

# Channels of the images that data sets store as `phase_flow`.
_STORED_CHANNELS = ('u', 'v', 'strain')


class PhaseFlow(Representation):
  """Optical flow over each phase, with one view per phase.

  Read by STSTNet, HTNet, FMANet and others. From frames, it is the flow from
  the first frame of the phase to the last, with the settings `data.flow`. If a
  data set stores such images, these are used: grey levels, each channel scaled
  by an unknown factor, minus mid-grey. `data.flow.coding=grey_levels` computes
  such images from frames.

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
    if reason := without_flow(settings, stored):
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
    """By default u (to the right), v (down) and optical strain."""
    return flow_lib.channels(settings.flow)

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """[view, height, width, channel]."""
    size = settings.image_size
    return len(settings.phases), size, size, len(self.channels(settings))

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    return tuple(map(key_frames_lib.title, settings.phases))

  def phases(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    return settings.phases

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


def without_flow(settings: config.Data, stored: str) -> str:
  """Explains why a data set has no optical flow of both phases.

  Args:
    settings: the `data` section.
    stored: the representation that the data set stores; '' for frames.

  Returns:
    The reason; '' if it has.

  >>> casme2 = config.Data(dataset='casme2')
  >>> without_flow(casme2, 'dynamic_images')
  'casme2 holds no images of optical flow'
  """
  if stored in ('', 'phase_flow'):
    return ''
  return f'{settings.dataset} holds no images of optical flow'


def _stored(clips: ClipBatch, phases: Sequence[str], size: int) -> Array:
  """Stored images minus mid-grey, resized to `size` x `size`."""
  images = jnp.stack([jnp.asarray(clips.stored[p]) for p in phases], axis=1)
  return resizing.antialiased(images.astype(jnp.float32) - 127.5, size)


def displacement(
  clips: ClipBatch, settings: config.Data
) -> Float[Array, 'clip phase height width channel']:
  """u, v and magnitude of the motion in both phases.

  From frames, in pixels; the magnitude is computed before resizing. From stored
  images it is approximate: the median of each channel counts as no motion, and
  each channel is divided by its largest absolute value, so the relative size of
  u and v, and of the two phases, is lost.

  Args:
    clips: frames or stored images.
    settings: the `data` section.

  Returns:
    Images of onset to apex and apex to offset, with channels u, v, magnitude.

  In the example, one of four pixels in the first channel, u, moves right.

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
