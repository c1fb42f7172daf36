"""Spots the apex of a clip by its motion, where none is annotated."""

import cv2
from jaxtyping import Float, Float32, UInt8
import numpy as np


def spot_apex(frames: UInt8[np.ndarray, 'frame height width']) -> int:
  """Index of the frame of greatest motion energy against the onset frame.

  Args:
    frames: grey frames, uint8, 0..255, the onset first and the offset last.

  Returns:
    Index into `frames`; 0 if nothing moves.

  Raises:
    ValueError: `frames` is empty.
  """
  return int(np.argmax(motion_energy(frames)))


def motion_energy(
  frames: UInt8[np.ndarray, 'frame height width'],
) -> Float[np.ndarray, ' frame']:
  """How much of each frame's difference to the onset is the face's own motion.

  The mean square of the difference, less what can be explained by the head and
  the light: a small shift and turn of the onset frame, a gain and an offset of
  its brightness. To first order these are five images, and the explanation is a
  least-squares fit. Without it a drift of a tenth of a pixel and a flicker of
  half a grey level decide in place of the expression.

  Frames are smoothed before (Gaussian, standard deviation 1 pixel), so that
  sensor noise, which is of the size of the motion, counts less.

  Args:
    frames: grey frames, uint8, 0..255, the onset first.

  Returns:
    Squared grey levels; 0 for the onset.

  Raises:
    ValueError: `frames` is empty.

  Source: spotting by the greatest difference, as reviewed by Liong et al.,
  "Automatic apex frame spotting in micro-expression database", ACPR 2015. They
  compare features in facial regions; taking out head and light is ours, and
  needs no landmarks.
  """
  if len(frames) == 0:
    raise ValueError('a clip without frames has no apex')
  onset = _smooth(frames[0])
  head_and_light = _head_and_light(onset)
  # Frame by frame: all of a long clip as floats would fill the memory.
  energies = []
  for frame in frames:
    motion = (_smooth(frame) - onset).ravel()
    motion -= head_and_light @ (head_and_light.T @ motion)
    energies.append(np.mean(motion**2))
  return np.array(energies)


def _smooth(frame: np.ndarray) -> Float32[np.ndarray, 'height width']:
  # Float before smoothing: uint8 would round away the small motions.
  return cv2.GaussianBlur(frame.astype(np.float32), (0, 0), sigmaX=1.0)


def _head_and_light(
  onset: Float32[np.ndarray, 'height width'],
) -> Float32[np.ndarray, 'pixel change']:
  """Orthonormal images of what head and light change, to first order."""
  height, width = onset.shape
  # Not np.gradient, which fails on a single row or column.
  down = cv2.Sobel(onset, cv2.CV_32F, 0, 1, ksize=1)
  across = cv2.Sobel(onset, cv2.CV_32F, 1, 0, ksize=1)
  y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
  x = np.arange(width, dtype=np.float32) - (width - 1) / 2
  turn = (down * x - across * y) / max(height, width)
  light = [np.ones_like(onset), onset]
  changes = np.stack([*light, down, across, turn]).reshape(5, -1)
  # A flat image has fewer: directions of rounding errors alone are left out.
  images, sizes, _ = np.linalg.svd(changes.T, full_matrices=False)
  return images[:, sizes > 1e-5 * sizes[0]].astype(np.float32)
