"""Intervals of expressions out of the movements of a face, and what is none.

Blinks, speech and head turns move a face more often than expressions do. What
is told apart by its signal is excluded with the reason; the rest gets a score.
"""

from collections.abc import Iterable, Iterator, Sequence
import dataclasses

from jaxtyping import Bool, Float64, Int
import numpy as np

from dianet_jax.clips import face_blocks, intervals, movements

# What a score must reach: heights of a movement in units of the noise floor.
# Chosen on made videos of other faces than those of the published figures.
THRESHOLD = 6.0
REASONS = {
  'blink': 'the eyes move much more than brows and mouth',
  'speech': 'the mouth moves again and again',
  'head moved': 'the head moves, and the face much less',
  'no face': 'no face is seen, or not the same view of one',
}
# Heights of eyes over those of brows: a lid that closes draws at the brow.
_BLINK_RATIO = 1.4
# Movements of the mouth alone, and the seconds in which they are so many.
_SPEECH_COUNT, _SPEECH_SECONDS, _SYLLABLE_SECONDS = 3, 1.5, 0.7
_PAUSE_SECONDS, _SPEECH_SCORE = 0.5, 10.0
# Of the head's way within an interval: what registration leaves in the face.
_HEAD_SHARE = 0.02
# Percent of the distance between the eyes that a radian moves the brows.
_TURN_PERCENT = 100.0
# Two peaks that are closer are one.
_PEAK_SECONDS = 0.1
# A part of the largest height that a lag must have to be long enough.
_ENOUGH = 0.8
# Two points of the rise, in shares of the height: the line through them meets
# the ground where a coder sees the onset.
_LOW, _HIGH = 0.15, 0.5
# Of the height, that both sides of a gap between two movements have.
_GAP_SHARE = 0.6
# Lags from the peak in which the ground is sought.
_REACH = 1.5
# Seconds: shorter is no movement of a face, longer no expression.
_SHORTEST, _LONGEST = 0.08, 4.0
# Of the shorter of two intervals: with more in common they are one movement.
_COMMON = 0.3


@dataclasses.dataclass(frozen=True)
class Excluded:
  """What is no expression, or cannot be told.

  Attributes:
    onset: number of the first frame.
    offset: number of the last frame.
    reason: a key of `REASONS`.
  """

  onset: int
  offset: int
  reason: str


def unseen(
  numbers: Int[np.ndarray, ' step'], face: Bool[np.ndarray, ' step']
) -> list[Excluded]:
  """Runs of steps without a face."""
  edges = np.flatnonzero(np.diff(np.r_[False, ~face, False]))
  return [
    Excluded(int(numbers[start]), int(numbers[end - 1]), 'no face')
    for start, end in zip(edges[::2], edges[1::2])
  ]


def merge(found: Iterable[Excluded], gap: int = 1) -> list[Excluded]:
  """In order; what touches and has the same reason is one.

  Args:
    found: in any order.
    gap: frames from an offset to an onset that touches it.
  """
  merged: list[Excluded] = []
  for one in sorted(found, key=lambda e: (e.reason, e.onset)):
    before = merged[-1] if merged else None
    if (
      before is not None
      and before.reason == one.reason
      and one.onset <= before.offset + gap
    ):
      offset = max(one.offset, before.offset)
      merged[-1] = dataclasses.replace(before, offset=offset)
    else:
      merged.append(one)
  return sorted(merged, key=lambda e: e.onset)


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A movement that came and went; steps are indices into its track."""

  onset: int
  apex: int
  offset: int
  score: float
  region: str
  reason: str = ''

  def meets(self, other: 'Candidate') -> bool:
    """Whether both are one movement."""
    both = min(self.offset, other.offset) - max(self.onset, other.onset) + 1
    shorter = min(self.offset - self.onset, other.offset - other.onset) + 1
    return both > _COMMON * shorter


class Movements:
  """A track, and the signals of its regions."""

  def __init__(self, track: movements.Track):
    self.track = track
    self.motion = {}
    self.signals: dict[str, movements.Signal] = {}
    smooth = movements.smooth(track)
    for region in face_blocks.REGIONS:
      part = smooth[:, face_blocks.region_slice(region)]
      self.motion[region] = part.reshape(len(part), -1)
      self.signals[region] = movements.there_and_back(
        self.motion[region], track.part, track.rate, part.shape[1]
      )

  def candidates(self, threshold: float) -> list[Candidate]:
    """What comes and goes, one for each movement, those excluded too."""
    found = {
      region: list(self._of_region(region, threshold))
      for region in face_blocks.REGIONS
    }
    rate, steps = self.track.rate, len(self.track.part)
    talking = _talking(found['mouth'], steps, rate)
    judged = [
      dataclasses.replace(c, reason=self._reason(c, talking, threshold))
      for c in found['brows'] + found['mouth']
    ]
    blinks = [
      dataclasses.replace(c, reason='blink')
      for c in found['eyes']
      if self._is_blink(c)
    ]
    kept = _largest(c for c in judged if not c.reason)
    return kept + _largest([*blinks, *(c for c in judged if c.reason)])

  def _of_region(self, region: str, threshold: float) -> Iterator[Candidate]:
    score = self.signals[region].score
    reach = max(1, round(_PEAK_SECONDS * self.track.rate))
    for apex in np.flatnonzero(score >= threshold):
      around = score[max(0, apex - reach) : apex + reach + 1]
      if score[apex] == around.max():
        candidate = self._delineate(region, int(apex))
        if candidate is not None:
          yield candidate

  def _delineate(self, region: str, peak: int) -> Candidate | None:
    """From where the movement leaves the ground to where it is back."""
    signal, rate = self.signals[region], self.track.rate
    heights = signal.heights[:, peak]
    enough = heights >= _ENOUGH * heights.max()
    lag = signal.lags[int(np.flatnonzero(enough)[0])]
    motion = self.motion[region]
    way = 2 * motion[peak] - motion[peak - lag] - motion[peak + lag]
    along = motion @ (way / np.linalg.norm(way))
    part = self.track.part == self.track.part[peak]
    reach = round(_REACH * lag) + 1
    sides = []
    for step in (-1, 1):
      side, same = along[peak::step][:reach], part[peak::step][:reach]
      sides.append(_walk(side[: len(same) if same.all() else same.argmin()]))
    onset, offset = round(peak - sides[0]), round(peak + sides[1])
    length = (offset - onset + 1) / rate
    if not _SHORTEST <= length <= _LONGEST:
      return None
    onset, offset = max(onset, 0), min(offset, len(along) - 1)
    if _is_gap(along, part, onset, peak, offset):
      return None
    apex = onset + int(np.nanargmax(along[onset : offset + 1]))
    way = _head_way(self.track.head[onset : offset + 1])
    best = int((heights / signal.floors).argmax())
    noise = np.hypot(signal.floors[best], _HEAD_SHARE * way)
    return Candidate(onset, apex, offset, float(heights[best] / noise), region)

  def _reason(self, candidate, talking, threshold: float) -> str:
    inside = slice(candidate.onset, candidate.offset + 1)
    if candidate.region == 'mouth' and talking[inside].mean() > 0.5:
      return 'speech'
    if candidate.region == 'brows' and self._is_blink(candidate):
      return 'blink'
    return 'head moved' if candidate.score < threshold else ''

  def _is_blink(self, candidate: Candidate) -> bool:
    seconds = (candidate.offset - candidate.onset + 1) / self.track.rate
    if seconds > 2 * intervals.MICRO_SECONDS:
      return False
    inside = slice(candidate.onset, candidate.offset + 1)
    eyes, brows = (
      self.signals[region].height[inside].max() for region in ('eyes', 'brows')
    )
    return eyes > _BLINK_RATIO * brows


def _walk(side: Float64[np.ndarray, ' step']) -> float:
  """Steps from the peak, which is the first, to where it is on the ground."""
  lowest = int(np.argmin(side))
  height = side[0] - side[lowest]
  if not height > 0:
    return 0.0
  share = (side[: lowest + 1] - side[lowest]) / height
  low = int(np.flatnonzero(share <= _LOW)[0])
  high = int(np.flatnonzero(share <= _HIGH)[0])
  return low + (low - high) * _LOW / (_HIGH - _LOW)


def _is_gap(along, part, onset: int, peak: int, offset: int) -> bool:
  """Whether it is the rest between two movements to the other side.

  Before a movement and after it a face rests on the ground; beyond the ends of
  a gap it is as high as in the gap.
  """
  ground = min(along[onset], along[offset])
  high = ground + _GAP_SHARE * (along[peak] - ground)
  reach = max(2, (offset - onset) // 2)
  outside = []
  for end, step in ((onset, -1), (offset, 1)):
    same = part[end::step][:reach]
    outside.append(bool((along[end::step][:reach][same] > high).any()))
  return all(outside)


def _head_way(head: Float64[np.ndarray, 'step 4']) -> float:
  """The largest way of the head, percent of the distance between the eyes."""
  way = np.nanmax(head, axis=0) - np.nanmin(head, axis=0)
  return float((way * [1, 1, _TURN_PERCENT, _TURN_PERCENT]).max())


def _talking(
  found: Sequence[Candidate], steps: int, rate: float
) -> Bool[np.ndarray, ' step']:
  """Where the mouth moves too often for an expression."""
  talking, pause = np.zeros(steps, bool), round(_PAUSE_SECONDS * rate)
  short = [
    c
    for c in found
    if (c.offset - c.onset) / rate <= _SYLLABLE_SECONDS
    and c.score >= _SPEECH_SCORE
  ]
  short = sorted(_largest(short), key=lambda c: c.apex)
  for first, last in zip(short, short[_SPEECH_COUNT - 1 :]):
    if (last.apex - first.apex) / rate <= _SPEECH_SECONDS:
      talking[max(first.onset - pause, 0) : last.offset + pause + 1] = True
  return talking


def _largest(found: Iterable[Candidate]) -> list[Candidate]:
  """Of candidates that are one movement, that of the largest score."""
  kept: list[Candidate] = []
  for candidate in sorted(found, key=lambda c: -c.score):
    if not any(candidate.meets(other) for other in kept):
      kept.append(candidate)
  return kept
