"""Intervals of expressions out of the movements of a face, and what is none.

Blinks, speech and head turns move a face more often than expressions do. What
is told apart by its signal is excluded with the reason; the rest gets a score.
"""

from collections.abc import Iterable, Iterator
import dataclasses
import math

from jaxtyping import Bool, Float64, Int
import numpy as np

from dianet_jax.clips import face_blocks, movements

# What a score must reach: heights of a movement in units of the noise floor.
# Chosen on the development set of `tfds_builders.simulation.spotting_sets`.
THRESHOLD = 7.0
REASONS = {
  'blink': 'the eyes move fast, and more than the brows',
  'speech': 'the mouth moves again and again',
  'head moved': 'the head moves, and the face much less',
  'no face': 'no face is seen, or not the same view of one',
}
# A blink: its least score, its greatest length, and the height of the eyes over
# that of the brows, which a lid that closes pulls along.
_BLINK_SCORE, _BLINK_SECONDS, _BLINK_RATIO = 10.0, 0.6, 1.1
# Seconds before and after it, and from its middle to where the eye is open.
_BLINK_MARGIN, _BLINK_LAG = 0.03, 0.26
_BLINK_ROUNDS = 3
# A mouth that speaks: in so many seconds it goes up or down so often, by this
# percent of the distance between the eyes. An expression does it twice.
_SPEECH_SECONDS, _SPEECH_SWINGS, _SWING = 1.5, 5, 0.5
# Seconds on either side that belong to speech, and the share of a movement of
# the mouth that must lie in it.
_SPEECH_MARGIN, _SPEECH_SHARE = 0.2, 0.3
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
    self.motion: dict[str, np.ndarray] = {}
    self.signals: dict[str, movements.Signal] = {}
    smooth = movements.smooth(track)
    for region in face_blocks.REGIONS:
      part = smooth[:, face_blocks.region_slice(region)]
      self._set(region, part.reshape(len(part), -1))
    self._blinks = self._bridge_blinks()
    self._talking = _talking(self.motion['mouth'], track)

  def _bridge_blinks(self) -> list[Candidate]:
    """Takes blinks out of the brows, which a lid that closes pulls along."""
    shown, found = self.signals['eyes'], []
    # The second of two blinks is plain once the first one is gone.
    for _ in range(_BLINK_ROUNDS):
      eyes = self._of_region('eyes', _BLINK_SCORE)
      blinks = largest(filter(self._is_blink, eyes))
      if not blinks:
        break
      for region in ('eyes', 'brows'):
        self._set(region, _bridged(self.motion[region], blinks, self.track))
      found += blinks
    self.signals['eyes'] = shown
    return found

  def _set(self, region: str, motion: np.ndarray) -> None:
    self.motion[region] = motion
    self.signals[region] = movements.there_and_back(
      motion,
      self.track.part,
      self.track.rate,
      motion.shape[1] // 2,
      _BLINK_LAG if region == 'eyes' else math.inf,
    )

  @property
  def scores(self) -> dict[str, Float64[np.ndarray, ' step']]:
    """Region -> its heights in units of the noise floor."""
    return {name: signal.score for name, signal in self.signals.items()}

  def candidates(self, threshold: float) -> list[Candidate]:
    """What comes and goes, one for each movement, those excluded too."""
    judged = [
      dataclasses.replace(c, reason=self._reason(c, threshold))
      for region in ('brows', 'mouth')
      for c in self._of_region(region, threshold)
    ]
    blinks = [dataclasses.replace(c, reason='blink') for c in self._blinks]
    kept = largest(c for c in judged if not c.reason)
    return [*kept, *blinks, *largest(c for c in judged if c.reason)]

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
    score = float(heights[best] / noise)
    return Candidate(onset, apex, offset, score, region)

  def _reason(self, candidate: Candidate, threshold: float) -> str:
    inside = slice(candidate.onset, candidate.offset + 1)
    talks = self._talking[inside].mean()
    if candidate.region == 'mouth' and talks > _SPEECH_SHARE:
      return 'speech'
    return 'head moved' if candidate.score < threshold else ''

  def _is_blink(self, candidate: Candidate) -> bool:
    seconds = (candidate.offset - candidate.onset + 1) / self.track.rate
    if seconds > _BLINK_SECONDS:
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


def _bridged(
  motion: Float64[np.ndarray, 'step value'],
  blinks: Iterable[Candidate],
  track: movements.Track,
) -> Float64[np.ndarray, 'step value']:
  """The motion, going straight from before each blink to after it."""
  motion = motion.copy()
  margin = max(1, round(_BLINK_MARGIN * track.rate))
  for blink in blinks:
    first = max(0, blink.onset - margin)
    last = min(len(motion) - 1, blink.offset + margin)
    if not (track.part[first : last + 1] == track.part[blink.apex]).all():
      continue
    share = np.linspace(0, 1, last - first + 1)[:, None]
    motion[first : last + 1] = (1 - share) * motion[first] + share * motion[
      last
    ]
  return motion


def _talking(
  mouth: Float64[np.ndarray, 'step value'], track: movements.Track
) -> Bool[np.ndarray, ' step']:
  """Where a mouth speaks."""
  talking = np.zeros(len(mouth), bool)
  length = round(_SPEECH_SECONDS * track.rate)
  margin = round(_SPEECH_MARGIN * track.rate)
  # Of the mean square of a patch's motion.
  least = _SWING * np.sqrt(mouth.shape[1] / 2)
  for start in range(0, max(1, len(mouth) - length), max(1, length // 10)):
    part = track.part[start : start + length]
    window = mouth[start : start + length][(part == part[0]) & (part >= 0)]
    if len(window) < length // 2:
      continue
    window = window - window.mean(axis=0)
    # Along the way on which most of the motion lies.
    way = np.linalg.eigh(window.T @ window)[1][:, -1]
    if _swings(window @ way, least) >= _SPEECH_SWINGS:
      talking[max(0, start - margin) : start + length + margin] = True
  return talking


def _swings(along: Float64[np.ndarray, ' step'], least: float) -> int:
  """How often it goes up or down by so much."""
  count, low, high, rising = 0, np.inf, -np.inf, None
  for value in along.tolist():
    low, high = min(low, value), max(high, value)
    if rising is not True and value - low >= least:
      count, rising, high = count + 1, True, value
    elif rising is not False and high - value >= least:
      count, rising, low = count + 1, False, value
  return count


def largest(found: Iterable[Candidate]) -> list[Candidate]:
  """Of candidates that are one movement, that of the largest score."""
  kept: list[Candidate] = []
  for candidate in sorted(found, key=lambda c: -c.score):
    if not any(candidate.meets(other) for other in kept):
      kept.append(candidate)
  return kept
