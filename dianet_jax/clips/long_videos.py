"""Expressions in a video of any length, found while it comes in.

Of a video a dozen seconds are kept, as numbers: memory does not grow, and a
live source works, whose expressions are told some seconds later. Every four
seconds what lies in them is judged, with four seconds before and after it.
What is further away changes nothing: a part of a video that begins at a whole
multiple of four seconds has, save the four seconds at either end, exactly the
intervals that the whole video has there. One that begins elsewhere is
measured against other frames; its intervals differ by a few hundredths of a
second, and scores near the threshold may fall on its other side.
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

# Blocks that are judged at a time, and those that are looked at on either side.
HOP, CONTEXT = 4, 4


@dataclasses.dataclass(frozen=True)
class Stretch:
  """Four seconds of a video, judged.

  Attributes:
    numbers: of one frame of each step, from 0.
    seconds: of the same frames, since the source's first one.
    face: whether a face is seen.
    scores: of what is looked for, a region or a kind -> float64 [step], in the
      spotter's unit; 0 where nothing is seen.
    found: intervals whose apex is in the stretch, in frame numbers.
    excluded: what is no expression, or where none can be told.
  """

  numbers: Int[np.ndarray, ' step']
  seconds: Float64[np.ndarray, ' step']
  face: Bool[np.ndarray, ' step']
  scores: Mapping[str, Float64[np.ndarray, ' step']]
  found: tuple[intervals.Interval, ...]
  excluded: tuple[expressions.Excluded, ...]


class Judged(Protocol):
  """What a spotter says of a dozen seconds."""

  @property
  def scores(self) -> Mapping[str, Float64[np.ndarray, ' step']]:
    """See `Stretch`, of all steps of the track."""
    ...

  def candidates(self, threshold: float) -> list[expressions.Candidate]:
    """What reaches a threshold, or less, and what is excluded with a reason.

    A lower threshold changes neither score nor frames of those above it.
    """
    ...


Judge = Callable[[movements.Track], Judged]


def spot(
  frames: Iterable[segments.Frame],
  threshold: float = expressions.THRESHOLD,
  find: face_blocks.Find = faces.find,
  judge: Judge = expressions.Movements,
) -> Iterator[Stretch]:
  """Spots expressions by their movement.

  Args:
    frames: in the order of their time; of a file, a folder or a camera.
    threshold: of the score.
    find: finds the face in the first frame of each second.
    judge: what is said of a dozen seconds; by default without training.

  Yields:
    Stretches in order; together they hold every step of the source once. Less
    than a third of an interval lies in another one.
  """
  frames, fps = face_blocks.with_rate(frames)
  grid = face_blocks.grid(fps)
  blocks = face_blocks.measure(frames, fps, find)
  return judge_blocks(blocks, grid, threshold, judge)


def judge_blocks(
  blocks: Iterable[face_blocks.Block],
  grid: face_blocks.Grid,
  threshold: float,
  judge: Judge = expressions.Movements,
) -> Iterator[Stretch]:
  """The second half of `spot`, of blocks that are measured."""
  kept: list[face_blocks.Block] = []
  # What is judged next begins at this block of those that are kept.
  first, before = 0, []
  for block in blocks:
    kept.append(block)
    if len(kept) == first + HOP + CONTEXT:
      stretch, before = _judge(kept, grid, first, threshold, before, judge)
      yield stretch
      first += HOP
      forgotten = max(0, first - CONTEXT)
      del kept[:forgotten]
      first -= forgotten
  while first < len(kept):
    stretch, before = _judge(kept, grid, first, threshold, before, judge)
    yield stretch
    first += HOP


def _judge(
  blocks: list[face_blocks.Block],
  grid: face_blocks.Grid,
  first: int,
  threshold: float,
  before: list[intervals.Interval],
  judge: Judge,
) -> tuple[Stretch, list[intervals.Interval]]:
  """The stretch that begins at a block, and all candidates in it.

  What begins before a candidate of the previous stretch ends, and has no higher
  score, is another peak of the same movement. That candidate counts even if its
  score is below the threshold, so that the threshold changes nothing else.
  """
  blocks = blocks[max(0, first - CONTEXT) : first + HOP + CONTEXT]
  first = min(first, CONTEXT)
  track = movements.join(blocks, grid)
  start, end = first * grid.steps, (first + HOP) * grid.steps
  judged = judge(track)
  found, excluded = [], []
  for one in sorted(judged.candidates(threshold), key=lambda c: c.onset):
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
  excluded += expressions.unseen(track.numbers[core], face)
  stretch = Stretch(
    track.numbers[core],
    track.seconds[core],
    face,
    {name: scores[core] for name, scores in judged.scores.items()},
    tuple(one for one in found if one.score >= threshold),
    tuple(expressions.merge(excluded)),
  )
  return stretch, found


@dataclasses.dataclass(frozen=True)
class Movement:
  """The spotter that needs no training, as a row of the registry.

  Attributes:
    threshold: of the score, by default.
    unit: of the score.
    find: finds faces.
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
