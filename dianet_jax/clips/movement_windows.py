"""Input of the learned spotter: displacements around each step of a track.

For each step at time t, the displacements of all patches and of the head from
t - k to t and from t + k to t, at lags k from 0.04 to 2.2 seconds. Longer lags
are averaged over more steps, to reduce noise.
"""

from jaxtyping import Float32, Float64, Int
import numpy as np

from dianet_jax.clips import face_blocks, movements

LAGS = (0.04, 0.08, 0.12, 0.18, 0.26, 0.38, 0.56, 0.8, 1.2, 1.7, 2.2)  # Seconds
# Half width of the moving average, as a fraction of the lag.
_SMOOTHING = 1 / 6
# A rotation of 1 radian or a scale change of 1 moves the edge of the face by
# about this much, in percent of the interocular distance.
_HEAD_PERCENT = 100.0
_PATCHES = [xy for some in face_blocks.PATCHES.values() for xy in some]
# x and y of each patch, then shift x and y, rotation and scale of the head.
CHANNELS = 2 * len(_PATCHES) + 4
SHAPE = (2 * len(LAGS), CHANNELS)
# Index of the symmetric patch on the other side of the face.
_MIRRORED_PATCH = [
  min(
    range(len(_PATCHES)),
    key=lambda n: abs(_PATCHES[n][0] - 1 + x) + abs(_PATCHES[n][1] - y),
  )
  for x, y in _PATCHES
]


def differences(
  track: movements.Track,
) -> Float32[np.ndarray, 'step difference channel']:
  """Displacements of each step relative to the steps before and after it.

  Args:
    track: of a video, or of a part of it.

  Returns:
    Displacements in percent of the interocular distance; 0 if no face is
    detected at one of the two steps. Axis 1 has the lags in ascending order,
    for each lag first the step before, then the step after.
  """
  motion = movements.smooth(track).reshape(len(track.part), -1)
  head = track.head * [1, 1, _HEAD_PERCENT, _HEAD_PERCENT]
  values = np.concatenate([motion, head], axis=1)
  found = []
  for lag in LAGS:
    steps = max(1, round(lag * track.rate))
    mean = _averaged(values, track.part, round(_SMOOTHING * steps))
    for shift in (-steps, steps):
      there, same = movements.shifted(track.part, shift)
      found.append(np.where(same[:, None], mean - mean[there], 0))
  return np.stack(found, axis=1).astype(np.float32)


def _averaged(
  values: Float64[np.ndarray, 'step channel'],
  part: Int[np.ndarray, ' step'],
  width: int,
) -> Float64[np.ndarray, 'step channel']:
  """Moving average over 2 * `width` + 1 steps within each part."""
  total, count = np.zeros_like(values), np.zeros(len(part))
  for shift in range(-width, width + 1):
    there, same = movements.shifted(part, shift)
    total += np.where(same[:, None], values[there], 0)
    count += same
  return total / np.maximum(count, 1)[:, None]


def mirrored(
  differences: Float32[np.ndarray, 'step difference channel'],
) -> Float32[np.ndarray, 'step difference channel']:
  """Displacements of the face's mirror image.

  Args:
    differences: from `differences`.

  Returns:
    The same array for the horizontally flipped video.
  """
  motion = differences[..., :-4]
  motion = motion.reshape(*motion.shape[:2], len(_PATCHES), 2)
  motion = motion[:, :, _MIRRORED_PATCH] * np.array([-1, 1], np.float32)
  # Mirroring changes the sign of x and of the rotation.
  head = differences[..., -4:] * np.array([-1, 1, -1, 1], np.float32)
  flat = motion.reshape(*motion.shape[:2], -1)
  return np.concatenate([flat, head], axis=-1)
