"""The representation of dynamic images; see `rank_pooling`."""

import jax
from jaxtyping import Array, Float

from dianet_jax.core import config
from dianet_jax.motion import rank_pooling
from dianet_jax.motion.registry import Channel, ClipBatch


def reduce(
  images: Float[Array, 'clip view height width channel'], size: int
) -> Float[Array, 'clip view height width channel']:
  """Images reduced to `size` squared, with anti-aliasing."""
  shape = (*images.shape[:2], size, size, images.shape[-1])
  if images.shape == shape:
    return images
  return jax.image.resize(images, shape, 'linear')


class DynamicImages:
  """Approximate rank pooling of the frames of each phase: a view per phase.

  Values are changes of grey level, signed; a mirror moves them and leaves
  their sign.
  """

  def lacking(self, settings: config.Data, stored: str) -> str:
    """See `registry.Representation`."""
    if not stored:
      return ''
    return f'{settings.dataset} holds {stored}, and dynamic images need frames'

  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """Red, green and blue, as the frames have them."""
    del settings
    return tuple(Channel(c, 'grey levels') for c in ('red', 'green', 'blue'))

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """[view, height, width, channel]."""
    return len(settings.phases), settings.image_size, settings.image_size, 3

  def __call__(
    self, clips: ClipBatch, settings: config.Data
  ) -> Float[Array, 'clip view height width channel']:
    """Pooled at the frames' size, then reduced to `data.image_size`."""
    pooled = rank_pooling.dynamic_images(
      clips.frames,
      clips.lengths,
      clips.onset,
      clips.apex,
      clips.offset,
      phases=settings.phases,
      kind=settings.coefficients,
      order=settings.frame_order,
    )
    pooled = pooled.reshape(*pooled.shape[:2], *clips.frame_shape)
    return reduce(pooled, settings.image_size)


DYNAMIC_IMAGES = DynamicImages()
