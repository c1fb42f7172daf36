"""One clip out of a stream of frames: cut out, aligned, evenly spaced.

Frames are decoded one by one, and of those before and after the clip nothing
is kept: memory is that of the clip, and what surrounds it changes nothing.
"""

from collections.abc import Callable, Iterable, Iterator
import dataclasses
from typing import NamedTuple

import cv2
from jaxtyping import Float64, Int, UInt8
import numpy as np

from dianet_jax.clips import faces, images, spotting
from dianet_jax.core import config, errors

# What is longer is no clip of one expression, unless key frames say so.
_MOST_SECONDS = 2.0
# At 224 pixels 300 MB.
_MOST_FRAMES = 2048
# A longer step than this many usual ones: frames were dropped.
_DROPPED = 1.5
# What a result is warned of. Ours, from trials with planted motion.
LEAST_RATE = 100.0
_LEAST_FACE_PIXELS = 200
_MOST_SHIFT, _MOST_TURN = 0.05, 0.1


class Frame(NamedTuple):
  """A frame that is decoded when it is asked for.

  Attributes:
    seconds: since the first frame of its source.
    image: () -> uint8 [height, width, 3], RGB, 0..255.
    grey: () -> uint8 [height, width], the same, where it is got for less than
      from `image`.
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
  """Which part of a source is the clip; None where nothing is said.

  Attributes:
    onset: number of the first frame, from 0.
    apex: number of the frame of the greatest extent.
    offset: number of the last frame.
    start: seconds since the source's first frame, instead of `onset`.
    end: seconds, instead of `offset`.
  """

  onset: int | None = None
  apex: int | None = None
  offset: int | None = None
  start: float | None = None
  end: float | None = None

  def check(self) -> None:
    """UserError where it cannot be a part of anything."""
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
    """Whether it says where the clip ends."""
    return self.offset is not None or self.end is not None

  def is_before(self, number: int, seconds: float) -> bool:
    """Whether a frame lies before the clip."""
    return number < (self.onset or 0) or seconds < (self.start or 0)

  def is_after(self, number: int, seconds: float) -> bool:
    """Whether a frame lies after the clip."""
    return (self.offset is not None and number > self.offset) or (
      self.end is not None and seconds > self.end
    )


# All of a source, if it is short enough.
WHOLE = Segment()


@dataclasses.dataclass(frozen=True)
class Clip:
  """A clip as a representation takes it.

  Attributes:
    name: of its source, for tables and messages.
    frames: uint8, onset to offset, cut or aligned to one size.
    numbers: of each frame in its source, from 0.
    seconds: float64, of each frame, since the source's first one.
    apex: index into `frames`.
    apex_source: 'given', 'spotted', or 'middle' where nothing moves.
    warnings: why the result may be worse than the bundle's card says.
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
    """From the median step."""
    return 1 / float(np.median(np.diff(self.seconds)))


def of_array(
  frames: UInt8[np.ndarray, 'frame height width 3'], fps: float
) -> Iterator[Frame]:
  """Frames of an array, `fps` a second.

  Raises:
    UserError: another shape or type, or a rate that is none.
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
  """UserError where a rate is no rate of a camera."""
  if not 1 <= fps <= 100_000:
    raise errors.UserError(f'fps={fps}: expected frames a second, 1 to 100000.')


def is_long(frames: Iterable[Frame]) -> bool:
  """Whether a source is no single clip: it goes on for more than two seconds.

  Args:
    frames: from its beginning; read no further than that, and none decoded.
  """
  return any(frame.seconds > _MOST_SECONDS for frame in frames)


def take(
  name: str,
  frames: Iterable[Frame],
  segment: Segment,
  data: config.Data,
  first: int = 0,
) -> Clip:
  """Cuts a clip out of a source and prepares it as in training.

  Args:
    name: of the source.
    frames: from its beginning; read to the end of the clip and no further.
    segment: the part that is the clip; without an end at most two seconds.
    data: of it `align`, `crop` and `frame_size`.
    first: number of the first of `frames` in the source.

  Raises:
    UserError: see `Bundle.predict`.
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
      # Two frames of one time: the second one shows nothing new.
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
  # Time stamps are rounded: a video of 100 frames a second may have 99.99.
  if round(rate) < LEAST_RATE:
    warnings.append(
      f'{rate:.0f} frames a second: with fewer than {LEAST_RATE:.0f} noise'
      ' weighs more against the motion'
    )
  apex, source = _apex(kept, numbers, segment)
  if source == 'middle':
    warnings.append('nothing moves: the middle frame stands for the apex')
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
  """Frames nearest to steps of equal length, the median one.

  Only where frames were dropped: otherwise every frame once.

  Args:
    seconds: of each frame, ascending; two or more.

  Returns:
    Indices, ascending, some twice; and what to warn of.
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
    f' usual one {step * 1000:.0f}): the nearest ones stand in their place'
  ]


class _Cutter:
  """Cuts frames of one clip by what was found in its first one."""

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
          f'{self._name}: {error} in the onset frame. Choose an onset where the'
          ' face is seen from the front, 80 pixels wide or more.'
        ) from error
    return faces.apply(image, self._face.transform, size)

  def warnings(self) -> Iterator[str]:
    """About the face, once all frames are cut."""
    if self._face is None:
      yield (
        'the bundle was trained on frames that were not aligned: the frames'
        ' must show the face as those of its data set do'
      )
      return
    if self._face.faces > 1:
      yield f'{self._face.faces} faces were found: the largest one counts'
    if self._face.width < _LEAST_FACE_PIXELS:
      yield (
        f'the face is {self._face.width} pixels wide: with fewer than'
        f' {_LEAST_FACE_PIXELS} a small motion is less than a pixel'
      )
    yield from self._head()

  def _head(self) -> Iterator[str]:
    """Whether the head is where it was."""
    assert self._face is not None and self._last is not None
    size = self._data.frame_size
    try:
      now = faces.find(self._last, size).transform
    except faces.NoFaceError:
      yield 'the face is lost before the offset'
      return
    back = cv2.invertAffineTransform(now)
    middle = np.append(back @ [size / 2, size / 2, 1], 1)
    x, y = self._face.transform @ middle - size / 2
    turn = np.angle(complex(*self._face.transform[:, 0]) / complex(*now[:, 0]))
    if np.hypot(x, y) > _MOST_SHIFT * size or abs(turn) > _MOST_TURN:
      yield (
        f'the head moved by {np.hypot(x, y) / size:.0%} of the image and'
        f' {abs(np.degrees(turn)):.0f} degrees from onset to offset: what is'
        ' seen may be that'
      )


def _check_length(name: str, segment: Segment, seconds: list[float]) -> None:
  if not segment.has_end and seconds[-1] - seconds[0] > _MOST_SECONDS:
    raise errors.UserError(
      f'{name} goes on for more than {_MOST_SECONDS:.0f} seconds, which is no'
      ' single micro-expression. Give its key frames: --onset and --offset'
      ' (numbers of frames, from 0), or --start and --end (seconds).'
    )
  if len(seconds) > _MOST_FRAMES:
    raise errors.UserError(
      f'{name}: the clip has more than {_MOST_FRAMES} frames. A'
      ' micro-expression lasts half a second: bring onset and offset closer.'
    )


def _check_found(name: str, segment: Segment, numbers: list[int]) -> None:
  """UserError where the source has not the frames that were asked for."""
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
  """Index of the apex, and where it comes from."""
  if segment.apex is not None:
    return int(np.abs(numbers - segment.apex).argmin()), 'given'
  # Frame by frame: a clip as floats would take four times its memory.
  grey = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames])
  energy = spotting.motion_energy(grey)
  if not energy.max() > 0:
    return len(frames) // 2, 'middle'
  return int(energy.argmax()), 'spotted'
