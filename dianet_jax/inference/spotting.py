"""A video that was spotted: what was found in it, and how it is looked at."""

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

# Of a filmstrip: side of a frame in pixels, and how many there are.
_FILM_SIZE, _FILM_FRAMES = 160, 5


@dataclasses.dataclass(frozen=True)
class Spotted:
  """What a spotter says of one video; its signal is all that grows with it.

  Attributes:
    name: of the video.
    fps: frames a second.
    spotter: a row of `spotters.SPOTTERS`.
    threshold: of the score.
    unit: of the score.
    numbers: of one frame of each step, from 0.
    seconds: of the same frames.
    face: whether a face is seen.
    scores: region -> float64 [step].
    found: intervals, in order.
    excluded: what is no expression, or where none can be told, in order.
    warnings: why to trust it less.
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
    """What a frame belongs to: 'micro', 'speech', or ''."""
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
  """All stretches of a video.

  Args:
    name: of the video.
    spotter: that judges it.
    unit: of the score.
    threshold: of the score.
    stretches: are drawn here, one by one.
    warnings: of the source, once all of it was read.

  Raises:
    UserError: there are no frames.
  """
  parts = list(stretches)
  if not parts or len(parts[0].numbers) < 2:
    raise errors.UserError(
      f'{name} has fewer than two frames: nothing moves in it.'
    )
  seconds = np.concatenate([part.seconds for part in parts])
  face = np.concatenate([part.face for part in parts])
  numbers = np.concatenate([part.numbers for part in parts])
  step = float(np.median(np.diff(seconds)))
  fps = float(np.median(np.diff(numbers))) / step
  said = [*warnings()]
  if not face.any():
    said.append('no face was found: nothing can be spotted')
  elif not face.all():
    said.append(f'no face is seen in {1 - face.mean():.0%} of it')
  if fps < segments.LEAST_RATE:
    said.append(
      f'{fps:.0f} frames a second: noise weighs more than with'
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
    tuple(said),
  )


def clips(
  source: video.Video,
  found: Iterable[intervals.Interval],
  data: config.Data,
) -> Iterator[segments.Clip]:
  """The clips of intervals, prepared for a bundle one after the other.

  The video is read once, and again only where two intervals overlap.

  Args:
    source: that was spotted.
    found: intervals in it, in order.
    data: of the bundle.

  Raises:
    UserError: see `segments.take`.
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


def named(
  source: video.Video,
  found: Sequence[intervals.Interval],
  bundle: bundle_lib.Bundle,
) -> tuple[list[intervals.Interval], list[str]]:
  """The intervals with the most probable class of each as its emotion.

  Args:
    source: that was spotted.
    found: intervals in it, in order.
    bundle: names them.

  Returns:
    The same intervals, and why some have no name.
  """
  done: list[intervals.Interval] = []
  why = []
  while len(done) < len(found):
    rest = found[len(done) :]
    try:
      for one, clip in zip(rest, clips(source, rest, bundle.data)):
        label = bundle.predict_clip(clip).label
        done.append(dataclasses.replace(one, emotion=label))
    except errors.UserError as error:
      one = found[len(done)]
      why.append(f'the expression at frame {one.apex} has no name: {error}')
      done.append(one)
  return done, why


def film_numbers(interval: intervals.Interval) -> list[int]:
  """Frames of a filmstrip: the apex, and evenly from it to both ends."""
  half = _FILM_FRAMES // 2
  before = np.linspace(interval.onset, interval.apex, half + 1)
  after = np.linspace(interval.apex, interval.offset, half + 1)[1:]
  return [round(float(n)) for n in [*before, *after]]


class Filmstrips:
  """Collects the frames of filmstrips while a video passes by once more."""

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
    """Takes a frame if a filmstrip wants it."""
    for onset in self._by_number.get(number, ()):
      self.images[onset, number] = self._cut(onset, image())

  def of(
    self, interval: intervals.Interval
  ) -> Iterator[tuple[int, np.ndarray]]:
    """The frames of an interval, with their numbers."""
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
