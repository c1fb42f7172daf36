"""Spots expressions in a video of any length, while it is read.

The video is processed in stretches of four seconds, each with four seconds of
context on both sides. Only the measured motion of these twelve seconds is in
memory, so memory does not grow with the video, and live sources work, with a
delay of at most about eight seconds.

Nothing outside the context affects a stretch. If a part of a video begins at a
multiple of four seconds, it therefore has exactly the intervals of the complete
video, except in its first and last four seconds. If it begins elsewhere, its
motion is relative to other frames: intervals differ by a few hundredths of a
second, and scores close to the threshold may cross it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
import dataclasses
from typing import Protocol

from jaxtyping import Bool, Float64, Int
import numpy as np

from dianet_jax.clips import (
  expressions,
  face_blocks,
  faces,
  intervals,
  movements,
  segments,
)

# Number of blocks in a stretch, and of blocks of context on either side.
HOP, CONTEXT = 4, 4


@dataclasses.dataclass(frozen=True)
class Stretch:
  """Result of spotting in a stretch of four seconds.

  Attributes:
    numbers: number of one frame of each step, from 0.
    seconds: time stamps of these frames, relative to the first frame.
    face: whether a face is detected.
    scores: region or kind -> float64 [step], in the spotter's unit; 0 where no
      face is detected.
    found: intervals whose apex is in the stretch, in frame numbers.
    excluded: parts that are not expressions, or that cannot be judged.
  """

  numbers: Int[np.ndarray, ' step']
  seconds: Float64[np.ndarray, ' step']
  face: Bool[np.ndarray, ' step']
  scores: Mapping[str, Float64[np.ndarray, ' step']]
  found: tuple[intervals.Interval, ...]
  excluded: tuple[expressions.Excluded, ...]


class Scored(Protocol):
  """Scores and candidates of a track, as a spotter computes them."""

  @property
  def scores(self) -> Mapping[str, Float64[np.ndarray, ' step']]:
    """Scores of all steps of the track, as in `Stretch`."""
    ...

  def candidates(self, threshold: float) -> list[expressions.Candidate]:
    """Finds candidates, including excluded ones, which have a reason.

    Args:
      threshold: lowest score of an expression. Candidates below it may be
        included. A lower threshold does not change the score or the frames of
        candidates above it.

    Returns:
      Candidates in any order.
    """
    ...


Score = Callable[[movements.Track], Scored]


def spot(
  frames: Iterable[segments.Frame],
  threshold: float = expressions.THRESHOLD,
  find: face_blocks.Find = faces.find,
  score: Score = expressions.Movements,
) -> Iterator[Stretch]:
  """Spots expressions by facial movements.

  Args:
    frames: frames of a file, a folder or a camera, in temporal order.
    threshold: lowest score of an interval.
    find: detects the face in the first frame of each second.
    score: computes scores and candidates of a track; the default needs no
      training.

  Yields:
    Stretches in order. Each step of the source is in exactly one stretch.
    Intervals overlap by less than a third of the shorter one.
  """
  frames, fps = face_blocks.with_rate(frames)
  grid = face_blocks.grid(fps)
  blocks = face_blocks.measure(frames, fps, find)
  return spot_blocks(blocks, grid, threshold, score)


def spot_blocks(
  blocks: Iterable[face_blocks.Block],
  grid: face_blocks.Grid,
  threshold: float,
  score: Score = expressions.Movements,
) -> Iterator[Stretch]:
  """Spots expressions in measured blocks; the second half of `spot`.

  Args:
    blocks: all blocks of a source, in order.
    grid: the grid that they were measured on.
    threshold: lowest score of an interval.
    score: see `spot`.

  Yields:
    Stretches, see `spot`.
  """
  recent: list[face_blocks.Block] = []
  # Index in `recent` of the first block of the next stretch.
  first, before = 0, []
  for block in blocks:
    recent.append(block)
    if len(recent) == first + HOP + CONTEXT:
      stretch, before = _stretch(recent, grid, first, threshold, before, score)
      yield stretch
      first += HOP
      dropped = max(0, first - CONTEXT)
      del recent[:dropped]
      first -= dropped
  while first < len(recent):
    stretch, before = _stretch(recent, grid, first, threshold, before, score)
    yield stretch
    first += HOP


def _stretch(
  blocks: list[face_blocks.Block],
  grid: face_blocks.Grid,
  first: int,
  threshold: float,
  before: list[intervals.Interval],
  score: Score,
) -> tuple[Stretch, list[intervals.Interval]]:
  """The stretch that begins at block `first`, and all its candidates.

  A candidate that begins before a candidate of the previous stretch (`before`)
  ends, and whose score is not higher, is another peak of the same movement and
  is dropped. `before` includes candidates below the threshold, so that the
  threshold does not affect the other intervals.
  """
  blocks = blocks[max(0, first - CONTEXT) : first + HOP + CONTEXT]
  first = min(first, CONTEXT)
  track = movements.join(blocks, grid)
  start, end = first * grid.steps, (first + HOP) * grid.steps
  scored = score(track)
  found, excluded = [], []
  for one in sorted(scored.candidates(threshold), key=lambda c: c.onset):
    if not start <= one.apex < end:
      continue
    onset, apex, offset = (
      int(track.numbers[step]) for step in (one.onset, one.apex, one.offset)
    )
    if one.reason:
      excluded.append(expressions.Excluded(onset, offset, one.reason))
      continue
    if any(onset <= b.offset and one.score <= b.score for b in before):
      continue
    kind = intervals.kind_of(onset, offset, grid.fps)
    found.append(
      intervals.Interval(onset, apex, offset, kind, one.score, one.region)
    )
  core = slice(start, end)
  face = track.part[core] >= 0
  excluded += expressions.without_face(track.numbers[core], face)
  stretch = Stretch(
    track.numbers[core],
    track.seconds[core],
    face,
    {name: scores[core] for name, scores in scored.scores.items()},
    tuple(one for one in found if one.score >= threshold),
    tuple(expressions.merge(excluded)),
  )
  return stretch, found


@dataclasses.dataclass(frozen=True)
class Movement:
  """The spotter 'movement', which needs no training.

  Attributes:
    threshold: default threshold of the score.
    unit: unit of the score.
    find: detects faces.
  """

  threshold: float = expressions.THRESHOLD
  unit: str = 'noise floors'
  find: face_blocks.Find = faces.find

  def __call__(
    self, frames: Iterable[segments.Frame], threshold: float
  ) -> Iterator[Stretch]:
    """See `spot`."""
    return spot(frames, threshold, self.find)


MOVEMENT = Movement()
