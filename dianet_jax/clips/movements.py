"""Movements of the face that come and go, out of blocks of a long video.

An expression leaves a face and gives it back: brows or lips go somewhere and
return. A region's signal at a time is therefore the root of the product of two
displacements: from k before to now, and from k after to now, along the same
way. A head that drifts, light that changes and a step that stays give nothing:
there one of the two is small, or they point to opposite sides. The largest
over lags k from a twelfth of a second to two seconds counts, each in units of
its own noise floor.

The noise floor of a lag is the median of the signal over a window of some ten
seconds, and no less than a fixed share of the distance between the eyes. It
never depends on the largest movement of the video.
"""

from collections.abc import Sequence
import dataclasses
import functools
import math

from jaxtyping import Bool, Float64, Int
import numpy as np

from dianet_jax.clips import face_blocks

# Seconds between a frame and those that it is compared with.
_LAGS = (0.08, 0.12, 0.18, 0.26, 0.38, 0.55, 0.8, 1.2, 1.7, 2.2)
# Percent of the distance between the eyes: below it no camera sees anything.
LEAST_NOISE = 0.06
_SMOOTHING_SECONDS = 0.06


@dataclasses.dataclass(frozen=True)
class Track:
  """Blocks joined: one axis of steps.

  Attributes:
    start: index of its first step in the source.
    rate: steps a second.
    numbers: of the frame in the middle of each step.
    seconds: of the same frame.
    motion: float64 [step, patch, 2], as in `face_blocks.Block`, continued
      across blocks; NaN where nothing is seen.
    head: float64 [step, 4], likewise.
    part: of each step; steps of two parts cannot be compared, because another
      face or nothing was seen between them. -1 where nothing is seen.
  """

  start: int
  rate: float
  numbers: Int[np.ndarray, ' step']
  seconds: Float64[np.ndarray, ' step']
  motion: Float64[np.ndarray, 'step patch 2']
  head: Float64[np.ndarray, 'step 4']
  part: Int[np.ndarray, ' step']


def join(blocks: Sequence[face_blocks.Block], grid: face_blocks.Grid) -> Track:
  """Continues each block's motion where the one before it ends.

  In the overlap both measure the same frames: the mean difference there is
  what the face moved from one reference to the other.
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
    part = _number(values, part, parts)
    motions.append(values[:, :-4].reshape(len(values), -1, 2))
    heads.append(values[:, -4:])
  kept = [len(motion) for motion in motions]
  return Track(
    blocks[0].start,
    grid.rate,
    np.concatenate([b.numbers[:n] for b, n in zip(blocks, kept)]),
    np.concatenate([b.seconds[:n] for b, n in zip(blocks, kept)]),
    np.concatenate(motions),
    np.concatenate(heads),
    np.concatenate(parts),
  )


def _number(values, part, parts) -> int:
  """Appends the parts of a block's steps; the part that goes on."""
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
  """There and back, of one region.

  Attributes:
    lags: in steps, ascending.
    heights: float64 [lag, step], percent of the distance between the eyes; 0
      where nothing is seen.
    floors: float64 [lag], the noise floor in the same unit.
  """

  lags: tuple[int, ...]
  heights: Float64[np.ndarray, 'lag step']
  floors: Float64[np.ndarray, ' lag']

  @functools.cached_property
  def score(self) -> Float64[np.ndarray, ' step']:
    """The height in units of the noise floor, at the lag of the largest."""
    return (self.heights / self.floors[:, None]).max(axis=0)

  @functools.cached_property
  def height(self) -> Float64[np.ndarray, ' step']:
    """The largest height, whatever the noise."""
    return self.heights.max(axis=0)


def smooth(track: Track) -> Float64[np.ndarray, 'step patch 2']:
  """The motion, averaged over some three steps within each part."""
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
  """Index of the step `shift` later, and whether it is of the same part."""
  there = np.arange(len(part)) + shift
  inside = (there >= 0) & (there < len(part))
  there = np.where(inside, there, 0)
  return there, inside & (part[there] == part) & (part >= 0)


def there_and_back(
  motion: Float64[np.ndarray, 'step value'],
  part: Int[np.ndarray, ' step'],
  rate: float,
  patches: int,
  longest: float = math.inf,
) -> Signal:
  """The signal of one region.

  Args:
    motion: of its patches, right and down.
    part: of each step.
    rate: steps a second.
    patches: how many, whose mean square counts.
    longest: seconds; of the lags.
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
    floors.append(max(floor, LEAST_NOISE))
  return Signal(tuple(lags), np.array(heights), np.array(floors))
