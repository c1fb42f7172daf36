"""Spots the apex of a clip by its motion, where none is annotated."""

import cv2
from jaxtyping import UInt8
import numpy as np


def spot_apex(frames: UInt8[np.ndarray, 'frame height width']) -> int:
  """Index of the frame that differs most from the onset frame.

  The difference is the mean absolute one of all pixels, after a light Gaussian
  smoothing (standard deviation 1 pixel) that keeps sensor noise, which is of
  the size of the motion, from deciding.

  Args:
    frames: grey frames, uint8, 0..255, the onset first and the offset last.

  Returns:
    Index into `frames`; 0 if nothing moves.

  Raises:
    ValueError: `frames` is empty.

  Source: the simplest form of apex spotting, as reviewed by Liong et al.,
  "Automatic apex frame spotting in micro-expression database", ACPR 2015. They
  compare features in facial regions; whole frames need no landmarks, but a
  drifting head counts as motion.
  """
  if len(frames) == 0:
    raise ValueError('a clip without frames has no apex')

  def smooth(frame: np.ndarray) -> np.ndarray:
    # Float before smoothing: uint8 would round away the small motions.
    return cv2.GaussianBlur(frame.astype(np.float32), (0, 0), sigmaX=1.0)

  onset = smooth(frames[0])
  motions = [np.abs(smooth(frame) - onset).mean() for frame in frames]
  return int(np.argmax(motions))
