"""What a network reads of a moment of a long video: how the face moved to it.

Of every step of a track the displacements of all patches, and of the head, from
k before to it and from k after to it, at lags k from a twenty-fifth of a second
to two seconds. A longer lag is averaged over more steps: less noise.
"""

from jaxtyping import Float32, Float64, Int
import numpy as np

from dianet_jax.clips import face_blocks, movements

# Seconds.
LAGS = (0.04, 0.08, 0.12, 0.18, 0.26, 0.38, 0.56, 0.8, 1.2, 1.7, 2.2)
# A lag is averaged over so large a part of it, on either side of a step.
_SMOOTHING = 1 / 6
# A radian of turn and a growth of 1 move the edge of the face by about this
# much, in percent of the distance between the eyes.
_HEAD_PERCENT = 100.0
_PATCHES = [xy for some in face_blocks.PATCHES.values() for xy in some]
# Right and down of each patch, then shift, turn and growth of the head.
CHANNELS = 2 * len(_PATCHES) + 4
SHAPE = (2 * len(LAGS), CHANNELS)
# The patch on the other side of the face.
_OTHER_SIDE = [
  min(
    range(len(_PATCHES)),
    key=lambda n: abs(_PATCHES[n][0] - 1 + x) + abs(_PATCHES[n][1] - y),
  )
  for x, y in _PATCHES
]


def differences(
  track: movements.Track,
) -> Float32[np.ndarray, 'step difference channel']:
  """The differences of every step at every lag, before it and after it.

  Args:
    track: of a video, or of a part of it.

  Returns:
    Percent of the distance between the eyes; 0 where there is no face at
    either end.
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
  """Means over `width` steps on either side, of the same part."""
  total, count = np.zeros_like(values), np.zeros(len(part))
  for shift in range(-width, width + 1):
    there, same = movements.shifted(part, shift)
    total += np.where(same[:, None], values[there], 0)
    count += same
  return total / np.maximum(count, 1)[:, None]


def mirrored(
  differences: Float32[np.ndarray, 'step difference channel'],
) -> Float32[np.ndarray, 'step difference channel']:
  """The same of the face's mirror image."""
  motion = differences[..., :-4]
  motion = motion.reshape(*motion.shape[:2], len(_PATCHES), 2)
  motion = motion[:, :, _OTHER_SIDE] * np.array([-1, 1], np.float32)
  # What goes right goes left, and a turn turns the other way.
  head = differences[..., -4:] * np.array([-1, 1, -1, 1], np.float32)
  flat = motion.reshape(*motion.shape[:2], -1)
  return np.concatenate([flat, head], axis=-1)
