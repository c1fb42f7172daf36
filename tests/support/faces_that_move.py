"""Long videos of a pattern whose regions move as a face's would."""

from collections.abc import Callable, Iterator

import numpy as np

from dianet_jax.clips import face_blocks, faces, segments
from tests.support import moving

SIZE = face_blocks.SIZE
FPS = 50
_Y, _X = np.mgrid[:SIZE, :SIZE] / SIZE
# Where a movement goes to, x and y in shares of the side, and how wide it is.
PLACES = {
  'brow': (0.5, 0.24, 0.25, 0.05),
  'left eye': (0.32, 0.36, 0.08, 0.03),
  'right eye': (0.68, 0.36, 0.08, 0.03),
  'mouth': (0.5, 0.75, 0.15, 0.08),
}
# Seconds -> pixels downwards.
Course = Callable[[float], float]


def once(onset: float, offset: float, pixels: float = 1.5) -> Course:
  """There and back between two times."""

  def course(second):
    if not onset < second < offset:
      return 0.0
    share = (second - onset) / (offset - onset)
    return pixels * (0.5 - 0.5 * np.cos(2 * np.pi * share))

  return course


def frames(
  seconds: float,
  courses: dict[str, list[Course]] | None = None,
  head: Course = lambda second: 0.0,
  light: Course = lambda second: 0.0,
  start: float = 0.0,
) -> Iterator[segments.Frame]:
  """A face of `FPS` frames a second, with noise that belongs to the frame.

  Args:
    seconds: how long.
    courses: place -> what it does there.
    head: pixels to the right.
    light: grey levels.
    start: the first frame is the whole video's at this second.
  """
  for index in range(round(seconds * FPS)):
    number = index + round(start * FPS)
    image = _image(number, courses or {}, head, light)
    yield segments.Frame(index / FPS, lambda image=image: image)


def _image(number, courses, head, light):
  second = number / FPS
  down = np.zeros((SIZE, SIZE))
  for place, some in courses.items():
    pixels = sum(course(second) for course in some)
    if pixels:
      x, y, width, height = PLACES[place]
      distance = ((_X - x) / width) ** 2 + ((_Y - y) / height) ** 2
      down += pixels * np.exp(-distance)
  grey = moving.pattern(_X * SIZE - head(second), _Y * SIZE - down)
  noise = np.random.default_rng(number).normal(0, 1.5, grey.shape)
  grey = np.clip(0.8 * grey + noise + light(second), 0, 255)
  return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=-1)


def find(frame: np.ndarray, size: int) -> faces.Face:
  """The face fills the frame; a black frame shows none."""
  if not frame.any():
    raise faces.NoFaceError('no face was found')
  return faces.Face(np.eye(2, 3), size, 1)
