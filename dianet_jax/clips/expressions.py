"""Detects the intervals of expressions in the movements of a face.

Blinks, speech and head rotations move a face more often than expressions do.
Movements recognised as one of these are excluded, with a reason; all others
get a score.
"""

from collections.abc import Iterable, Iterator
import dataclasses
import math

from jaxtyping import Bool, Float64, Int
import numpy as np

from dianet_jax.clips import face_blocks, movements

# Lowest score of an expression, in units of the noise floor. Chosen on the
# development set of `tfds_builders.simulation.spotting_sets`.
THRESHOLD = 7.0
REASONS = {
  'blink': 'the eyes move fast, and more than the brows',
  'speech': 'the mouth moves repeatedly',
  'head moved': 'the head moves, and the face much less',
  'no face': 'no face is detected, or the view of the face changes',
}
# A blink: minimal score, maximal duration, and minimal ratio of the height of
# the eyes to that of the brows, because a closing eyelid also moves the brows.
_BLINK_SCORE, _BLINK_SECONDS, _BLINK_RATIO = 10.0, 0.6, 1.1
# Seconds added to a blink at both ends; longest lag for the eyes in seconds.
_BLINK_MARGIN, _BLINK_LAG = 0.03, 0.26
_BLINK_ROUNDS = 3
# Speech: window in seconds, minimal number of swings of the mouth (rises and
# falls) in it, and amplitude of a swing in percent of the interocular distance.
# An expression has two swings.
_SPEECH_SECONDS, _SPEECH_SWINGS, _SWING = 1.5, 5, 0.5
# Seconds added to speech at both ends; a movement of the mouth is speech if it
# overlaps with speech for more than this fraction.
_SPEECH_MARGIN, _SPEECH_OVERLAP = 0.2, 0.3
# Fraction of the head motion that registration leaves in the facial motion.
_HEAD_RESIDUE = 0.02
# Displacement of the brows by a rotation of 1 radian, or by a scale change of
# 1, in percent of the interocular distance.
_TURN_PERCENT = 100.0
_PEAK_SECONDS = 0.1  # Minimal distance between two peaks.
# The shortest lag with at least this fraction of the largest height is used.
_LAG_HEIGHT = 0.8
# Fractions of the height. The line through these two points of the rise
# crosses the rest position about where a human coder marks the onset.
_LOW, _HIGH = 0.15, 0.5
# Between two movements in the opposite direction, the displacement on both
# sides exceeds this fraction of the height.
_GAP_HEIGHT = 0.6
# Range around the peak, in lags, in which the rest position is searched.
_REACH = 1.5
# Minimal and maximal duration of an expression in seconds.
_SHORTEST, _LONGEST = 0.08, 4.0
# Two intervals that share more than this fraction of the shorter one are the
# same movement.
_SAME_OVERLAP = 0.3


@dataclasses.dataclass(frozen=True)
class Excluded:
  """A part of a video that is not an expression, or cannot be judged.

  Attributes:
    onset: number of the first frame.
    offset: number of the last frame.
    reason: a key of `REASONS`.
  """

  onset: int
  offset: int
  reason: str


def without_face(
  numbers: Int[np.ndarray, ' step'], face: Bool[np.ndarray, ' step']
) -> list[Excluded]:
  """Finds runs of steps without a face.

  Args:
    numbers: frame number of each step.
    face: whether a face is detected.

  Returns:
    The runs in order, with the reason 'no face'.

  >>> without_face(np.arange(5), np.array([True, False, False, True, True]))
  [Excluded(onset=1, offset=2, reason='no face')]
  """
  edges = np.flatnonzero(np.diff(np.r_[False, ~face, False]))
  return [
    Excluded(int(numbers[start]), int(numbers[end - 1]), 'no face')
    for start, end in zip(edges[::2], edges[1::2])
  ]


def merge(found: Iterable[Excluded], gap: int = 1) -> list[Excluded]:
  """Merges adjacent or overlapping parts that have the same reason.

  Args:
    found: in any order.
    gap: largest distance in frames from an offset to the next onset at which
      two parts are merged.

  Returns:
    The parts, sorted by onset.

  >>> merge([Excluded(4, 6, 'blink'), Excluded(1, 3, 'blink')])
  [Excluded(onset=1, offset=6, reason='blink')]
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
  """A transient movement that may be an expression.

  Attributes:
    onset: index of the first step in the track.
    apex: index of the step of the largest displacement.
    offset: index of the last step.
    score: in the spotter's unit.
    region: where the face moves most.
    reason: a key of `REASONS` if it is not an expression, else ''.
  """

  onset: int
  apex: int
  offset: int
  score: float
  region: str
  reason: str = ''

  def overlaps(self, other: 'Candidate') -> bool:
    """Whether both overlap so much that they are the same movement."""
    both = min(self.offset, other.offset) - max(self.onset, other.onset) + 1
    shorter = min(self.offset - self.onset, other.offset - other.onset) + 1
    return both > _SAME_OVERLAP * shorter


class Movements:
  """Finds expressions in a track by thresholds on the signals of its regions.

  Attributes:
    track: the track.
    motion: region -> smoothed motion, float64 [step, 2 * patch], percent of
      the interocular distance; blinks are removed from eyes and brows.
    signals: region -> transient signal.
  """

  def __init__(self, track: movements.Track):
    """Computes all signals and detects blinks and speech."""
    self.track = track
    self.motion: dict[str, np.ndarray] = {}
    self.signals: dict[str, movements.Signal] = {}
    smooth = movements.smooth(track)
    for region in face_blocks.REGIONS:
      part = smooth[:, face_blocks.region_slice(region)]
      self._set(region, part.reshape(len(part), -1))
    self._blinks = self._remove_blinks()
    self._speech = _is_speech(self.motion['mouth'], track)

  def _remove_blinks(self) -> list[Candidate]:
    """Removes blinks from the motion of eyes and brows, and returns them."""
    signal, found = self.signals['eyes'], []
    # Of two close blinks, the second is found after the first was removed.
    for _ in range(_BLINK_ROUNDS):
      eyes = self._of_region('eyes', _BLINK_SCORE)
      blinks = without_overlaps(filter(self._is_blink, eyes))
      if not blinks:
        break
      for region in ('eyes', 'brows'):
        motion = _interpolated(self.motion[region], blinks, self.track)
        self._set(region, motion)
      found += blinks
    # The score of the eyes shows the blinks.
    self.signals['eyes'] = signal
    return found

  def _set(self, region: str, motion: np.ndarray) -> None:
    self.motion[region] = motion
    self.signals[region] = movements.transient_signal(
      motion,
      self.track.part,
      self.track.rate,
      motion.shape[1] // 2,
      _BLINK_LAG if region == 'eyes' else math.inf,
    )

  @property
  def scores(self) -> dict[str, Float64[np.ndarray, ' step']]:
    """Region -> its score, in units of the noise floor."""
    return {name: signal.score for name, signal in self.signals.items()}

  def candidates(self, threshold: float) -> list[Candidate]:
    """Finds transient movements.

    Args:
      threshold: lowest score of an expression.

    Returns:
      One candidate per movement. Those with a `reason` are not expressions.
    """
    found = [
      dataclasses.replace(c, reason=self._reason(c, threshold))
      for region in ('brows', 'mouth')
      for c in self._of_region(region, threshold)
    ]
    blinks = [dataclasses.replace(c, reason='blink') for c in self._blinks]
    expressions = without_overlaps(c for c in found if not c.reason)
    excluded = without_overlaps(c for c in found if c.reason)
    return [*expressions, *blinks, *excluded]

  def _of_region(self, region: str, threshold: float) -> Iterator[Candidate]:
    score = self.signals[region].score
    reach = max(1, round(_PEAK_SECONDS * self.track.rate))
    for apex in np.flatnonzero(score >= threshold):
      around = score[max(0, apex - reach) : apex + reach + 1]
      if score[apex] == around.max():
        candidate = self._around_peak(region, int(apex))
        if candidate is not None:
          yield candidate

  def _around_peak(self, region: str, peak: int) -> Candidate | None:
    """The movement around a peak, from the rest position back to it."""
    signal, rate = self.signals[region], self.track.rate
    heights = signal.heights[:, peak]
    enough = heights >= _LAG_HEIGHT * heights.max()
    lag = signal.lags[int(np.flatnonzero(enough)[0])]
    motion = self.motion[region]
    direction = 2 * motion[peak] - motion[peak - lag] - motion[peak + lag]
    along = motion @ (direction / np.linalg.norm(direction))
    part = self.track.part == self.track.part[peak]
    reach = round(_REACH * lag) + 1
    sides = []
    for step in (-1, 1):
      side, same = along[peak::step][:reach], part[peak::step][:reach]
      end = len(same) if same.all() else same.argmin()
      sides.append(_steps_to_rest(side[:end]))
    onset, offset = round(peak - sides[0]), round(peak + sides[1])
    length = (offset - onset + 1) / rate
    if not _SHORTEST <= length <= _LONGEST:
      return None
    onset, offset = max(onset, 0), min(offset, len(along) - 1)
    if _is_gap(along, part, onset, peak, offset):
      return None
    apex = onset + int(np.nanargmax(along[onset : offset + 1]))
    head = _head_range(self.track.head[onset : offset + 1])
    best = int((heights / signal.floors).argmax())
    noise = np.hypot(signal.floors[best], _HEAD_RESIDUE * head)
    score = float(heights[best] / noise)
    return Candidate(onset, apex, offset, score, region)

  def _reason(self, candidate: Candidate, threshold: float) -> str:
    inside = slice(candidate.onset, candidate.offset + 1)
    speech = self._speech[inside].mean()
    if candidate.region == 'mouth' and speech > _SPEECH_OVERLAP:
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


def _steps_to_rest(side: Float64[np.ndarray, ' step']) -> float:
  """Number of steps from the peak, which is the first, to the rest position."""
  lowest = int(np.argmin(side))
  height = side[0] - side[lowest]
  if not height > 0:
    return 0.0
  relative = (side[: lowest + 1] - side[lowest]) / height
  low = int(np.flatnonzero(relative <= _LOW)[0])
  high = int(np.flatnonzero(relative <= _HIGH)[0])
  return low + (low - high) * _LOW / (_HIGH - _LOW)


def _is_gap(along, part, onset: int, peak: int, offset: int) -> bool:
  """Whether this is the rest between two movements in the opposite direction.

  Before and after a movement, the face is at its rest position. Before and
  after such a gap it soon returns to the displacement inside the gap, because
  that is the rest position.
  """
  lowest = min(along[onset], along[offset])
  high = lowest + _GAP_HEIGHT * (along[peak] - lowest)
  reach = max(2, (offset - onset) // 2)
  outside = []
  for end, step in ((onset, -1), (offset, 1)):
    same = part[end::step][:reach]
    outside.append(bool((along[end::step][:reach][same] > high).any()))
  return all(outside)


def _head_range(head: Float64[np.ndarray, 'step 4']) -> float:
  """Range of the head motion, percent of the interocular distance."""
  extent = np.nanmax(head, axis=0) - np.nanmin(head, axis=0)
  return float((extent * [1, 1, _TURN_PERCENT, _TURN_PERCENT]).max())


def _interpolated(
  motion: Float64[np.ndarray, 'step value'],
  blinks: Iterable[Candidate],
  track: movements.Track,
) -> Float64[np.ndarray, 'step value']:
  """Replaces the motion during blinks by linear interpolation."""
  motion = motion.copy()
  margin = max(1, round(_BLINK_MARGIN * track.rate))
  for blink in blinks:
    first = max(0, blink.onset - margin)
    last = min(len(motion) - 1, blink.offset + margin)
    if not (track.part[first : last + 1] == track.part[blink.apex]).all():
      continue
    weight = np.linspace(0, 1, last - first + 1)[:, None]
    line = (1 - weight) * motion[first] + weight * motion[last]
    motion[first : last + 1] = line
  return motion


def _is_speech(
  mouth: Float64[np.ndarray, 'step value'], track: movements.Track
) -> Bool[np.ndarray, ' step']:
  """Whether each step belongs to speech."""
  speech = np.zeros(len(mouth), bool)
  length = round(_SPEECH_SECONDS * track.rate)
  margin = round(_SPEECH_MARGIN * track.rate)
  # `_SWING` is the root mean square over patches; this is the norm.
  amplitude = _SWING * np.sqrt(mouth.shape[1] / 2)
  for start in range(0, max(1, len(mouth) - length), max(1, length // 10)):
    part = track.part[start : start + length]
    window = mouth[start : start + length][(part == part[0]) & (part >= 0)]
    if len(window) < length // 2:
      continue
    window = window - window.mean(axis=0)
    # The first principal component of the motion.
    direction = np.linalg.eigh(window.T @ window)[1][:, -1]
    if _swings(window @ direction, amplitude) >= _SPEECH_SWINGS:
      speech[max(0, start - margin) : start + length + margin] = True
  return speech


def _swings(along: Float64[np.ndarray, ' step'], amplitude: float) -> int:
  """Number of rises and falls by at least `amplitude`."""
  count, low, high, rising = 0, np.inf, -np.inf, None
  for value in along.tolist():
    low, high = min(low, value), max(high, value)
    if rising is not True and value - low >= amplitude:
      count, rising, high = count + 1, True, value
    elif rising is not False and high - value >= amplitude:
      count, rising, low = count + 1, False, value
  return count


def without_overlaps(found: Iterable[Candidate]) -> list[Candidate]:
  """Non-maximum suppression: keeps the highest score of each movement.

  Args:
    found: candidates of one track, in any order.

  Returns:
    Candidates that do not overlap much, by descending score.

  >>> small, large = (Candidate(0, 5, 9, s, 'brows') for s in (1.0, 2.0))
  >>> without_overlaps([small, large]) == [large]
  True
  """
  chosen: list[Candidate] = []
  for candidate in sorted(found, key=lambda c: -c.score):
    if not any(candidate.overlaps(other) for other in chosen):
      chosen.append(candidate)
  return chosen
