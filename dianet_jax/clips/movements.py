"""Signal of transient facial movements, computed from blocks of a long video.

During an expression, brows or lips move away from rest and return. The signal
of a region at time t therefore compares two displacements: from t - k to t, and
from t + k to t. It is the projection of the shorter displacement onto the
longer one. Slow head drift, changes of illumination and lasting changes of
position give almost no signal, because one of the two displacements is then
small, or they have opposite directions. The score is the largest signal over
lags k from 0.08 to 2.2 seconds, each in units of the noise floor of its lag.

The noise floor of a lag is the median of the signal over the whole track (about
twelve seconds), and at least a fixed fraction of the interocular distance.
Unlike the maximum, it does not depend on the largest movement of the video.
"""

from collections.abc import Sequence
import dataclasses
import functools
import math

from jaxtyping import Bool, Float64, Int
import numpy as np

from dianet_jax.clips import face_blocks

_LAGS = (0.08, 0.12, 0.18, 0.26, 0.38, 0.55, 0.8, 1.2, 1.7, 2.2)  # Seconds.
# Percent of the interocular distance; cameras cannot resolve less.
_MIN_NOISE = 0.06
_SMOOTHING_SECONDS = 0.06


@dataclasses.dataclass(frozen=True)
class Track:
  """Consecutive blocks of a video, joined along the step axis.

  Attributes:
    start: index of the first step in the source.
    rate: steps per second.
    numbers: frame number of the middle frame of each step.
    seconds: time stamp of that frame.
    motion: float64 [step, patch, 2], as in `face_blocks.Block`, relative to one
      reference for each part; NaN where no face is detected.
    head: float64 [step, 4], likewise.
    part: int [step]; index of the part, -1 where no face is detected. A part
      ends where the face is lost or changes, so steps of different parts have
      no common reference.
  """

  start: int
  rate: float
  numbers: Int[np.ndarray, ' step']
  seconds: Float64[np.ndarray, ' step']
  motion: Float64[np.ndarray, 'step patch 2']
  head: Float64[np.ndarray, 'step 4']
  part: Int[np.ndarray, ' step']


def join(blocks: Sequence[face_blocks.Block], grid: face_blocks.Grid) -> Track:
  """Joins blocks into a track.

  Consecutive blocks overlap. The mean difference of their motion in the overlap
  is the displacement between their references, and is added to the second.

  Args:
    blocks: consecutive blocks of one source.
    grid: the grid that they were measured on.

  Returns:
    The track of all their steps, without duplicates.
  """
  motions, heads, parts = [], [], []
  part, before = 0, None
  for block in blocks:
    values = np.concatenate([block.motion.reshape(len(block.motion), -1),
                             block.head], axis=1)  # fmt: skip
    if before is not None:
      last, tail = before
      common = min(len(tail), len(values))
      both = np.isfinite(tail[:common, 0]) & np.isfinite(values[:common, 0])
      if block.follows(last) and both.any():
        values = values + (tail[:common] - values[:common])[both].mean(axis=0)
      else:
        part += 1
    before = block, values[grid.steps :]
    values = values[: grid.steps]
    part = _append_parts(values, part, parts)
    motions.append(values[:, :-4].reshape(len(values), -1, 2))
    heads.append(values[:, -4:])
  lengths = [len(motion) for motion in motions]
  return Track(
    blocks[0].start,
    grid.rate,
    np.concatenate([b.numbers[:n] for b, n in zip(blocks, lengths)]),
    np.concatenate([b.seconds[:n] for b, n in zip(blocks, lengths)]),
    np.concatenate(motions),
    np.concatenate(heads),
    np.concatenate(parts),
  )


def _append_parts(values, part, parts) -> int:
  """Appends the part of each step; returns the part of the next step."""
  seen = np.isfinite(values[:, 0])
  found = np.full(len(values), -1)
  for index in range(len(values)):
    if seen[index]:
      found[index] = part
    elif index and seen[index - 1]:
      part += 1
  parts.append(found)
  return part


@dataclasses.dataclass(frozen=True)
class Signal:
  """Transient movement of one region.

  Attributes:
    lags: in steps, ascending.
    heights: float64 [lag, step], 0 or more, percent of the interocular
      distance; 0 where no face is detected.
    floors: float64 [lag], noise floor in the same unit.
  """

  lags: tuple[int, ...]
  heights: Float64[np.ndarray, 'lag step']
  floors: Float64[np.ndarray, ' lag']

  @functools.cached_property
  def score(self) -> Float64[np.ndarray, ' step']:
    """Largest height over lags, in units of the noise floor of the lag."""
    return (self.heights / self.floors[:, None]).max(axis=0)

  @functools.cached_property
  def height(self) -> Float64[np.ndarray, ' step']:
    """Largest height over lags, percent of the interocular distance."""
    return self.heights.max(axis=0)


def smooth(track: Track) -> Float64[np.ndarray, 'step patch 2']:
  """Moving average of the motion over about three steps, within each part.

  Args:
    track: any track.

  Returns:
    Motion in the unit of `Track.motion`; NaN where no face is detected.
  """
  width = max(1, round(_SMOOTHING_SECONDS * track.rate)) // 2
  total = np.zeros_like(track.motion)
  count = np.zeros(len(track.part))
  for shift in range(-width, width + 1):
    there, same = shifted(track.part, shift)
    total += np.where(same[:, None, None], track.motion[there], 0)
    count += same
  with np.errstate(invalid='ignore', divide='ignore'):
    return total / count[:, None, None]


def shifted(
  part: Int[np.ndarray, ' step'], shift: int
) -> tuple[Int[np.ndarray, ' step'], Bool[np.ndarray, ' step']]:
  """Indices of the steps that are `shift` steps later.

  Args:
    part: part of each step, -1 without a face.
    shift: in steps; may be negative.

  Returns:
    The indices, 0 outside the track; and whether each is inside the track and
    belongs to the same part.
  """
  there = np.arange(len(part)) + shift
  inside = (there >= 0) & (there < len(part))
  there = np.where(inside, there, 0)
  return there, inside & (part[there] == part) & (part >= 0)


def transient_signal(
  motion: Float64[np.ndarray, 'step value'],
  part: Int[np.ndarray, ' step'],
  rate: float,
  patches: int,
  longest: float = math.inf,
) -> Signal:
  """Computes the signal of one region.

  Args:
    motion: x and y displacement of its patches, flattened.
    part: part of each step, -1 without a face.
    rate: steps per second.
    patches: number of patches; heights are root mean squares over them.
    longest: longest lag in seconds.

  Returns:
    The signal at all lags up to `longest`.
  """
  lags = sorted({max(1, round(lag * rate)) for lag in _LAGS if lag <= longest})
  heights, floors = [], []
  for lag in lags:
    (before, is_before), (after, is_after) = (
      shifted(part, way) for way in (-lag, lag)
    )
    there, back = motion - motion[before], motion - motion[after]
    seen = is_before & is_after
    longer = np.sqrt(np.maximum((there**2).sum(1), (back**2).sum(1)))
    common = np.divide(
      (there * back).sum(axis=1),
      longer * np.sqrt(patches),
      out=np.zeros(len(motion)),
      where=seen & (longer > 0),
    )
    floor = np.median(np.abs(common[seen])) if seen.any() else 0
    heights.append(np.maximum(common, 0))
    floors.append(max(floor, _MIN_NOISE))
  return Signal(tuple(lags), np.array(heights), np.array(floors))
