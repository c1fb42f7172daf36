"""The representation of dynamic images; see `rank_pooling`."""

from collections.abc import Mapping

from jaxtyping import Array, Float

from dianet_jax.core import config
from dianet_jax.motion import key_frames as key_frames_lib
from dianet_jax.motion import rank_pooling, resizing
from dianet_jax.motion.registry import Channel, ClipBatch, Representation

# Of a view, by `data.frame_order`, for each of `rank_pooling.ORDERS`.
_TITLES = {
  'time': ('{}',),
  'motion_intensity': ('{} by intensity',),
  'both': ('{} by time', '{} by intensity'),
}


class DynamicImages(Representation):
  """Approximate rank pooling of the frames of each phase, one view per phase.

  With `data.frame_order=both` a phase has two views: frames ranked by time, and
  by motion intensity (the temporal-ranked and the motion-intensity dynamic
  image of arXiv 2510.09730). Values are signed changes of grey level; mirroring
  does not change their sign.

  >>> import numpy as np
  >>> frames = np.array([[[10], [10], [40]]], np.uint8)
  >>> at = np.array([[3], [0], [2], [2]])
  >>> clips = ClipBatch(frames, *at, frame_shape=(1, 1, 1))
  >>> settings = config.Data(image_size=1)
  >>> DYNAMIC_IMAGES(clips, settings).round(3).ravel().tolist()
  [20.0, 0.0]
  >>> DYNAMIC_IMAGES.views(
  ...   config.Data(phases=('onset_offset',), frame_order='both')
  ... )
  ('onset to offset by time', 'onset to offset by intensity')
  """

  title = 'dynamic images'

  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """Red, green and blue."""
    del settings
    return key_frames_lib.RGB

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """[view, height, width, channel]."""
    size = settings.image_size
    return len(self.phases(settings)), size, size, 3

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    return tuple(
      title.format(key_frames_lib.title(phase))
      for phase in settings.phases
      for title in _TITLES[settings.frame_order]
    )

  def phases(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    images = len(rank_pooling.ORDERS[settings.frame_order])
    return tuple(phase for phase in settings.phases for _ in range(images))

  def note(self, key_frames: Mapping[str, int], settings: config.Data) -> str:
    """See `registry.Representation`."""
    return key_frames_lib.single_frames(key_frames, settings.phases)

  def __call__(
    self, clips: ClipBatch, settings: config.Data
  ) -> Float[Array, 'clip view height width channel']:
    """Pooled at the size of the frames, then resized to `data.image_size`."""
    pooled = rank_pooling.dynamic_images(
      clips.frames,
      clips.lengths,
      clips.onset,
      clips.apex,
      clips.offset,
      phases=settings.phases,
      kind=settings.coefficients,
      order=settings.frame_order,
      frame_shape=clips.frame_shape,
    )
    pooled = pooled.reshape(*pooled.shape[:2], *clips.frame_shape)
    return resizing.antialiased(pooled, settings.image_size)


DYNAMIC_IMAGES = DynamicImages()
