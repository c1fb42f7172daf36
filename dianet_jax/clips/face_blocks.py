"""How brows, eyes and mouth of a long video move, block by block.

A block is a second of video and a little of the next one. The face is found
once in it, in its first frame, and one transform brings all of its frames
upright: landmarks that are found anew in every frame jitter as much as a
micro-expression moves. What the head does within the block is taken out by
registration against the block's first frames. What is left is measured where
brows, eyes and mouth are, in shares of the distance between the eyes.

A block knows its own frames and nothing else, so memory does not grow with the
video, and what surrounds a block changes nothing of it. Blocks begin at whole
seconds of the source's time.
"""

from collections.abc import Callable, Iterable, Iterator
import dataclasses
import functools
import itertools

import cv2
from jaxtyping import Float32, Float64, Int, UInt8
import numpy as np

from dianet_jax.clips import faces, images, segments

# Side of the upright face, in pixels, and the place of the eyes in it.
SIZE = 128
BLOCK_SECONDS, OVERLAP_SECONDS = 1.0, 0.2
# Frames of a fiftieth of a second are averaged: a movement of the face is
# slower, and the noise of the sensor halves at 200 frames a second.
_STEPS_PER_SECOND = 50
# From so many frames the rate of a source is known.
_RATE_FRAMES = 48

# Centres of the patches, x and y in shares of the side; the eyes are at .32
# and .68, height .35.
PATCHES = {
  'brows': ((0.24, 0.25), (0.37, 0.24), (0.50, 0.25), (0.63, 0.24),
            (0.76, 0.25)),
  'eyes': ((0.32, 0.355), (0.68, 0.355)),
  'mouth': ((0.35, 0.73), (0.43, 0.70), (0.57, 0.70), (0.65, 0.73),
            (0.43, 0.80), (0.57, 0.80)),
}  # fmt: skip
REGIONS = tuple(PATCHES)
_HALF_WIDTH, _HALF_HEIGHT = 9, 6
# What is compared for the pose of the head: nose, upper cheeks, forehead, as
# left, top, right, bottom in shares of the side. Expressions move them least.
_STABLE = ((0.40, 0.36, 0.60, 0.62), (0.20, 0.44, 0.80, 0.58),
           (0.28, 0.08, 0.72, 0.18))  # fmt: skip
# Of the mean squared slope of a patch, in squared grey levels a pixel: below it
# noise would count as movement.
_LEAST_SLOPE = 4.0
_ROUNDS = 3
# A change of the pose by less, in pixels at the edge of the face, is the last.
_CONVERGED, _REACH = 0.05, np.array([1, 1, SIZE / 4, SIZE / 4])
# Beyond these the block shows another view of the head.
_MOST_SHIFT, _MOST_TURN, _MOST_SCALE = 0.1 * SIZE, 0.1, 0.06
_LEAST_CORRELATION = 0.6
# Of the face between blocks, in widths of it: beyond it is another one.
_JUMP = 0.5

Find = Callable[[UInt8[np.ndarray, 'height width 3'], int], faces.Face]


@dataclasses.dataclass(frozen=True)
class Block:
  """A second of a face, and the overlap with the next one.

  Attributes:
    start: index of its first step; steps count from the source's beginning.
    numbers: of the frames in the middle of each step.
    seconds: of the same frames.
    motion: float64 [step, patch, 2], right and down, in percent of the distance
      between the eyes, against the block's first steps; NaN where the face is
      not seen, or the head moved too far.
    head: float64 [step, 4]: shift right and down (percent of the distance
      between the eyes), turn (radians) and growth (ratio - 1); NaN likewise.
    face: where it is found in the first frame, x, y and width in pixels of
      the frame; None where it is not found.
  """

  start: int
  numbers: Int[np.ndarray, ' step']
  seconds: Float64[np.ndarray, ' step']
  motion: Float64[np.ndarray, 'step patch 2']
  head: Float64[np.ndarray, 'step 4']
  face: tuple[float, float, float] | None

  def follows(self, other: 'Block') -> bool:
    """Whether both show the same face."""
    if self.face is None or other.face is None:
      return False
    x, y, width = np.subtract(self.face, other.face)
    reach = _JUMP * other.face[2]
    return max(abs(x), abs(y), abs(width)) <= reach


@dataclasses.dataclass(frozen=True)
class Grid:
  """Which frames are which step.

  Attributes:
    fps: frames a second.
    frames: in a step.
    steps: in a block, without the overlap.
    overlap: steps that a block shares with the next one.
  """

  fps: float
  frames: int
  steps: int
  overlap: int

  @property
  def rate(self) -> float:
    """Steps a second."""
    return self.fps / self.frames


def grid(fps: float) -> Grid:
  """The grid of a source with so many frames a second."""
  frames = max(1, round(fps / _STEPS_PER_SECOND))
  rate = fps / frames
  return Grid(
    fps,
    frames,
    max(2, round(BLOCK_SECONDS * rate)),
    max(2, round(OVERLAP_SECONDS * rate)),
  )


def with_rate(
  frames: Iterable[segments.Frame],
) -> tuple[Iterator[segments.Frame], float]:
  """The same frames, and how many there are a second.

  By the median step of the first ones, so that a live source works; 1 of fewer
  than two frames.
  """
  source = iter(frames)
  first = list(itertools.islice(source, _RATE_FRAMES))
  gaps = np.diff([frame.seconds for frame in first])
  gaps = gaps[gaps > 0]
  fps = 1 / float(np.median(gaps)) if len(gaps) else 1.0
  return itertools.chain(first, source), fps


def measure(
  frames: Iterable[segments.Frame], fps: float, find: Find = faces.find
) -> Iterator[Block]:
  """The blocks of a source, each as soon as its last frame is there.

  Args:
    frames: in the order of their time. Where some were dropped, the next one
      stands in their place.
    fps: frames a second.
    find: finds the face in the first frame of a block.

  Yields:
    Blocks in order; one in which nothing can be seen is there, too.
  """
  shape = grid(fps)
  open_blocks: list[_Open] = []
  length = shape.steps * shape.frames
  full = length + shape.overlap * shape.frames
  for slot, number, frame, grey in _evenly(frames, fps):
    if slot % length == 0:
      open_blocks.append(_Open(slot // shape.frames, frame.image(), find))
    for block in open_blocks:
      block.add(grey, number, frame.seconds, shape.frames)
    if open_blocks[0].frames == full:
      yield open_blocks.pop(0).close()
  for block in open_blocks:
    if block.numbers:
      yield block.close()


def _evenly(frames, fps):
  """(slot, number, frame, grey levels) of equal steps in time, with no gap."""
  expected = 0
  for number, frame in enumerate(frames):
    slot = round(frame.seconds * fps)
    if slot < expected:
      continue
    grey = frame.as_grey()
    # The frame after a gap stands for what was dropped, so that a step is as
    # long as any other.
    for filled in range(expected, slot + 1):
      yield filled, number, frame, grey
    expected = slot + 1


class _Open:
  """A block whose frames are still coming."""

  def __init__(self, start: int, image: np.ndarray, find: Find):
    self.start, self.frames = start, 0
    self.numbers: list[int] = []
    self._seconds: list[float] = []
    self._motion: list[np.ndarray] = []
    self._head: list[np.ndarray] = []
    self._group: list[tuple[int, float, np.ndarray | None]] = []
    self._reference: _Reference | None = None
    self._face, self._transform = None, None
    try:
      found = find(image, SIZE)
    except faces.NoFaceError:
      return
    self._transform = found.transform
    back = cv2.invertAffineTransform(found.transform)
    x, y = back @ [SIZE / 2, SIZE / 2, 1]
    self._face = (float(x), float(y), float(found.width))

  def add(self, grey, number: int, seconds: float, group: int) -> None:
    """Takes a frame; measures where it is the last of a step."""
    self.frames += 1
    aligned = None
    if self._transform is not None:
      aligned = faces.apply(grey, self._transform, SIZE)
    self._group.append((number, seconds, aligned))
    if len(self._group) == group:
      self._measure()

  def _measure(self) -> None:
    number, seconds, _ = self._group[len(self._group) // 2]
    self.numbers.append(number)
    self._seconds.append(seconds)
    images = [image for *_, image in self._group if image is not None]
    self._group = []
    motion, head = np.full((_PATCHES, 2), np.nan), np.full(4, np.nan)
    if images:
      image = _smooth(images)
      if self._reference is None:
        self._reference = _Reference(image)
      motion, head = self._reference.compare(image)
    self._motion.append(motion)
    self._head.append(head)

  def close(self) -> Block:
    """The block, whose frames have all come."""
    if self._group:
      self._measure()
    return Block(
      self.start,
      np.array(self.numbers),
      np.array(self._seconds),
      np.array(self._motion),
      np.array(self._head),
      self._face,
    )


_PATCHES = sum(map(len, PATCHES.values()))
# Percent of the distance between the eyes, of a pixel.
_PERCENT = 100 / (faces.EYE_DISTANCE * SIZE)


def region_slice(region: str) -> slice:
  """Where the patches of a region stand on the axis of patches."""
  start = sum(len(PATCHES[name]) for name in REGIONS[: REGIONS.index(region)])
  return slice(start, start + len(PATCHES[region]))


def _smooth(images: list[np.ndarray]) -> Float32[np.ndarray, 'height width']:
  mean = images[0].astype(np.float32)
  for image in images[1:]:
    mean += image
  mean /= len(images)
  return cv2.GaussianBlur(mean, (0, 0), sigmaX=1.2)


@functools.cache
def _indices() -> tuple[Int[np.ndarray, ' stable'], np.ndarray, np.ndarray]:
  """Flat indices of stable pixels, of patches, and places about the middle."""
  stable = np.zeros((SIZE, SIZE), bool)
  for box in _STABLE:
    left, top, right, bottom = (round(SIZE * share) for share in box)
    stable[top:bottom, left:right] = True
  patches = []
  for x, y in itertools.chain.from_iterable(PATCHES.values()):
    column, row = round(SIZE * x), round(SIZE * y)
    rows = np.arange(row - _HALF_HEIGHT, row + _HALF_HEIGHT + 1)
    columns = np.arange(column - _HALF_WIDTH, column + _HALF_WIDTH + 1)
    patches.append((rows[:, None] * SIZE + columns).ravel())
  places = np.mgrid[:SIZE, :SIZE].astype(np.float32) - (SIZE - 1) / 2
  return np.flatnonzero(stable), np.array(patches), places


class _Reference:
  """The first step of a block, and what moves it to the first order."""

  def __init__(self, image: Float32[np.ndarray, 'height width']):
    stable, patches, (y, x) = _indices()
    self._stable, self._patches = stable, patches
    self._image = image
    right = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
    down = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
    one = np.ones_like(image)
    self._changes = np.stack(
      [right, down, down * x - right * y, right * x + down * y, image, one]
    ).reshape(6, -1)
    self._explained = np.linalg.pinv(self._changes[:, stable].T)
    self._solver = np.stack(
      [_solver(self._changes[:, patch]) for patch in patches]
    )
    self._pose = np.zeros(4)

  def compare(self, image) -> tuple[np.ndarray, np.ndarray]:
    """Motion of the patches, and of the head, as in `Block`; NaN if lost."""
    # From the pose of the step before: heads are slow.
    pose = self._pose
    for _ in range(_ROUNDS):
      aligned = images.moved(image, pose)
      difference = (aligned - self._image).ravel()
      change = self._explained @ difference[self._stable]
      pose = pose - change[:4]
      if np.abs(change[:4] * _REACH).max() < _CONVERGED:
        break
    if not _is_near(pose) or not self._alike(aligned):
      self._pose = np.zeros(4)
      return np.full((_PATCHES, 2), np.nan), np.full(4, np.nan)
    self._pose = pose
    # Of the last change the first order is enough.
    rest = difference - change @ self._changes
    motion = -np.matmul(self._solver, rest[self._patches][..., None])[..., 0]
    head = pose * [_PERCENT, _PERCENT, 1, 1]
    return _PERCENT * motion.astype(np.float64), head

  def _alike(self, aligned) -> bool:
    """Whether it is the same view of the same face."""
    one, other = (i.ravel()[self._stable] for i in (aligned, self._image))
    one, other = one - one.mean(), other - other.mean()
    scale = np.sqrt((one @ one) * (other @ other))
    return bool(one @ other > _LEAST_CORRELATION * scale)


def _solver(
  changes: Float32[np.ndarray, '6 pixel'],
) -> Float32[np.ndarray, '2 pixel']:
  """What takes a patch's difference to minus its shift.

  Its own brightness may change by a gain and an offset.
  """
  parts = changes[[0, 1, 4, 5]]
  normal = parts @ parts.T
  normal[[0, 1], [0, 1]] += _LEAST_SLOPE * parts.shape[1]
  # A patch of one grey level has no gain apart from its offset.
  normal[[2, 3], [2, 3]] += 1e-3 * normal[[2, 3], [2, 3]]
  return np.linalg.solve(normal, parts)[:2]


def _is_near(pose: Float64[np.ndarray, '4']) -> bool:
  limits = (_MOST_SHIFT, _MOST_SHIFT, _MOST_TURN, _MOST_SCALE)
  return bool((np.abs(pose) <= limits).all())
