"""Measures the motion of brows, eyes and mouth in a long video, in blocks.

A block is one second of video and an overlap with the next block. The face is
detected in the first frame of the block only, and all its frames are aligned by
the same transform, because the jitter of landmarks detected in each frame is as
large as a micro-expression. Head motion within the block is removed by
registration to the first frames of the block. The remaining displacements of
small patches on brows, eyes and mouth are measured, in percent of the
interocular distance.

A block depends only on its own frames, so memory does not grow with the video.
Blocks begin at full seconds of the source's time.
"""

from collections.abc import Callable, Iterable, Iterator
import dataclasses
import functools
import itertools

import cv2
from jaxtyping import Float32, Float64, Int, UInt8
import numpy as np

from dianet_jax.clips import faces, images, segments

# Side of the aligned face in pixels.
SIZE = 128
BLOCK_SECONDS, OVERLAP_SECONDS = 1.0, 0.2
# The frames of each step (1/50 s) are averaged. Facial movements are slower,
# and at 200 frames per second this halves the sensor noise.
_STEPS_PER_SECOND = 50
# Number of frames from which the frame rate is estimated.
_RATE_FRAMES = 48

# Centres of the patches, (x, y) as fractions of the side. The eyes are at
# x = 0.32 and 0.68, y = 0.35.
PATCHES = {
  'brows': ((0.24, 0.25), (0.37, 0.24), (0.50, 0.25), (0.63, 0.24),
            (0.76, 0.25)),
  'eyes': ((0.32, 0.355), (0.68, 0.355)),
  'mouth': ((0.35, 0.73), (0.43, 0.70), (0.57, 0.70), (0.65, 0.73),
            (0.43, 0.80), (0.57, 0.80)),
}  # fmt: skip
REGIONS = tuple(PATCHES)
_HALF_WIDTH, _HALF_HEIGHT = 9, 6
# Regions that determine the head pose, because expressions move them least:
# nose, upper cheeks and forehead, as (left, top, right, bottom) fractions of
# the side.
_STABLE = ((0.40, 0.36, 0.60, 0.62), (0.20, 0.44, 0.80, 0.58),
           (0.28, 0.08, 0.72, 0.18))  # fmt: skip
# Regularisation of the displacement of a patch, in (grey levels per pixel)
# squared; without it, noise in patches of low contrast would appear as motion.
_GRADIENT_PENALTY = 4.0
_MAX_ITERATIONS = 3
# Registration stops at a smaller change of the pose, in pixels; `_REACH`
# converts shift, rotation and scale into pixels.
_CONVERGED, _REACH = 0.05, np.array([1, 1, SIZE / 4, SIZE / 4])
# Beyond these changes of pose the view of the head differs too much.
_MAX_SHIFT, _MAX_ROTATION, _MAX_SCALE = 0.1 * SIZE, 0.1, 0.06
_MIN_CORRELATION = 0.6
# A face that moves further between blocks, in face widths, is another face.
_MAX_JUMP = 0.5

Find = Callable[[UInt8[np.ndarray, 'height width 3'], int], faces.Face]


@dataclasses.dataclass(frozen=True)
class Block:
  """Motion of a face during one second and the overlap with the next block.

  Attributes:
    start: index of the first step, counted from the beginning of the source.
    numbers: frame number of the middle frame of each step.
    seconds: time stamp of that frame.
    motion: float64 [step, patch, 2], displacement of the patches relative to
      the first step, x right and y down, in percent of the interocular
      distance; NaN where no face is detected or the head moved too far.
    head: float64 [step, 4], head pose relative to the first step: shift x and y
      (percent of the interocular distance), rotation (radians) and scale
      (ratio - 1); NaN likewise.
    face: x, y (centre) and width of the face in the first frame, in pixels of
      that frame; None if no face was detected.
  """

  start: int
  numbers: Int[np.ndarray, ' step']
  seconds: Float64[np.ndarray, ' step']
  motion: Float64[np.ndarray, 'step patch 2']
  head: Float64[np.ndarray, 'step 4']
  face: tuple[float, float, float] | None

  def follows(self, other: 'Block') -> bool:
    """Whether both blocks show the same face, by its position and size."""
    if self.face is None or other.face is None:
      return False
    x, y, width = np.subtract(self.face, other.face)
    limit = _MAX_JUMP * other.face[2]
    return max(abs(x), abs(y), abs(width)) <= limit


@dataclasses.dataclass(frozen=True)
class Grid:
  """Assignment of frames to steps, and of steps to blocks.

  Attributes:
    fps: frames per second.
    frames: number of frames per step.
    steps: number of steps per block, without the overlap.
    overlap: number of steps that a block shares with the next one.
  """

  fps: float
  frames: int
  steps: int
  overlap: int

  @property
  def rate(self) -> float:
    """Steps per second."""
    return self.fps / self.frames


def grid(fps: float) -> Grid:
  """The grid for a frame rate.

  Args:
    fps: frames per second.

  >>> grid(200.0)
  Grid(fps=200.0, frames=4, steps=50, overlap=10)
  """
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
  """Estimates the frame rate from the first frames, so live sources work.

  Args:
    frames: in temporal order.

  Returns:
    The same frames; and the frames per second, from the median time between
    the first frames. It is 1 if there are fewer than two frames.
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
  """Measures the blocks of a source.

  Args:
    frames: in temporal order. Dropped frames are replaced by the next frame.
    fps: frames per second.
    find: detects the face in the first frame of a block.

  Yields:
    All blocks in order, including those without a face, each as soon as its
    last frame has been read.
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
  """Resamples to a constant rate; yields (slot, number, frame, grey image)."""
  expected = 0
  for number, frame in enumerate(frames):
    slot = round(frame.seconds * fps)
    if slot < expected:
      continue
    grey = frame.as_grey()
    # Dropped frames are replaced by the next frame, so that all steps have the
    # same duration.
    for filled in range(expected, slot + 1):
      yield filled, number, frame, grey
    expected = slot + 1


class _Open:
  """A block that is still being read."""

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
    """Adds a frame, and measures the step if it is complete."""
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
    """Returns the block; its last step may have fewer frames."""
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
# Pixels to percent of the interocular distance.
_PERCENT = 100 / (faces.EYE_DISTANCE * SIZE)


def region_slice(region: str) -> slice:
  """The slice of a region on the patch axis.

  Args:
    region: one of `REGIONS`.

  >>> region_slice('eyes')
  slice(5, 7, None)
  """
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
  """Flat indices of stable pixels and of patches; coordinates (y, x)."""
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
  """Registers images to the first step of a block and measures their motion.

  The difference of two images is linearised in shift, rotation, scale, gain and
  offset of the brightness (Lucas and Kanade, IJCAI 1981, in the inverse form of
  Baker and Matthews, IJCV 2004).
  """

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
    """`Block.motion` and `Block.head` of an image; NaN if the face is lost."""
    # Starts from the pose of the previous step, because heads are slow.
    pose = self._pose
    for _ in range(_MAX_ITERATIONS):
      aligned = images.moved(image, pose)
      difference = (aligned - self._image).ravel()
      change = self._explained @ difference[self._stable]
      pose = pose - change[:4]
      if np.abs(change[:4] * _REACH).max() < _CONVERGED:
        break
    if not _is_near(pose) or not self._correlates(aligned):
      self._pose = np.zeros(4)
      return np.full((_PATCHES, 2), np.nan), np.full(4, np.nan)
    self._pose = pose
    # The last change of the pose is small, so it is removed to first order.
    residual = difference - change @ self._changes
    patches = residual[self._patches][..., None]
    motion = -np.matmul(self._solver, patches)[..., 0]
    head = pose * [_PERCENT, _PERCENT, 1, 1]
    return _PERCENT * motion.astype(np.float64), head

  def _correlates(self, aligned) -> bool:
    """Whether the stable regions show the same view of the same face."""
    one, other = (i.ravel()[self._stable] for i in (aligned, self._image))
    one, other = one - one.mean(), other - other.mean()
    scale = np.sqrt((one @ one) * (other @ other))
    return bool(one @ other > _MIN_CORRELATION * scale)


def _solver(
  changes: Float32[np.ndarray, '6 pixel'],
) -> Float32[np.ndarray, '2 pixel']:
  """Matrix from the difference of a patch to its negative displacement.

  Solves for displacement, gain and offset of the patch by regularised least
  squares.
  """
  parts = changes[[0, 1, 4, 5]]
  normal = parts @ parts.T
  normal[[0, 1], [0, 1]] += _GRADIENT_PENALTY * parts.shape[1]
  # Gain and offset cannot be separated in a uniform patch.
  normal[[2, 3], [2, 3]] += 1e-3 * normal[[2, 3], [2, 3]]
  return np.linalg.solve(normal, parts)[:2]


def _is_near(pose: Float64[np.ndarray, '4']) -> bool:
  limits = (_MAX_SHIFT, _MAX_SHIFT, _MAX_ROTATION, _MAX_SCALE)
  return bool((np.abs(pose) <= limits).all())
