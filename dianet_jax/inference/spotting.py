"""Results of spotting one video, their clips, and filmstrips of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import dataclasses
import itertools

from jaxtyping import Bool, Float64, Int, UInt8
import numpy as np

from dianet_jax.clips import (
  expressions,
  faces,
  images,
  intervals,
  long_videos,
  segments,
  video,
)
from dianet_jax.core import config, errors
from dianet_jax.inference import bundle as bundle_lib

# Side of the frames of a filmstrip in pixels, and their number.
_FILM_SIZE, _FILM_FRAMES = 160, 5


@dataclasses.dataclass(frozen=True)
class Spotted:
  """The result of spotting one video.

  Attributes:
    name: of the video.
    fps: frames per second.
    spotter: a row of `spotters.SPOTTERS`.
    threshold: lowest score of an interval.
    unit: unit of the score.
    numbers: number of one frame of each step, from 0.
    seconds: time stamps of the same frames, since the first frame.
    face: whether a face is detected.
    scores: region -> float64 [step].
    found: intervals, in order.
    excluded: parts that are not expressions, such as speech, or in which none
      can be detected, in order.
    warnings: reasons to trust the result less.
  """

  name: str
  fps: float
  spotter: str
  threshold: float
  unit: str
  numbers: Int[np.ndarray, ' step']
  seconds: Float64[np.ndarray, ' step']
  face: Bool[np.ndarray, ' step']
  scores: Mapping[str, Float64[np.ndarray, ' step']]
  found: tuple[intervals.Interval, ...]
  excluded: tuple[expressions.Excluded, ...]
  warnings: tuple[str, ...]

  @property
  def times(self) -> dict[int, float]:
    """Frame number -> its time stamp, of one frame of each step."""
    return dict(zip(map(int, self.numbers), map(float, self.seconds)))

  def at(self, number: int) -> str:
    """The kind or the reason of exclusion at a frame, such as 'micro'; or ''.

    Args:
      number: of the frame, from 0.

    >>> found = (intervals.Interval(2, 3, 5, 'micro', 6.0),)
    >>> spotted = Spotted(
    ...   'v1', 50.0, 'movement', 4.0, 'noise', np.arange(9), np.arange(9) / 50,
    ...   np.ones(9, bool), {}, found, (), (),
    ... )
    >>> spotted.at(5), spotted.at(6)
    ('micro', '')
    """
    for one in self.found:
      if one.onset <= number <= one.offset:
        return one.kind
    for other in self.excluded:
      if other.onset <= number <= other.offset:
        return other.reason
    return ''


def gather(
  name: str,
  spotter: str,
  unit: str,
  threshold: float,
  stretches: Iterable[long_videos.Stretch],
  warnings: Callable[[], Sequence[str]] = tuple,
) -> Spotted:
  """Collects all stretches of a video.

  Args:
    name: of the video.
    spotter: a row of `spotters.SPOTTERS`.
    unit: unit of the score.
    threshold: lowest score of an interval.
    stretches: iterated here, one by one.
    warnings: () -> warnings of the source; called after all frames were read.

  Returns:
    The result.

  Raises:
    UserError: there are fewer than two frames.

  One stretch of four frames, in two of which no face is detected:

  >>> stretch = long_videos.Stretch(
  ...   np.arange(4), np.arange(4) / 100, np.arange(4) < 2,
  ...   {'mouth': np.zeros(4)}, (), (),
  ... )
  >>> spotted = gather('v1.mp4', 'movement', 'noise', 4.0, [stretch])
  >>> round(spotted.fps), spotted.warnings
  (100, ('no face was detected in 50% of the video',))
  """
  parts = list(stretches)
  if not parts or len(parts[0].numbers) < 2:
    raise errors.UserError(
      f'{name} has fewer than two frames: spotting needs motion.'
    )
  seconds = np.concatenate([part.seconds for part in parts])
  face = np.concatenate([part.face for part in parts])
  numbers = np.concatenate([part.numbers for part in parts])
  step = float(np.median(np.diff(seconds)))
  fps = float(np.median(np.diff(numbers))) / step
  messages = [*warnings()]
  if not face.any():
    messages.append('no face was detected: nothing can be spotted')
  elif not face.all():
    missing = f'{1 - face.mean():.0%}'
    messages.append(f'no face was detected in {missing} of the video')
  if fps < segments.LEAST_RATE:
    messages.append(
      f'{fps:.0f} frames per second: scores are noisier than with'
      f' {segments.LEAST_RATE:.0f}'
    )
  return Spotted(
    name,
    fps,
    spotter,
    threshold,
    unit,
    numbers,
    seconds,
    face,
    {
      region: np.concatenate([part.scores[region] for part in parts])
      for region in parts[0].scores
    },
    tuple(itertools.chain.from_iterable(part.found for part in parts)),
    tuple(
      expressions.merge(
        itertools.chain.from_iterable(part.excluded for part in parts),
        gap=round(0.1 * fps),
      )
    ),
    tuple(messages),
  )


def clips(
  source: video.Video,
  found: Iterable[intervals.Interval],
  data: config.Data,
) -> Iterator[segments.Clip]:
  """Yields the clips of intervals, prepared for a bundle.

  The video is read once, and again only if two intervals overlap.

  Args:
    source: the video that was spotted.
    found: intervals in it, in order.
    data: section of the bundle.

  Raises:
    UserError: see `segments.take`.

  >>> import pathlib
  >>> import tempfile
  >>> import cv2
  >>> found = [intervals.Interval(2, 5, 9, 'micro')]
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   for number in range(20):
  ...     _ = cv2.imwrite(f'{folder}/{number}.png', np.zeros((64, 64, 3)))
  ...   source = video.Video(pathlib.Path(folder), fps=100)
  ...   [clip] = clips(source, found, config.Data(align=False, frame_size=64))
  >>> clip.numbers.tolist(), clip.apex
  ([2, 3, 4, 5, 6, 7, 8, 9], 3)
  """
  frames, read = source.frames(), 0

  def counted():
    nonlocal read
    for frame in frames:
      read += 1
      yield frame

  for one in found:
    if one.onset < read:
      frames, read = source.frames(), 0
    segment = segments.Segment(one.onset, one.apex, one.offset)
    clip = segments.take(source.name, counted(), segment, data, read)
    yield dataclasses.replace(clip, apex_source='spotted')


def with_emotions(
  source: video.Video,
  found: Sequence[intervals.Interval],
  bundle: bundle_lib.Bundle,
) -> tuple[list[intervals.Interval], list[str]]:
  """Predicts the emotion of each interval.

  Args:
    source: the video that was spotted.
    found: intervals in it, in order.
    bundle: predicts the emotions.

  Returns:
    The intervals with the most probable class as `emotion`; and a warning for
    each interval that could not be predicted, whose emotion stays empty.

  No face is detected in black frames, so the emotion stays empty.

  >>> import dianet_jax
  >>> import pathlib
  >>> import tempfile
  >>> import cv2
  >>> found = [intervals.Interval(2, 5, 9, 'micro')]
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   for number in range(20):
  ...     _ = cv2.imwrite(f'{folder}/{number}.png', np.zeros((64, 64, 3)))
  ...   source = video.Video(pathlib.Path(folder), fps=100)
  ...   bundle = dianet_jax.load_bundle()
  ...   [same], [warning] = with_emotions(source, found, bundle)
  >>> same.emotion, warning.partition(':')[0]
  ('', 'the emotion at frame 5 could not be predicted')
  """
  done: list[intervals.Interval] = []
  warnings = []
  while len(done) < len(found):
    rest = found[len(done) :]
    try:
      for one, clip in zip(rest, clips(source, rest, bundle.data)):
        label = bundle.predict_clip(clip).label
        done.append(dataclasses.replace(one, emotion=label))
    except errors.UserError as error:
      one = found[len(done)]
      warnings.append(
        f'the emotion at frame {one.apex} could not be predicted: {error}'
      )
      done.append(one)
  return done, warnings


def film_numbers(interval: intervals.Interval) -> list[int]:
  """Frame numbers of a filmstrip: onset, apex, offset and two in between.

  Args:
    interval: the expression.

  Returns:
    Five frame numbers in ascending order.

  >>> film_numbers(intervals.Interval(10, 20, 24, 'micro'))
  [10, 15, 20, 22, 24]
  """
  half = _FILM_FRAMES // 2
  before = np.linspace(interval.onset, interval.apex, half + 1)
  after = np.linspace(interval.apex, interval.offset, half + 1)[1:]
  return [round(float(n)) for n in [*before, *after]]


class Filmstrips:
  """Collects the frames of filmstrips while a video is read once more.

  Attributes:
    images: (onset, frame number) -> RGB, 0..255.

  >>> interval = intervals.Interval(0, 2, 4, 'micro')
  >>> strips = Filmstrips([interval])
  >>> for number in range(10):
  ...   strips.add(number, lambda: np.zeros((64, 64, 3), np.uint8))
  >>> [number for number, _ in strips.of(interval)]
  [0, 1, 2, 3, 4]
  """

  def __init__(self, found: Sequence[intervals.Interval]):
    self._wanted = {
      (one.onset, number): None for one in found for number in film_numbers(one)
    }
    self._by_number: dict[int, list[int]] = {}
    for onset, number in self._wanted:
      self._by_number.setdefault(number, []).append(onset)
    self._transforms: dict[int, np.ndarray | None] = {}
    self.images: dict[tuple[int, int], UInt8[np.ndarray, 'size size 3']] = {}

  def add(self, number: int, image: Callable[[], np.ndarray]) -> None:
    """Takes a frame if it belongs to a filmstrip.

    Args:
      number: of the frame.
      image: () -> RGB, 0..255; called only if the frame is needed.
    """
    for onset in self._by_number.get(number, ()):
      self.images[onset, number] = self._cut(onset, image())

  def of(
    self, interval: intervals.Interval
  ) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (frame number, image) of the filmstrip of an interval.

    Args:
      interval: one of those given to the constructor.
    """
    for number in film_numbers(interval):
      if (interval.onset, number) in self.images:
        yield number, self.images[interval.onset, number]

  def _cut(self, onset: int, image: np.ndarray) -> np.ndarray:
    if onset not in self._transforms:
      try:
        self._transforms[onset] = faces.find_transform(image, _FILM_SIZE)
      except faces.NoFaceError:
        self._transforms[onset] = None
    transform = self._transforms[onset]
    if transform is None:
      return images.fit(image, (0, 0, 1, 1), _FILM_SIZE)
    return faces.apply(image, transform, _FILM_SIZE)
