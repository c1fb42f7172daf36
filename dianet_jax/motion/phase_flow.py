"""Optical flow of a clip's phases, as images that a data set stores."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.core import config
from dianet_jax.motion.dynamic_images import reduce
from dianet_jax.motion.registry import Channel, ClipBatch


class PhaseFlow:
  """u, v and strain of onset to apex and apex to offset: a view per phase.

  The published images are grey levels, each channel scaled by an unknown
  factor: mid-grey is subtracted, and `data.scaling` does the rest.
  """

  def lacking(self, settings: config.Data, stored: str) -> str:
    """See `registry.Representation`."""
    if stored != 'phase_flow':
      return f'{settings.dataset} holds no images of optical flow'
    if 'onset_offset' in settings.phases:
      return (
        f'{settings.dataset} holds flow of the two phases, not the whole clip'
      )
    return ''

  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """Displacement to the right and down, and optical strain."""
    del settings
    return (
      Channel('u', '', flips_sign=True, component='x'),
      Channel('v', '', component='y'),
      Channel('strain', ''),
    )

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """[view, height, width, channel]."""
    return len(settings.phases), settings.image_size, settings.image_size, 3

  def __call__(
    self, clips: ClipBatch, settings: config.Data
  ) -> Float[Array, 'clip view height width channel']:
    """Centred on mid-grey, reduced to `data.image_size`."""
    images = jnp.stack([clips.stored[phase] for phase in settings.phases], 1)
    return reduce(images.astype(jnp.float32) - 127.5, settings.image_size)


PHASE_FLOW = PhaseFlow()
