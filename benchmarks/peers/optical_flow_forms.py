"""Optical flow in the forms that are compared, and pairs of known motion."""

from collections.abc import Callable
import dataclasses
import importlib.util

import cv2
import jax
import numpy as np
import scipy.ndimage

from dianet_jax.motion import optical_flow

OURS = 'ours'
PEER = 'OpenCV TV-L1'
NO_STOP = 'OpenCV TV-L1, no early stop'
# Of both, to compare flow with flow; OpenCV's interpolation is always cubic.
SAME = {'scales': 3, 'warps': 3, 'inner': 30, 'outer': 1, 'median': 5}

KINDS = ('shift', 'warp', 'bump')
AMPLITUDES = (0.2, 0.5, 1.0, 2.0)
NOISES = (0.0, 2.0)


@dataclasses.dataclass(frozen=True)
class Pair:
  """Two frames of a face, and how far each of its pixels moved.

  Attributes:
    name: kind, amplitude in pixels, and sensor noise in grey levels.
    first: uint8 [height, width].
    second: the same.
    flow: float64 [height, width, 2], pixels, x then y, from first to second.
    moving: bool [height, width], where the motion is a tenth of the amplitude
      or more.
  """

  name: str
  first: np.ndarray
  second: np.ndarray
  flow: np.ndarray
  moving: np.ndarray


def _flow(kind, amplitude, size):
  y, x = np.mgrid[:size, :size].astype(np.float64)
  if kind == 'shift':
    u, v = np.full_like(x, amplitude), np.full_like(x, -amplitude / 2)
  elif kind == 'warp':
    u = amplitude * np.sin(2 * np.pi * y / size)
    v = amplitude * np.cos(2 * np.pi * x / size)
  else:
    # A corner of the mouth goes up: sigma is 15 pixels of 224.
    away = (x - 0.45 * size) ** 2 + (y - 0.6 * size) ** 2
    bump = np.exp(-away / 2 / (15 * size / 224) ** 2)
    u, v = 0.3 * amplitude * bump, -amplitude * bump
  return u, v


def make_pair(
  size: int, kind: str = 'bump', amplitude: float = 1.0, noise: float = 2.0
) -> Pair:
  """The astronaut's face, moved.

  Args:
    size: pixels a side.
    kind: 'shift' of the whole image, smooth 'warp' of it, or a 'bump' of the
      face's skin.
    amplitude: of the motion, pixels.
    noise: deviation of each frame's sensor noise, grey levels.
  """
  # Only here: the test extra brings it.
  import skimage.data

  face = cv2.cvtColor(
    skimage.data.astronaut()[:200, 120:320], cv2.COLOR_RGB2GRAY
  )
  face = cv2.resize(
    face.astype(np.float64), (size, size), interpolation=cv2.INTER_AREA
  )
  u, v = _flow(kind, amplitude, size)
  y, x = np.mgrid[:size, :size].astype(np.float64)

  def at(values, rows, columns, order):
    where = [rows, columns]
    return scipy.ndimage.map_coordinates(
      values, where, order=order, mode='nearest'
    )

  # Where each pixel of the second frame comes from: a fixed point.
  rows, columns = y, x
  for _ in range(30):
    rows, columns = (
      y - at(v, rows, columns, 1),
      x - at(u, rows, columns, 1),
    )
  rng = np.random.default_rng(0)

  def seen(image):
    noisy = image + noise * rng.normal(size=image.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)

  flow = np.stack([u, v], -1)
  return Pair(
    f'{kind} {amplitude} noise {noise:.0f}',
    seen(face),
    seen(at(face, rows, columns, 3)),
    flow,
    np.linalg.norm(flow, axis=-1) >= amplitude / 10,
  )


def make_pairs(size: int) -> list[Pair]:
  """Every kind, amplitude and noise."""
  return [
    make_pair(size, kind, amplitude, noise)
    for kind in KINDS
    for amplitude in AMPLITUDES
    for noise in NOISES
  ]


def end_point_error(flow: np.ndarray, pair: Pair) -> float:
  """Mean distance to the planted flow where there is motion, pixels."""
  return float(np.linalg.norm(flow - pair.flow, axis=-1)[pair.moving].mean())


def _ours(first, second):
  return np.asarray(jax.block_until_ready(optical_flow.tv_l1(first, second)))


def opencv_tv_l1(
  first: np.ndarray,
  second: np.ndarray,
  epsilon: float = 0.01,
  scales: int = 5,
  warps: int = 5,
  inner: int = 30,
  outer: int = 10,
  median: int = 5,
) -> np.ndarray:
  """OpenCV contrib's, its own threads; `epsilon=0` goes without early stop."""
  solver = cv2.optflow.DualTVL1OpticalFlow_create(
    0.25, 0.15, 0.3, scales, warps, epsilon, inner, outer, 0.8, 0.0, median
  )
  return np.stack([solver.calc(a, b, None) for a, b in zip(first, second)])


def _dis(preset):
  def flow(first, second):
    solver = cv2.DISOpticalFlow_create(preset)
    return np.stack([solver.calc(a, b, None) for a, b in zip(first, second)])

  return flow


def forms() -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
  """Name -> (first, second) -> flow; TV-L1 where this OpenCV has it."""
  found = {OURS: _ours}
  if has_tv_l1():
    found[PEER] = opencv_tv_l1
    found[NO_STOP] = lambda a, b: opencv_tv_l1(a, b, epsilon=0.0)
  return {
    **found,
    'Farneback': optical_flow.farneback,
    'DIS fast': _dis(cv2.DISOPTICAL_FLOW_PRESET_FAST),
    'DIS medium': _dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
  }


def has_tv_l1() -> bool:
  """Whether OpenCV is the one with its contributed modules."""
  return hasattr(cv2, 'optflow')


def has_face() -> bool:
  """Whether the photograph is installed."""
  return importlib.util.find_spec('skimage') is not None
