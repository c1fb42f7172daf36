"""Sampled frames of each clip, or their differences from the onset frame."""

from collections.abc import Mapping

from jaxtyping import Float, Float64
import numpy as np

from dianet_jax.core import config
from dianet_jax.core.arrays import AnyArray
from dianet_jax.motion import key_frames as key_frames_lib
from dianet_jax.motion import rank_pooling, resizing
from dianet_jax.motion.key_frames import RGB
from dianet_jax.motion.registry import Channel, ClipBatch, Representation

# Frames of each clip that are processed at once; for 8 clips of 224 x 224
# pixels they take 80 MB as floats.
CHUNK = 16


def spans(settings: config.Data) -> tuple[str, ...]:
  """The phases from each of which frames are sampled.

  Args:
    settings: the `data` section.

  >>> spans(config.Data(sampling=config.Sampling(span='phases')))
  ('onset_apex', 'apex_offset')
  """
  if settings.sampling.span == 'phases':
    return settings.phases
  return ('onset_offset',)


def positions(
  clips: ClipBatch, settings: config.Data, after_onset: bool
) -> Float64[np.ndarray, 'clip frame']:
  """Computes the positions of the sampled frames.

  Args:
    clips: only the key frames are used.
    settings: the `data` section.
    after_onset: whether to omit the first frame of each span, for motion
      relative to that frame.

  Returns:
    Frame indices, `data.sampling.frames` for each span; fractional ones are
    interpolated.

  >>> clips = ClipBatch(None, *np.array([[9], [0], [4], [8]]))
  >>> settings = config.Data(sampling=config.Sampling(frames=3))
  >>> positions(clips, settings, after_onset=False).tolist()
  [[0.0, 4.0, 8.0]]
  """
  number = settings.sampling.frames
  if settings.sampling.span == 'apex_window':
    keys = (np.asarray(k) for k in (clips.onset, clips.apex, clips.offset))
    return np.stack(
      [
        apex_window(onset, apex, offset, number)
        for onset, apex, offset in zip(*keys)
      ]
    )
  first, last = key_frames_lib.ends(clips, spans(settings))
  steps = np.linspace(0, 1, number + after_onset)[int(after_onset) :]
  index = np.rint(first[..., None] + steps * (last - first)[..., None])
  return index.reshape(len(first), -1)


def apex_window(
  onset: int, apex: int, offset: int, number: int
) -> Float64[np.ndarray, ' frame']:
  """Positions of `number` frames around the apex, all after the onset.

  If the clip has fewer frames, interpolated frames are added between
  neighbours: the same number in each gap, and the remainder in the middle gaps.

  Args:
    onset: index of the onset frame.
    apex: index of the apex frame, which is in the middle if possible.
    offset: index of the offset frame.
    number: number of frames.

  Returns:
    Frame indices; fractional ones are interpolated.

  Source: Zhang et al., arXiv 2112.05851, who interpolate by a network; here
  interpolation is linear.

  >>> apex_window(0, 5, 9, 3).tolist()
  [4.0, 5.0, 6.0]
  >>> apex_window(0, 2, 3, 5).tolist()
  [1.0, 1.5, 2.0, 2.5, 3.0]
  """
  start = min(max(apex - number // 2, onset + 1), offset)
  frames = np.arange(start, min(start + number - 1, offset) + 1)
  missing, gaps = number - len(frames), len(frames) - 1
  if not gaps:
    return np.full(number, float(start))
  between = np.full(gaps, missing // gaps)
  # Gap k, counted from 1, follows frame k.
  rest = missing % gaps
  middle = len(frames) // 2 - rest // 2 - 1
  between[middle : middle + rest] += 1
  pieces = [
    frame + np.arange(count + 1) / (count + 1)
    for frame, count in zip(frames, between)
  ]
  return np.concatenate([*pieces, frames[-1:]])


def views(settings: config.Data, text: str) -> tuple[str, ...]:
  """Titles of the sampled frames.

  Args:
    settings: the `data` section.
    text: precedes the number of each frame.

  Returns:
    One title per frame, with its span if there are several.

  >>> views(config.Data(sampling=config.Sampling(frames=2)), 'frame')
  ('frame 1 of 2', 'frame 2 of 2')
  """
  number, names = settings.sampling.frames, spans(settings)
  return tuple(
    (f'{key_frames_lib.title(name)}, ' if len(names) > 1 else '')
    + f'{text} {frame} of {number}'
    for name in names
    for frame in range(1, number + 1)
  )


def note(
  key_frames: Mapping[str, int], settings: config.Data, after_onset: bool
) -> str:
  """Describes a clip that has fewer frames than are sampled.

  Args:
    key_frames: onset, apex and offset, indices into the clip's frames.
    settings: the `data` section.
    after_onset: see `positions`.

  Returns:
    The note; '' if the clip has enough frames.

  >>> at = {'onset': 0, 'apex': 2, 'offset': 4}
  >>> settings = config.Data(sampling=config.Sampling(frames=8))
  >>> note(at, settings, after_onset=False)
  'fewer than 8 frames in onset_offset: some repeated'
  """
  number = settings.sampling.frames + after_onset
  if settings.sampling.span == 'apex_window':
    onset, apex, offset = (key_frames[k] for k in ('onset', 'apex', 'offset'))
    at = apex_window(onset, apex, offset, settings.sampling.frames)
    if len(np.unique(at)) == 1:
      return 'a single frame around the apex: repeated'
    if (at % 1).any():
      return 'too few frames around the apex: blended ones between them'
    return ''
  short = []
  for span in spans(settings):
    first, last = (key_frames[key] for key in rank_pooling.PHASES[span])
    if last - first + 1 < number:
      short.append(span)
  if not short:
    return ''
  return f'fewer than {number} frames in {" and ".join(short)}: some repeated'


class SampledFrames(Representation):
  """Frames at equal steps, or around the apex.

  >>> sampling = config.Sampling(frames=3)
  >>> SAMPLED_FRAMES.views(config.Data(sampling=sampling))
  ('frame 1 of 3', 'frame 2 of 3', 'frame 3 of 3')
  """

  title = 'sampled frames'
  after_onset = False

  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """Red, green and blue, grey levels."""
    del settings
    return RGB

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """[view, height, width, channel], with one view per frame."""
    number = settings.sampling.frames * len(spans(settings))
    return number, settings.image_size, settings.image_size, 3

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    return views(settings, 'frame')

  def note(self, key_frames: Mapping[str, int], settings: config.Data) -> str:
    """See `registry.Representation`."""
    return note(key_frames, settings, self.after_onset)

  def still(
    self, images: Float[AnyArray, 'view height width channel']
  ) -> Float[AnyArray, 'view height width channel']:
    """The first frame, repeated."""
    return np.broadcast_to(images[:1], images.shape)

  def __call__(
    self, clips: ClipBatch, settings: config.Data
  ) -> Float[np.ndarray, 'clip view height width channel']:
    """Frames resized to `data.image_size`, grey levels 0..255."""
    at = positions(clips, settings, self.after_onset)
    made = [
      np.asarray(
        resizing.antialiased(
          self._images(clips, at[:, i : i + CHUNK]), settings.image_size
        )
      )
      for i in range(0, at.shape[1], CHUNK)
    ]
    return np.concatenate(made, axis=1)

  def _images(self, clips, at):
    return key_frames_lib.frames_at(clips, at)


class OnsetDifference(SampledFrames):
  """Frames after the onset minus the onset frame, signed.

  ATM-GCN (arXiv 2406.08997) reads 15 such differences of 16 frames.

  >>> frames = np.array([[[10], [40], [20]]], np.uint8)
  >>> at = np.array([[3], [0], [1], [2]])
  >>> clips = ClipBatch(frames, *at, frame_shape=(1, 1, 1))
  >>> settings = config.Data(image_size=1, sampling=config.Sampling(frames=2))
  >>> ONSET_DIFFERENCE(clips, settings).ravel().tolist()
  [30.0, 10.0]
  """

  title = 'differences from the onset frame'
  after_onset = True

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    return views(settings, 'minus onset,')

  def still(
    self, images: Float[AnyArray, 'view height width channel']
  ) -> Float[AnyArray, 'view height width channel']:
    """Zeros."""
    return np.zeros_like(images)

  def _images(self, clips, at):
    onset = key_frames_lib.at_key_frames(clips, ('onset',))
    return key_frames_lib.frames_at(clips, at) - onset


SAMPLED_FRAMES, ONSET_DIFFERENCE = SampledFrames(), OnsetDifference()
