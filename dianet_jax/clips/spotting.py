"""Spots the apex of a clip by its motion, if none is annotated."""

import cv2
from jaxtyping import Float, Float32, UInt8
import numpy as np

from dianet_jax.clips import images

# Margin that is left out, as a fraction of the frame's smaller side: 1 / 24.
_MARGIN = 24
_STEPS = 3
# Largest head motion, as a fraction of the smaller side and in radians; beyond
# it the scene has changed.
_MOST_SHIFT, _MOST_TURN = 0.1, 0.1


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
  """Energy of the facial motion of each frame relative to the onset.

  Head motion and lighting are removed first: each frame is shifted and rotated
  onto the onset frame, and the part of the difference that a gain and an offset
  of the brightness explain is subtracted. Otherwise a drift of a tenth of a
  pixel or a flicker of half a grey level would dominate the expression. The
  energy is the mean square of the remaining difference.

  Frames are smoothed before (Gaussian, standard deviation 1 pixel) to reduce
  sensor noise, which is as large as the motion.

  Args:
    frames: grey frames, uint8, 0..255, the onset first.

  Returns:
    Squared grey levels; about 0 for the onset.

  Raises:
    ValueError: `frames` is empty.

  Source: spotting by the greatest difference, as reviewed by Liong et al.,
  "Automatic apex frame spotting in micro-expression database", ACPR 2015. They
  compare features in facial regions; removing head motion and lighting is ours,
  and needs no landmarks. The alignment is that of Lucas and Kanade (IJCAI 1981)
  in its inverse form (Baker and Matthews, IJCV 2004).
  """
  if len(frames) == 0:
    raise ValueError('a clip without frames has no apex')
  onset = _smooth(frames[0])
  # Warping repeats pixels at the border, so a margin is left out.
  margin = min(onset.shape) // _MARGIN
  inner = tuple(slice(margin, size - margin) for size in onset.shape)
  changes = _changes(onset)[(slice(None), *inner)].reshape(5, -1).T
  explained = np.linalg.pinv(changes)
  limits = np.array([*2 * [_MOST_SHIFT * min(onset.shape)], _MOST_TURN])
  pose = np.zeros(3)
  energies = []
  # Frame by frame, because a long clip as floats would fill the memory.
  for frame in frames:
    smooth = _smooth(frame)
    # Starts from the pose of the previous frame, because heads are slow.
    for _ in range(_STEPS):
      aligned = images.moved(smooth, pose)
      motion = (aligned - onset)[inner].ravel()
      change = explained @ motion
      pose = np.clip(pose - change[:3], -limits, limits)
    motion -= changes @ change
    energies.append(np.mean(motion**2))
  return np.array(energies)


def _smooth(frame: np.ndarray) -> Float32[np.ndarray, 'height width']:
  # Floats before smoothing, because uint8 would round small motions to zero.
  return cv2.GaussianBlur(frame.astype(np.float32), (0, 0), sigmaX=1.0)


def _changes(
  onset: Float32[np.ndarray, 'height width'],
) -> Float32[np.ndarray, '5 height width']:
  """First-order changes by a shift (x, y), a rotation, a gain and an offset."""
  height, width = onset.shape
  across = cv2.Sobel(onset, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
  down = cv2.Sobel(onset, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
  y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
  x = np.arange(width, dtype=np.float32) - (width - 1) / 2
  turn = down * x - across * y
  return np.stack([across, down, turn, onset, np.ones_like(onset)])
