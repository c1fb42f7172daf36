"""Renders a face that performs a script, frame by frame, and writes a video.

The memory for a few displacement fields is enough for videos of any length.
"""

from collections.abc import Iterator
import dataclasses
import fractions
import pathlib

import cv2
import numpy as np

from dianet_jax.core import errors
from tfds_builders.simulation import acting, motion
from tfds_builders.simulation import faces as faces_lib

# Amplitudes are specified for a face of this height in pixels, which is 2.7
# face units.
_PIXELS_HIGH, _UNITS_HIGH = 340, 2.7
# Movements of the head and the eyes, in addition to facial action units.
POSES = ('yaw', 'pitch', 'blink', 'gaze')
# Half height and half width of the region that moves with the head, in face
# units. The motion decreases to 0 at twice this distance, where the background
# begins.
_HEAD = (1.9, 1.4)


@dataclasses.dataclass(frozen=True)
class Camera:
  """Camera and compression.

  Attributes:
    noise_levels: standard deviation of the noise in grey levels.
    flicker_gain: standard deviation of the gain from frame to frame.
    drift_pixels: amplitude of head drift, for a face 340 pixels high.
    drift_degrees: amplitude of head rotation in degrees.
    drift_seconds: periods of the drift.
    quality: `crf` of H.264; higher is worse.
  """

  noise_levels: float = 2.0
  flicker_gain: float = 0.003
  drift_pixels: float = 2.0
  drift_degrees: float = 0.5
  drift_seconds: tuple[float, ...] = (3.1, 7.3, 19.0)
  quality: int = 23


class _Stage:
  """A face and its displacement fields."""

  def __init__(self, face: faces_lib.Face):
    self.face = face
    self.pixel = _UNITS_HIGH * face.unit / _PIXELS_HIGH
    columns, rows = np.meshgrid(
      np.arange(face.width, dtype=np.float32),
      np.arange(face.height, dtype=np.float32),
    )
    self.place = np.stack([columns, rows], -1)
    self.about = self.place - np.float32(face.centre)
    self.x, self.y = np.moveaxis(self.about / np.float32(face.unit), -1, 0)
    out = np.hypot(self.y / _HEAD[0], self.x / _HEAD[1])
    # 1 on the head, 0 on the background.
    self.head = np.clip(2 - out, 0, 1).astype(np.float32)
    self.head *= self.head * (3 - 2 * self.head)

  def drifted(self, x, y, turn):
    """Displacement by a head shift in pixels and rotation in radians.

    The rotation is linearised, because the angles are small.
    """
    shift = self.about[..., ::-1] * np.float32([-turn, turn])
    return (shift + np.float32([x, y])) * self.head[..., None]

  def field(self, movement: acting.Movement) -> np.ndarray:
    """Displacement at weight 1, float32 [height, width, 2], pixels."""
    units = movement.units
    [first, *_] = units
    size = movement.pixels * self.pixel
    if first in POSES:
      return getattr(self, f'_{first}')(size)
    field = motion.displacement(self.face, units, movement.asymmetry)
    peak = np.sqrt((field**2).sum(-1).max())
    return field * np.float32(size / peak)

  def _turn(self, axis, size):
    """Rotation of an ellipsoid: parts closer to the camera move further."""
    depth = np.sqrt(np.clip(1.3 - self.x**2 / 1.6 - self.y**2 / 4, 0, None))
    field = np.zeros((*depth.shape, 2), np.float32)
    field[..., axis] = cv2.GaussianBlur(depth, (0, 0), self.face.unit / 8)
    return field * np.float32(size / field.max())

  def _yaw(self, size):
    return self._turn(0, size)

  def _pitch(self, size):
    return self._turn(1, size)

  def _eyes(self, spread, direction):
    x, low = self.face.landmarks['lower_lid']
    y = (low + self.face.landmarks['upper_lid'][1]) / 2
    field = np.zeros((*self.x.shape, 2), np.float32)
    for side in (1, -1):
      bump = np.exp(
        -(((self.x - side * x) / spread[0]) ** 4)
        - ((self.y - y) / spread[1]) ** 4
      )
      field += bump[..., None] * np.float32(direction)
    return field

  def _blink(self, size):
    """Closing of the eyelids, by the height of the eye; `size` is not used."""
    del size
    upper = self.face.landmarks['upper_lid'][1]
    high = self.face.landmarks['lower_lid'][1] - upper
    field = self._eyes((0.26, 0.75 * high), (0.0, 1.0))
    return field * np.float32(1.05 * high * self.face.unit)

  def _gaze(self, size):
    return self._eyes((0.14, 0.09), (1.0, 0.0)) * np.float32(size)


class _Drift:
  """Slow drift of the head, a sum of sinusoids."""

  def __init__(self, rng, camera, pixel):
    self.periods = np.array(camera.drift_seconds)
    shape = (3, len(self.periods))
    self.phases = rng.uniform(0, 2 * np.pi, shape)
    far = camera.drift_pixels * pixel
    reach = [[far], [far], [np.deg2rad(camera.drift_degrees)]]
    self.sizes = rng.standard_normal(shape) * reach / shape[1] ** 0.5

  def at(self, seconds):
    """Shift x and y in pixels, and rotation in radians."""
    angle = 2 * np.pi * seconds / self.periods + self.phases
    return (self.sizes * np.sin(angle)).sum(-1).astype(np.float32)


def film(
  face: faces_lib.Face,
  script: acting.Script,
  camera: Camera,
  rng: np.random.Generator,
) -> Iterator[np.ndarray]:
  """Renders the frames of a video.

  Args:
    face: the face.
    script: its movements.
    camera: noise, flicker and drift.
    rng: random generator for noise, flicker and drift.

  Yields:
    BGR frames, uint8 [height, width, 3], 0..255.
  """
  stage = _Stage(face)
  height, width = stage.head.shape
  noise = motion.noise_bank(rng, height, width, camera.noise_levels)
  drift = _Drift(rng, camera, stage.pixel)
  coming = list(reversed(script.movements))
  current: list[tuple[acting.Movement, np.ndarray]] = []
  scale = np.float32(faces_lib.OVERSAMPLING)
  for number in range(script.frames):
    while coming and coming[-1].start <= number:
      movement = coming.pop()
      current.append((movement, stage.field(movement)))
    current = [
      item for item in current if number < item[0].start + len(item[0].weights)
    ]
    where = stage.place.copy()
    if script.moves:
      where -= stage.drifted(*drift.at(number / script.frames_per_second))
    for movement, field in current:
      weight = float(movement.weights[number - movement.start])
      # `remap` needs the inverse displacement.
      where = cv2.scaleAdd(field, -weight, where)
    where += np.float32(face.margin)
    where *= scale
    seen = cv2.remap(face.picture, where, None, cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    gain = float(script.light[number])
    gain *= 1 + camera.flicker_gain * rng.standard_normal()
    top, left = rng.integers(0, 65, 2)
    grain = noise[top : top + height, left : left + width]
    sign = float(rng.choice((-1, 1)))
    yield cv2.addWeighted(seen, gain, grain, sign, 0, dtype=cv2.CV_8U)


def write(
  path: pathlib.Path,
  frames: Iterator[np.ndarray],
  frames_per_second: int,
  quality: int,
) -> None:
  """Writes a video with H.264, frame by frame.

  Args:
    path: of the file; its suffix determines the container.
    frames: BGR, uint8 [height, width, 3], with even height and width.
    frames_per_second: frame rate of the video.
    quality: `crf`; higher is worse.

  Raises:
    errors.UserError: PyAV is not installed.
  """
  try:
    import av
  except ImportError as error:
    raise errors.UserError(
      "Writing video needs PyAV. Install the extra 'video':\n"
      "  pip install 'dianet-jax[video]'"
    ) from error
  # With one thread, every run writes the same bytes.
  options = {'crf': str(quality), 'preset': 'veryfast', 'threads': '1'}
  with av.open(str(path), 'w') as container:
    stream = container.add_stream(
      'libx264', rate=frames_per_second, options=options
    )
    stream.pix_fmt = 'yuv420p'
    for number, image in enumerate(frames):
      if not number:
        stream.height, stream.width = image.shape[:2]
      frame = av.VideoFrame.from_ndarray(image, format='bgr24')
      frame.pts = number
      frame.time_base = fractions.Fraction(1, frames_per_second)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
