"""Key frames of clips, and the representations that consist of them."""

from collections.abc import Mapping, Sequence
import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num
import numpy as np

from dianet_jax.core import config
from dianet_jax.core.arrays import AnyArray
from dianet_jax.motion import rank_pooling, resizing
from dianet_jax.motion.registry import Channel, ClipBatch, Representation

RGB = tuple(Channel(c, 'grey levels') for c in ('red', 'green', 'blue'))
_KEYS = ('onset', 'apex', 'offset')


def title(phase: str) -> str:
  """Title of a phase.

  Args:
    phase: key of `rank_pooling.PHASES`.

  >>> title('onset_apex')
  'onset to apex'
  """
  return phase.replace('_', ' to ')


def ends(
  clips: ClipBatch, phases: Sequence[str]
) -> tuple[Int[np.ndarray, 'clip phase'], Int[np.ndarray, 'clip phase']]:
  """Indices of the first and the last frame of each phase.

  Args:
    clips: only the key frames are used.
    phases: keys of `rank_pooling.PHASES`.

  Returns:
    First and last index. A phase that ends before it begins has one frame, the
    first.

  >>> clips = ClipBatch(None, *np.array([[9], [0], [4], [8]]))
  >>> ends(clips, ['onset_apex', 'apex_offset'])
  (array([[0, 4]]), array([[4, 8]]))
  """
  first, last = (
    np.stack(
      [np.asarray(getattr(clips, rank_pooling.PHASES[p][end])) for p in phases],
      axis=-1,
    )
    for end in (0, 1)
  )
  return first, np.maximum(first, last)


def single_frames(key_frames: Mapping[str, int], phases: Sequence[str]) -> str:
  """Describes the phases of a clip that have a single frame.

  Args:
    key_frames: onset, apex and offset, indices into the clip's frames.
    phases: keys of `rank_pooling.PHASES`.

  Returns:
    The note; '' if there is none.

  >>> key_frames = {'onset': 3, 'apex': 3, 'offset': 9}
  >>> single_frames(key_frames, ['onset_apex', 'apex_offset'])
  'onset_apex is a single frame: no motion'
  >>> single_frames(key_frames, ['onset_apex'])
  'onset_apex is a single frame: no motion at all, the prediction is a guess'
  """
  empty = [
    phase
    for phase in phases
    if len({key_frames[key] for key in rank_pooling.PHASES[phase]}) == 1
  ]
  if not empty:
    return ''
  note = f'{" and ".join(empty)} is a single frame: no motion'
  if len(empty) == len(phases):
    note += ' at all, the prediction is a guess'
  return note


def frames_at(
  clips: ClipBatch, at: Num[np.ndarray, 'clip frame']
) -> Float[Array, 'clip frame height width channel']:
  """Frames of each clip.

  Args:
    clips: with frames.
    at: frame indices; fractional ones are interpolated linearly.

  Returns:
    float32, grey levels.

  >>> frames = np.array([[[0, 0, 0], [10, 20, 30]]], np.uint8)
  >>> at = np.array([[2], [0], [1], [1]])
  >>> clips = ClipBatch(frames, *at, frame_shape=(1, 1, 3))
  >>> frames_at(clips, np.array([[0.5]])).ravel().tolist()
  [5.0, 10.0, 15.0]
  """
  rows = np.repeat(np.arange(len(at)), at.shape[1])
  frames = pick(clips, rows, at.reshape(-1))
  return frames.reshape(*at.shape, *clips.frame_shape)


def pick(
  clips: ClipBatch,
  rows: Int[np.ndarray, ' frame'],
  at: Num[np.ndarray, ' frame'],
) -> Float[Array, 'frame height width channel']:
  """Frames of any clips: the frame `at[i]` of the clip `rows[i]`.

  Args:
    clips: with frames.
    rows: indices of clips.
    at: frame indices; fractional ones are interpolated linearly.

  Returns:
    float32, grey levels.

  >>> frames = np.array([[[0], [9]], [[5], [7]]], np.uint8)
  >>> at = np.array([[2, 2], [0, 0], [1, 1], [1, 1]])
  >>> clips = ClipBatch(frames, *at, frame_shape=(1, 1, 1))
  >>> pick(clips, np.array([1, 0]), np.array([0, 1])).ravel().tolist()
  [5.0, 9.0]
  """
  # Never selects padding, whose length depends on the batch.
  at = np.minimum(at, np.asarray(clips.lengths)[rows] - 1)
  before = np.floor(at).astype(np.int32)
  frames = _take(clips, rows, before)
  if (before == at).all():
    return frames
  weight = jnp.asarray(at - before, jnp.float32)[:, None, None, None]
  after = _take(clips, rows, np.ceil(at).astype(np.int32))
  return frames + weight * (after - frames)


def _take(clips, rows, index):
  frames = jnp.asarray(clips.frames)[rows, index]
  return frames.reshape(-1, *clips.frame_shape).astype(jnp.float32)


def at_key_frames(
  clips: ClipBatch, keys: Sequence[str]
) -> Float[Array, 'clip key height width channel']:
  """Key frames of each clip.

  Args:
    clips: with frames.
    keys: any of 'onset', 'apex' and 'offset'.

  Returns:
    float32, grey levels.

  >>> frames = np.array([[[0], [9], [4]]], np.uint8)
  >>> at = np.array([[3], [0], [1], [2]])
  >>> clips = ClipBatch(frames, *at, frame_shape=(1, 1, 1))
  >>> at_key_frames(clips, ('apex', 'onset')).ravel().tolist()
  [9.0, 0.0]
  """
  index = np.stack([np.asarray(getattr(clips, key)) for key in keys], axis=-1)
  return frames_at(clips, index)


def most_different(clips: ClipBatch, fraction: float) -> ClipBatch:
  """Replaces the key frames by the most different ones close to them.

  Onset and apex become the pair of frames with the largest Euclidean distance:
  the onset is searched after the annotated onset, the apex before the annotated
  apex. Then the offset becomes the frame that differs most from this apex,
  searched before the annotated offset. In a tie the annotated pair wins, then a
  later onset (the closest to the annotated one, then the closest to the
  annotated apex), then an earlier apex alone.

  Args:
    clips: with frames.
    fraction: size of the search range, 0..0.5 of a phase, rounded down to
      frames.

  Returns:
    The same clips with other key frames, NumPy int32 [clip].

  Source: GAMDSS, arXiv 2603.04766, where differences overflow in 8 bits; here
  they do not.

  In the example, motion is largest one frame before the annotated apex.

  >>> frames = np.array([[[0], [1], [1], [9], [5], [0]]], np.uint8)
  >>> at = np.array([[6], [0], [4], [5]])
  >>> clips = ClipBatch(frames, *at, frame_shape=(1, 1, 1))
  >>> most_different(clips, 0.25).apex.tolist()
  [3]
  """
  all_frames, found = clips.frames, []
  assert all_frames is not None, 'clips must have frames'
  for row, (onset, apex, offset) in enumerate(
    zip(*(map(int, k) for k in (clips.onset, clips.apex, clips.offset)))
  ):
    # If a phase is empty, the annotated frames are used.
    reach = int(fraction * max(apex - onset, 0))
    frames = np.asarray(all_frames[row])
    # In the order of the code of GAMDSS and TSFmicro.
    lates = range(apex, apex - reach - 1, -1)
    pairs = [(apex, onset)]
    pairs += [
      (late, early)
      for early in range(onset + 1, onset + reach + 1)
      for late in lates
    ]
    pairs += [(late, onset) for late in lates[1:]]
    apex, onset = max(pairs, key=lambda pair: _distance(frames, *pair))
    back = int(fraction * max(offset - int(clips.apex[row]), 0))
    ends_ = range(offset, offset - back - 1, -1)
    offset = max(ends_, key=lambda end: _distance(frames, end, apex))
    found.append((onset, apex, offset))
  onset, apex, offset = np.array(found, np.int32).T
  return dataclasses.replace(clips, onset=onset, apex=apex, offset=offset)


def _distance(frames, one, other):
  """Squared Euclidean distance of two frames."""
  difference = frames[one].astype(np.int32) - frames[other]
  return int((difference**2).sum(dtype=np.int64))


class KeyFrames(Representation):
  """The onset, apex and offset frames; read by GAMDSS (arXiv 2603.04766).

  >>> KEY_FRAMES.views(config.Data())
  ('onset frame', 'apex frame', 'offset frame')
  """

  title = 'key frames'

  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """Red, green and blue, 0..255."""
    del settings
    return RGB

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """[view, height, width, channel]."""
    return 3, settings.image_size, settings.image_size, 3

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    del settings
    return tuple(f'{key} frame' for key in _KEYS)

  def note(self, key_frames: Mapping[str, int], settings: config.Data) -> str:
    """See `registry.Representation`."""
    del settings
    return single_frames(key_frames, config.PHASES[:2])

  def still(
    self, images: Float[AnyArray, 'view height width channel']
  ) -> Float[AnyArray, 'view height width channel']:
    """The onset frame, three times."""
    return np.broadcast_to(images[:1], images.shape)

  def __call__(
    self, clips: ClipBatch, settings: config.Data
  ) -> Float[Array, 'clip view height width channel']:
    """Key frames resized to `data.image_size`, grey levels 0..255."""
    return resizing.antialiased(
      at_key_frames(clips, _KEYS), settings.image_size
    )


class ApexDifference(Representation):
  """Apex minus onset, and the onset frame; read by TSFmicro (2505.16372).

  In the example, one pixel is 10 at the onset and 40 at the apex:

  >>> frames = np.array([[[10], [40], [20]]], np.uint8)
  >>> at = np.array([[3], [0], [1], [2]])
  >>> clips = ClipBatch(frames, *at, frame_shape=(1, 1, 1))
  >>> APEX_DIFFERENCE(clips, config.Data(image_size=1)).ravel().tolist()
  [30.0, 10.0]
  """

  title = 'differences from the apex frame'

  def channels(self, settings: config.Data) -> tuple[Channel, ...]:
    """Red, green and blue, -255..255."""
    del settings
    return RGB

  def shape(self, settings: config.Data) -> tuple[int, ...]:
    """[view, height, width, channel]."""
    return 2, settings.image_size, settings.image_size, 3

  def views(self, settings: config.Data) -> tuple[str, ...]:
    """See `registry.Representation`."""
    del settings
    return 'apex minus onset', 'onset frame'

  def note(self, key_frames: Mapping[str, int], settings: config.Data) -> str:
    """See `registry.Representation`."""
    del settings
    return single_frames(key_frames, ('onset_apex',))

  def still(
    self, images: Float[AnyArray, 'view height width channel']
  ) -> Float[AnyArray, 'view height width channel']:
    """No difference, and the same onset frame."""
    return np.concatenate([np.zeros_like(images[:1]), images[1:]])

  def __call__(
    self, clips: ClipBatch, settings: config.Data
  ) -> Float[Array, 'clip view height width channel']:
    """Signed difference and onset frame, resized to `data.image_size`."""
    onset, apex = jnp.moveaxis(at_key_frames(clips, ('onset', 'apex')), 1, 0)
    images = jnp.stack([apex - onset, onset], axis=1)
    return resizing.antialiased(images, settings.image_size)


KEY_FRAMES, APEX_DIFFERENCE = KeyFrames(), ApexDifference()
