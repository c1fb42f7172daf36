"""Renders clips of a simulated face moved by facial action units."""

from collections.abc import Iterator, Mapping
import dataclasses

import cv2
import numpy as np

from tfds_builders.simulation import faces as faces_lib

# Amplitudes are specified for a face of this height in pixels, as in the crops
# of CASME II.
_PIXELS_HIGH = 340

# Facial action unit -> its displacements: landmark, (x, y) direction and (x, y)
# spread in face units, for the half with x >= 0; the other half is mirrored.
# Negative x is towards the nose, y is down.
ACTION_UNITS = {
  1: (('brow_inner', (0.0, -1.0), (0.20, 0.20)),),
  2: (('brow_outer', (0.0, -1.0), (0.26, 0.20)),),
  4: (
    ('brow_inner', (-0.5, 0.9), (0.20, 0.20)),
    ('brow_middle', (-0.2, 0.5), (0.22, 0.18)),
  ),
  5: (('upper_lid', (0.0, -0.9), (0.20, 0.07)),),
  6: (('cheek', (0.0, -0.6), (0.24, 0.20)),),
  7: (
    ('lower_lid', (0.0, -0.8), (0.20, 0.08)),
    ('upper_lid', (0.0, 0.4), (0.20, 0.07)),
  ),
  9: (
    ('nose_wing', (0.0, -1.0), (0.15, 0.18)),
    ('glabella', (0.0, 0.5), (0.16, 0.14)),
  ),
  12: (
    ('lip_corner', (0.8, -0.8), (0.18, 0.17)),
    ('cheek', (0.1, -0.4), (0.22, 0.20)),
  ),
  14: (('lip_corner', (0.9, 0.1), (0.15, 0.14)),),
  15: (('lip_corner', (0.15, 1.0), (0.17, 0.20)),),
  17: (
    ('chin', (0.0, -1.0), (0.26, 0.18)),
    ('lower_lip', (0.0, -0.6), (0.24, 0.10)),
  ),
  24: (
    ('upper_lip', (0.0, 0.7), (0.24, 0.08)),
    ('lower_lip', (0.0, -0.7), (0.24, 0.08)),
    ('lip_corner', (-0.4, 0.0), (0.12, 0.12)),
  ),
  25: (
    ('lower_lip', (0.0, 0.9), (0.24, 0.12)),
    ('upper_lip', (0.0, -0.3), (0.22, 0.08)),
    ('chin', (0.0, 0.4), (0.26, 0.18)),
  ),
}


@dataclasses.dataclass(frozen=True)
class Expression:
  """Action units of an emotion: the only difference between classes.

  Attributes:
    rise: Action unit -> strength of motion that grows until the apex and then
      fades.
    fall: Action unit -> strength of motion between apex and offset only.
  """

  rise: Mapping[int, float]
  fall: Mapping[int, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Recording:
  """Variation between and within clips. Pixels refer to a face 340 pixels high.

  Ranges are sampled uniformly; single numbers are standard deviations.
  """

  # Largest displacement at the apex.
  amplitude_pixels: tuple[float, float] = (1.2, 3.0)
  # With 0.4, one side of the face moves by 1.4 times the strength, the other by
  # 0.6 times.
  asymmetry: tuple[float, float] = (-0.4, 0.4)
  # Logarithm of each action unit's strength in a clip.
  strength_spread: float = 0.25
  # Every action unit's displacement in the neutral face of a clip.
  rest_pixels: float = 0.4
  # Amplitude of a random action unit in addition to the expression.
  stray_pixels: tuple[float, float] = (0.0, 0.4)
  # Pose of a clip: shift as a fraction of the height, rotation, scale.
  pose_shift: float = 0.010
  pose_degrees: float = 1.0
  pose_scale: float = 0.01
  # Drift of the head within a clip.
  drift_pixels: float = 0.10
  drift_degrees: float = 0.03
  # Light of a clip, and its flicker from frame to frame.
  light_gain: float = 0.05
  flicker_gain: float = 0.003
  flicker_offset_levels: float = 0.4
  # Each pixel and channel of each frame.
  noise_levels: float = 2.0
  jpeg_quality: int = 95


@dataclasses.dataclass(frozen=True)
class Timing:
  """Key frames of a clip, counted from its first frame."""

  onset: int
  apex: int
  offset: int
  frames: int


def envelope(frame, timing: Timing, skew: float = 1.0) -> np.ndarray:
  """Intensity of the expression: 0 at onset and offset, 1 at the apex.

  Args:
    frame: `[frame]` numbers, counted as in `timing`.
    timing: The key frames.
    skew: Above 0; larger values start later and more abruptly.

  Returns:
    `[frame]` float64, 0..1; 0 before the onset and after the offset.
  """
  share = np.interp(
    frame, (timing.onset, timing.apex, timing.offset), (0.0, 1.0, 0.0)
  )
  return 0.5 - 0.5 * np.cos(np.pi * share**skew)


def aftermath(frame, timing: Timing) -> np.ndarray:
  """Intensity of the second phase: 0 to the apex, 1 half-way, 0 at offset.

  Args:
    frame: `[frame]` numbers, counted as in `timing`.
    timing: The key frames.

  Returns:
    `[frame]` float64, 0..1.
  """
  share = np.interp(frame, (timing.apex, timing.offset), (0.0, 1.0))
  return np.sin(np.pi * share) ** 2


def displacement(
  face: faces_lib.Face,
  strengths: Mapping[int, float],
  asymmetry: float = 0.0,
) -> np.ndarray:
  """Displacement field of a set of action units.

  Args:
    face: Where the landmarks are.
    strengths: Action unit to strength.
    asymmetry: -1..1; how much stronger the side with larger x is.

  Returns:
    `[height, width, 2]` float32, (x, y) in units of `strengths`.
  """
  rows = (np.arange(face.height) - face.centre[1]) / face.unit
  columns = (np.arange(face.width) - face.centre[0]) / face.unit
  field = np.zeros((face.height, face.width, 2), np.float32)
  for unit, strength in strengths.items():
    for landmark, direction, spread in ACTION_UNITS[unit]:
      x, y = face.landmarks[landmark]
      for side in (1, -1) if x else (0,):
        bump = np.outer(
          np.exp(-(((rows - y) / spread[1]) ** 2) / 2),
          np.exp(-(((columns - side * x) / spread[0]) ** 2) / 2),
        )
        push = np.float64(direction) * (side, 1)
        push *= strength * (1 + side * asymmetry)
        field += (bump[..., None] * push).astype(np.float32)
  return field


def _scaled(field, pixels):
  """The field, scaled to a largest displacement of `pixels`."""
  peak = np.sqrt((field**2).sum(-1).max())
  return field * np.float32(pixels / peak) if peak else field


def _drift(rng, timing, recording, pixel):
  """Slow drift: shift x and y in pixels, rotation in radians, [3, frame]."""
  time = (np.arange(timing.frames) - timing.onset) / (
    timing.offset - timing.onset
  )
  drift = rng.standard_normal((3, 1)) * time
  for cycles in (0.7, 1.6):
    phase = rng.uniform(0, 2 * np.pi, (3, 1))
    size = rng.standard_normal((3, 1)) / (2 * cycles)
    # Less its value at the onset.
    drift += size * (np.sin(2 * np.pi * cycles * time + phase) - np.sin(phase))
  drift[:2] *= recording.drift_pixels * pixel
  drift[2] *= np.deg2rad(recording.drift_degrees)
  return drift


def _neutral(face, about, recording, rng):
  """Positions in the drawn face of the pixels of a clip's neutral face."""
  size = recording.rest_pixels * face.height / _PIXELS_HIGH
  rest = size * rng.standard_normal(len(ACTION_UNITS))
  scale, degrees, *shift = rng.standard_normal(4)
  turn = np.deg2rad(recording.pose_degrees * degrees)
  # For angles this small, a rotation is a shift across the radius.
  return (
    np.float32(face.centre)
    + about * np.float32(1 + recording.pose_scale * scale)
    + about[..., ::-1] * np.float32([turn, -turn])
    + np.float32(recording.pose_shift * face.height * np.array(shift))
    - displacement(face, dict(zip(ACTION_UNITS, rest)))
  )


def _stray(face, frames, recording, rng):
  """Weights and field of a motion that is unrelated to the emotion."""
  unit = int(rng.choice(list(ACTION_UNITS)))
  pixels = rng.uniform(*recording.stray_pixels) * face.height / _PIXELS_HIGH
  # At least a frame apart; otherwise the peak could be skipped.
  key_frames = np.sort(rng.uniform(0, frames, 3)) + (-1, 0, 1)
  weights = np.interp(np.arange(frames), key_frames, (0, 1, 0))
  return weights, _scaled(displacement(face, {unit: 1.0}), pixels)


def motion(
  face: faces_lib.Face,
  expression: Expression,
  timing: Timing,
  asymmetry: float,
  recording: Recording,
  rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
  """Positions in the drawn face of all pixels of all frames of a clip.

  What is drawn from `rng`, and in what order, does not depend on the
  expression: with generators in the same state, two expressions with the same
  `rise` move identically, bit for bit, up to the apex.

  Args:
    face: The face that moves.
    expression: Its class.
    timing: Key frames of the clip.
    asymmetry: -1..1; above 0, the side with larger x moves more.
    recording: Sizes of the motions.
    rng: Determines everything else.

  Returns:
    `weights`, `[frame, 7]` float32, and `fields`, `[7, height, width, 2]`
    float32: frame t shows at each pixel the point
    `sum(weights[t, i] * fields[i])`, (x, y) in frame pixels. The fields are the
    position in the neutral face, the rise, the fall, the unrelated motion, and
    drift: a shift along x, one along y, and a rotation.
  """
  pixel = face.height / _PIXELS_HIGH
  amplitude = rng.uniform(*recording.amplitude_pixels) * pixel
  skew = rng.uniform(0.8, 1.3)
  spread = recording.strength_spread * rng.standard_normal(len(ACTION_UNITS))
  vary = dict(zip(ACTION_UNITS, np.exp(spread)))

  def expressed(strengths):
    varied = {unit: s * vary[unit] for unit, s in strengths.items()}
    return _scaled(displacement(face, varied, asymmetry), amplitude)

  columns, rows = np.meshgrid(np.arange(face.width), np.arange(face.height))
  about = np.stack([columns, rows], -1).astype(np.float32)
  about -= np.float32(face.centre)
  neutral = _neutral(face, about, recording, rng)
  stray_weights, stray = _stray(face, timing.frames, recording, rng)
  drift = _drift(rng, timing, recording, pixel)
  frame = np.arange(timing.frames)
  on, after = envelope(frame, timing, skew), aftermath(frame, timing)
  weights = np.stack([np.ones(timing.frames), on, after, stray_weights,
                      *drift], axis=1)  # fmt: skip
  right = np.broadcast_to(np.float32([1, 0]), about.shape)
  turn = about[..., ::-1] * np.float32([1, -1])
  # A pixel shows what has been pushed to it: hence the minus.
  fields = np.stack([
    neutral, -expressed(expression.rise), -expressed(expression.fall), -stray,
    right, right[..., ::-1], turn,
  ])  # fmt: skip
  return weights.astype(np.float32), fields


def noise_bank(rng, height, width, levels):
  """Sensor noise, from which each frame uses a random part.

  Returns:
    `[height + 64, width + 64, 3]` float32.
  """
  shape = (height + 64, width + 64, 3)
  return np.float32(levels) * rng.standard_normal(shape, np.float32)


def film(
  face: faces_lib.Face,
  weights: np.ndarray,
  fields: np.ndarray,
  noise: np.ndarray,
  recording: Recording,
  rng: np.random.Generator,
) -> Iterator[np.ndarray]:
  """Yields the frames of a clip.

  Args:
    face: The face that moves.
    weights: From `motion`.
    fields: From `motion`.
    noise: From `noise_bank`.
    recording: Sizes of flicker and noise.
    rng: Determines flicker and noise.

  Yields:
    `[height, width, 3]` uint8, blue, green, red.
  """
  height, width = fields.shape[1:3]
  flat = fields.reshape(len(fields), -1)
  clip_gain = 1 + recording.light_gain * rng.standard_normal()
  for weight in weights:
    # Not a matrix product: BLAS threads and those of the caller would fight.
    where = np.einsum('i,in->n', weight, flat).reshape(height, width, 2)
    where = (where + np.float32(face.margin)) * np.float32(
      faces_lib.OVERSAMPLING
    )
    seen = cv2.remap(face.picture, where, None, cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    gain = clip_gain * (1 + recording.flicker_gain * rng.standard_normal())
    offset = recording.flicker_offset_levels * rng.standard_normal()
    top, left = rng.integers(0, 65, 2)
    grain = noise[top : top + height, left : left + width]
    sign = rng.choice((-1, 1))
    yield cv2.addWeighted(seen, gain, grain, sign, offset, dtype=cv2.CV_8U)
