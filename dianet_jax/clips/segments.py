"""Extracts one clip from a stream of frames: cut, aligned, evenly spaced.

Frames are decoded one by one, and only those of the clip are kept, so memory
depends on the clip alone, and frames around it do not change it.
"""

from collections.abc import Callable, Iterable, Iterator
import dataclasses
from typing import NamedTuple

import cv2
from jaxtyping import Float64, Int, UInt8
import numpy as np

from dianet_jax.clips import faces, images, spotting
from dianet_jax.core import config, errors

# A longer source is not a clip of one expression, unless key frames are given.
_MOST_SECONDS = 2.0
# 300 MB at 224 pixels.
_MOST_FRAMES = 2048
# A step longer than this multiple of the usual one means dropped frames.
_DROPPED = 1.5
# Limits of warnings. Ours, from trials with synthetic motion.
LEAST_RATE = 100.0
_LEAST_FACE_PIXELS = 200
_MOST_SHIFT, _MOST_TURN = 0.05, 0.1


class Frame(NamedTuple):
  """A frame that is decoded on demand.

  Attributes:
    seconds: since the first frame of its source.
    image: () -> uint8 [height, width, 3], RGB, 0..255.
    grey: () -> uint8 [height, width], grey levels 0..255, if they can be
      decoded faster than `image`; otherwise None.
  """

  seconds: float
  image: Callable[[], UInt8[np.ndarray, 'height width 3']]
  grey: Callable[[], UInt8[np.ndarray, 'height width']] | None = None

  def as_grey(self) -> UInt8[np.ndarray, 'height width']:
    """The frame in grey levels."""
    if self.grey is not None:
      return self.grey()
    return cv2.cvtColor(self.image(), cv2.COLOR_RGB2GRAY)


@dataclasses.dataclass(frozen=True)
class Segment:
  """Which part of a source is the clip; None where not given.

  Attributes:
    onset: number of the first frame, from 0.
    apex: number of the frame of the largest displacement, from 0.
    offset: number of the last frame, from 0.
    start: seconds since the source's first frame, instead of `onset`.
    end: seconds, instead of `offset`.
  """

  onset: int | None = None
  apex: int | None = None
  offset: int | None = None
  start: float | None = None
  end: float | None = None

  def check(self) -> None:
    """Raises a UserError if the values are contradictory or out of range."""
    keys = [k for k in (self.onset, self.apex, self.offset) if k is not None]
    if keys != sorted(set(keys)) or min(keys, default=0) < 0:
      raise errors.UserError(
        f'onset={self.onset}, apex={self.apex}, offset={self.offset}: expected'
        ' numbers of frames, from 0, in this order.'
      )
    if self.start is not None and not 0 <= self.start < float('inf'):
      raise errors.UserError(
        f'start={self.start}: expected seconds, 0 or more.'
      )
    if self.end is not None and not (self.start or 0) < self.end < float('inf'):
      raise errors.UserError(
        f'end={self.end}: expected seconds, more than start={self.start or 0}.'
      )
    by_number = self.onset is not None or self.offset is not None
    if by_number and (self.start is not None or self.end is not None):
      raise errors.UserError(
        'A clip is given by onset and offset (numbers of frames) or by start'
        ' and end (seconds), not by both.'
      )

  @property
  def has_end(self) -> bool:
    """Whether the end of the clip is given."""
    return self.offset is not None or self.end is not None

  def is_before(self, number: int, seconds: float) -> bool:
    """Whether a frame is before the clip."""
    return number < (self.onset or 0) or seconds < (self.start or 0)

  def is_after(self, number: int, seconds: float) -> bool:
    """Whether a frame is after the clip."""
    return (self.offset is not None and number > self.offset) or (
      self.end is not None and seconds > self.end
    )


# The complete source, if it is short enough.
WHOLE = Segment()


@dataclasses.dataclass(frozen=True)
class Clip:
  """A preprocessed clip, from which representations are computed.

  Attributes:
    name: name of its source, for tables and messages.
    frames: uint8, 0..255, onset to offset, cropped or aligned to one size.
    numbers: number of each frame in its source, from 0.
    seconds: time stamp of each frame, since the source's first one.
    apex: index into `frames`.
    apex_source: 'given', 'spotted', or 'middle' if nothing moves.
    warnings: why the result may be worse than the bundle's card states.
  """

  name: str
  frames: UInt8[np.ndarray, 'frame height width channel']
  numbers: Int[np.ndarray, ' frame']
  seconds: Float64[np.ndarray, ' frame']
  apex: int
  apex_source: str
  warnings: tuple[str, ...]

  @property
  def onset(self) -> int:
    """Index into `frames`."""
    return 0

  @property
  def offset(self) -> int:
    """Index into `frames`."""
    return len(self.frames) - 1

  @property
  def frames_per_second(self) -> float:
    """Frame rate, from the median step."""
    return 1 / float(np.median(np.diff(self.seconds)))


def of_array(
  frames: UInt8[np.ndarray, 'frame height width 3'], fps: float
) -> Iterator[Frame]:
  """Yields the frames of an array.

  Args:
    frames: RGB, 0..255.
    fps: frames per second.

  Raises:
    UserError: another shape or type, or an invalid frame rate.
  """
  frames = np.asarray(frames)
  if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
    raise errors.UserError(
      f'frames are {frames.dtype} {list(frames.shape)}: expected uint8 [frame,'
      ' height, width, 3], RGB.'
    )
  check_rate(fps)
  for number, frame in enumerate(frames):
    yield Frame(number / fps, lambda frame=frame: frame)


def check_rate(fps: float) -> None:
  """Raises a UserError if a frame rate is out of range."""
  if not 1 <= fps <= 100_000:
    raise errors.UserError(
      f'fps={fps}: expected frames per second, 1 to 100000.'
    )


def is_long(frames: Iterable[Frame]) -> bool:
  """Whether a source is longer than two seconds, so not a single clip.

  Args:
    frames: from the beginning; only as many as needed are read, none decoded.

  >>> frames = np.zeros((201, 8, 8, 3), np.uint8)
  >>> is_long(of_array(frames, fps=100)), is_long(of_array(frames, fps=50))
  (False, True)
  """
  return any(frame.seconds > _MOST_SECONDS for frame in frames)


def take(
  name: str,
  frames: Iterable[Frame],
  segment: Segment,
  data: config.Data,
  first: int = 0,
) -> Clip:
  """Extracts a clip from a source and preprocesses it as in training.

  Args:
    name: of the source.
    frames: read only to the end of the clip.
    segment: part that is the clip; without an end at most two seconds.
    data: its `align`, `crop` and `frame_size` are used.
    first: number of the first of `frames` in the source.

  Returns:
    The clip, with warnings.

  Raises:
    UserError: see `Bundle.predict`.

  >>> frames = of_array(np.zeros((20, 64, 64, 3), np.uint8), fps=100)
  >>> data = config.Data(align=False, frame_size=32)
  >>> clip = take('v1', frames, Segment(onset=5, apex=8, offset=14), data)
  >>> clip.frames.shape, clip.apex
  ((10, 32, 32, 3), 3)
  """
  segment.check()
  cut = _Cutter(name, data)
  kept, numbers, seconds = [], [], []
  for number, frame in enumerate(frames, first):
    if segment.is_before(number, frame.seconds):
      continue
    if segment.is_after(number, frame.seconds):
      break
    if seconds and frame.seconds <= seconds[-1]:
      # Of two frames with the same time stamp, the second is a duplicate.
      continue
    kept.append(cut(frame.image()))
    numbers.append(number)
    seconds.append(frame.seconds)
    _check_length(name, segment, seconds)
  _check_found(name, segment, numbers)
  times = np.array(seconds)
  steps, dropped = equal_steps(times)
  numbers, kept = np.array(numbers)[steps], np.stack(kept)[steps]
  warnings = [*cut.warnings(), *dropped]
  rate = 1 / float(np.median(np.diff(times)))
  # Time stamps are rounded: a video of 100 frames per second may have 99.99.
  if round(rate) < LEAST_RATE:
    warnings.append(
      f'{rate:.0f} frames per second: with fewer than {LEAST_RATE:.0f}, noise'
      ' is stronger relative to the motion'
    )
  apex, source = _apex(kept, numbers, segment)
  if source == 'middle':
    warnings.append('nothing moves: the middle frame is used as the apex')
  return Clip(
    name=name,
    frames=kept,
    numbers=numbers,
    seconds=times[0] + np.arange(len(steps)) / rate,
    apex=apex,
    apex_source=source,
    warnings=tuple(warnings),
  )


def equal_steps(
  seconds: Float64[np.ndarray, ' frame'],
) -> tuple[Int[np.ndarray, ' step'], list[str]]:
  """Replaces dropped frames by their nearest neighbours.

  The result has steps of equal length, the median step. Without dropped frames
  it has every frame once.

  Args:
    seconds: time stamps, ascending; two or more.

  Returns:
    Indices of frames, ascending, some twice; and warnings.

  >>> equal_steps(np.array([0, 0.01, 0.02, 0.041, 0.05]))[0].tolist()
  [0, 1, 2, 2, 3, 4]
  """
  gaps = np.diff(seconds)
  step = np.median(gaps)
  if gaps.max() <= _DROPPED * step:
    return np.arange(len(seconds)), []
  wanted = np.arange(round((seconds[-1] - seconds[0]) / step) + 1) * step
  right = np.searchsorted(seconds, seconds[0] + wanted - 1e-9)
  right = np.clip(right, 1, len(seconds) - 1)
  nearer_left = seconds[0] + wanted - seconds[right - 1] < (
    seconds[right] - seconds[0] - wanted
  )
  return right - nearer_left, [
    f'frames were dropped (the longest step is {gaps.max() * 1000:.0f} ms, the'
    f' usual one {step * 1000:.0f}): the nearest frames replace them'
  ]


class _Cutter:
  """Crops or aligns the frames of one clip, by the face in its first frame."""

  def __init__(self, name: str, data: config.Data):
    self._name, self._data = name, data
    self._face: faces.Face | None = None
    self._last: np.ndarray | None = None

  def __call__(self, image: np.ndarray) -> np.ndarray:
    size = self._data.frame_size
    self._last = image
    if not self._data.align:
      return images.fit(image, self._data.crop, size)
    if self._face is None:
      try:
        self._face = faces.find(image, size)
      except faces.NoFaceError as error:
        raise errors.UserError(
          f'{self._name}: {error} in the onset frame. Choose an onset with a'
          ' frontal face, at least 80 pixels wide.'
        ) from error
    return faces.apply(image, self._face.transform, size)

  def warnings(self) -> Iterator[str]:
    """Warnings about the face, after the last frame."""
    if self._face is None:
      yield (
        'the bundle was trained on frames without alignment: these frames must'
        ' show the face like those of its data set'
      )
      return
    if self._face.faces > 1:
      yield f'{self._face.faces} faces were detected: the largest is used'
    if self._face.width < _LEAST_FACE_PIXELS:
      yield (
        f'the face is {self._face.width} pixels wide: with fewer than'
        f' {_LEAST_FACE_PIXELS}, small motions are less than a pixel'
      )
    yield from self._head()

  def _head(self) -> Iterator[str]:
    """Warnings about head motion from the first to the last frame."""
    assert self._face is not None and self._last is not None
    size = self._data.frame_size
    try:
      now = faces.find(self._last, size).transform
    except faces.NoFaceError:
      yield 'no face is detected in the offset frame'
      return
    back = cv2.invertAffineTransform(now)
    middle = np.append(back @ [size / 2, size / 2, 1], 1)
    x, y = self._face.transform @ middle - size / 2
    turn = np.angle(complex(*self._face.transform[:, 0]) / complex(*now[:, 0]))
    if np.hypot(x, y) > _MOST_SHIFT * size or abs(turn) > _MOST_TURN:
      yield (
        f'the head moved by {np.hypot(x, y) / size:.0%} of the image and'
        f' {abs(np.degrees(turn)):.0f} degrees from onset to offset, which the'
        ' network may see as motion of the face'
      )


def _check_length(name: str, segment: Segment, seconds: list[float]) -> None:
  if not segment.has_end and seconds[-1] - seconds[0] > _MOST_SECONDS:
    raise errors.UserError(
      f'{name} is longer than {_MOST_SECONDS:.0f} seconds, so it is not a'
      ' single micro-expression. Give its key frames: --onset and --offset'
      ' (frame numbers, from 0), or --start and --end (seconds).'
    )
  if len(seconds) > _MOST_FRAMES:
    raise errors.UserError(
      f'{name}: the clip has more than {_MOST_FRAMES} frames. A'
      ' micro-expression lasts half a second: choose a shorter part.'
    )


def _check_found(name: str, segment: Segment, numbers: list[int]) -> None:
  """Raises a UserError if requested frames are not in the source."""
  given = [k for k in (segment.apex, segment.offset) if k is not None]
  if numbers and (not given or max(given) <= numbers[-1]) and len(numbers) > 1:
    return
  there = f'{len(numbers)} frame(s) of it were found'
  if numbers:
    there += f', numbers {numbers[0]} to {numbers[-1]}'
  raise errors.UserError(
    f'{name}: {there}. Expected two or more, and all key frames among them'
    f' (onset={segment.onset}, apex={segment.apex}, offset={segment.offset},'
    f' start={segment.start}, end={segment.end}).'
  )


def _apex(frames, numbers, segment: Segment) -> tuple[int, str]:
  """Index of the apex, and how it was determined."""
  if segment.apex is not None:
    return int(np.abs(numbers - segment.apex).argmin()), 'given'
  # Frame by frame, because a clip as floats would need four times the memory.
  grey = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames])
  energy = spotting.motion_energy(grey)
  if not energy.max() > 0:
    return len(frames) // 2, 'middle'
  return int(energy.argmax()), 'spotted'
