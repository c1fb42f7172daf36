"""Clips of a smooth pattern with a given motion."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.motion.registry import ClipBatch

SIZE = 64
# Displacement (x, y) in pixels at each row y and column x.
Motion = Callable[[np.ndarray, np.ndarray], tuple]


def pattern(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Grey levels at any place: waves of some ten pixels."""
  waves = ((0.61, 0.17, 0.3), (-0.21, 0.53, 1.1), (0.37, -0.43, 2.0))
  return 128 + 30 * sum(np.sin(a * x + b * y + c) for a, b, c in waves)


def frame(motion: Motion, share: float, size: int = SIZE) -> np.ndarray:
  """uint8 [height, width, 3]: the pattern after a share of the motion."""
  y, x = np.mgrid[:size, :size].astype(float)
  right, down = motion(x, y)
  grey = pattern(x - share * right, y - share * down)
  return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=-1)


def translation(right: float, down: float) -> Motion:
  """The same displacement everywhere."""
  return lambda x, y: (right + 0 * x, down + 0 * y)


def clip(
  motion: Motion, shares: Sequence[float], size: int = SIZE
) -> np.ndarray:
  """uint8 [frame, height, width, 3], a frame for each share of the motion."""
  return np.stack([frame(motion, share, size) for share in shares])


def batch(
  clips: Sequence[np.ndarray], apexes: Sequence[int], padded: int = 0
) -> ClipBatch:
  """Clips as they come out of records, onset first and offset last."""
  lengths = np.array([len(c) for c in clips] + [1] * padded, np.int32)
  frames = np.zeros((len(lengths), max(lengths), *clips[0].shape[1:]), np.uint8)
  for row, frames_of_clip in enumerate(clips):
    frames[row, : len(frames_of_clip)] = frames_of_clip
  return ClipBatch(
    frames.reshape(*frames.shape[:2], -1),
    lengths,
    np.zeros_like(lengths),
    np.array([*apexes, *[0] * padded], np.int32),
    lengths - 1,
    frame_shape=frames.shape[2:],
  )


def record(frames: np.ndarray, apex: int, name: str = 'clip') -> dict:
  """As the records of a data set hold a clip."""
  return {
    'clip_id': name.encode(),
    'frames': [png(image) for image in frames],
    'onset': 0,
    'apex': apex,
    'offset': len(frames) - 1,
  }


def png(image: np.ndarray) -> bytes:
  """The file of an RGB image."""
  return cv2.imencode('.png', image[..., ::-1])[1].tobytes()


def settings(**values) -> configuration.Data:
  """A `data` section for such clips; `flow` and `sampling` as dicts."""
  flow = {'method': 'farneback'} | values.pop('flow', {})
  sampling = configuration.Sampling(**values.pop('sampling', {}))
  values = {'dataset': 'casme2', 'frame_size': SIZE, 'image_size': 16} | values
  return configuration.Data(
    flow=configuration.Flow(**flow), sampling=sampling, **values
  )
