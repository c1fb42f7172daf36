"""Optical flow from the onset frame to each of several later frames."""

from collections.abc import Mapping
import operator

import jax
from jaxtyping import Float, Num
import numpy as np

from dianet_jax.core import config
from dianet_jax.motion import flow as flow_lib
from dianet_jax.motion import sampled_frames
from dianet_jax.motion.registry import Channel, ClipBatch, Representation


class LongTermFlow(Representation):
  """Flow from the onset to frame t, with one view per t.

  Source: SLSTT, arXiv 2112.05851. Flow between consecutive frames would be
  tiny, and its errors would add up. The settings of SLSTT are
  `data.flow.method=farneback`, `data.flow.coding=hsv` and
  `data.sampling.span=apex_window` with 11 frames.

  >>> settings = config.Data(image_size=28, sampling=config.Sampling(frames=11))
  >>> LONG_TERM_FLOW.shape(settings)
  (11, 28, 28, 3)
  """

  title = 'images of long-term flow'
  cached = True

  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """The channels of `phase_flow`."""
    return flow_lib.channels(settings.flow)

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """[view, height, width, channel]."""
    number = settings.sampling.frames * len(sampled_frames.spans(settings))
    size = settings.image_size
    return number, size, size, len(self.channels(settings))

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    return sampled_frames.views(settings, 'onset to')

  def note(self, key_frames: Mapping[str, int], settings: config.Data) -> str:
    """See `registry.Representation`."""
    return sampled_frames.note(key_frames, settings, after_onset=True)

  def __call__(
    self, clips: ClipBatch, settings: config.Data
  ) -> Float[np.ndarray, 'clip view height width channel']:
    """See the class; exactly 0 if t is the onset."""
    # A few images at a time: at 224 pixels, the flow of 128 frames of 8 clips
    # takes 400 MB before it is resized.
    at = sampled_frames.positions(clips, settings, after_onset=True)
    if settings.flow.value_scale == 'clip':
      # Images with one scale are made together, those of one clip at a time.
      made = []
      for row in range(len(at)):
        own = slice(row, row + 1)
        clip = jax.tree.map(operator.itemgetter(own), clips)
        made.append(_made(clip, at[own], settings))
      return np.concatenate(made)
    step = max(flow_lib.PAIRS // len(at), 1)
    made = [
      _made(clips, at[:, start : start + step], settings)
      for start in range(0, at.shape[1], step)
    ]
    return np.concatenate(made, axis=1)


def _made(
  clips: ClipBatch, last: Num[np.ndarray, 'clip view'], settings: config.Data
) -> Float[np.ndarray, 'clip view height width channel']:
  """Images of the flow from the onset to the frames `last`."""
  first = np.broadcast_to(np.asarray(clips.onset)[:, None], last.shape)
  flow = flow_lib.between(clips, first, last, settings.flow)
  return np.asarray(flow_lib.images(flow, settings.flow, settings.image_size))


LONG_TERM_FLOW = LongTermFlow()
