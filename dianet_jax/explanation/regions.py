"""Regions of an aligned face as fixed boxes.

Alignment (`clips.faces`) places the eyes at .35 of the height, .36 of the width
apart; the published flow images have them at the same position, and clips that
are cropped instead of aligned approximately. The boxes are ours, after the
action units that coders look for in them (Ekman and Friesen, 1978).
"""

from collections.abc import Mapping, Sequence

from jaxtyping import Bool
import numpy as np

from dianet_jax.motion.registry import Channel

# First and last row, first and last column, as fractions of the image. A pixel
# in several boxes belongs to the first of them.
_BOXES: Mapping[str, tuple[float, float, float, float]] = {
  'brows': (0.12, 0.29, 0.10, 0.90),
  'eyes': (0.29, 0.45, 0.10, 0.90),
  'nose': (0.45, 0.63, 0.35, 0.65),
  'mouth': (0.63, 0.85, 0.22, 0.78),
  'chin': (0.85, 1.00, 0.22, 0.78),
  'cheeks': (0.45, 0.85, 0.08, 0.92),
}
_REST = 'elsewhere'
# Region -> action units of the upper and lower face that move it.
ACTION_UNITS: Mapping[str, tuple[int, ...]] = {
  'brows': (1, 2, 4),
  'eyes': (5, 7),
  'nose': (9,),
  'mouth': (10, 12, 14, 15, 20, 23, 24, 25),
  'chin': (17,),
  'cheeks': (6,),
  _REST: (),
}
NAMES = tuple(ACTION_UNITS)


def masks(
  height: int,
  width: int,
  area: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0),
) -> Bool[np.ndarray, 'region height width']:
  """The pixels of each region of `NAMES`; each pixel is in exactly one.

  Args:
    height: of the image, in pixels.
    width: of the image, in pixels.
    area: part of the face that the image shows: first and last row, first and
      last column, as fractions.

  >>> found = masks(28, 28)
  >>> found.shape, int(found.sum())
  ((7, 28, 28), 784)
  """
  top, bottom, left, right = area
  row = top + (np.arange(height) + 0.5) / height * (bottom - top)
  column = left + (np.arange(width) + 0.5) / width * (right - left)
  free = np.ones((height, width), bool)
  found = {}
  for name, (first, last, start, end) in _BOXES.items():
    rows, columns = (row >= first) & (row < last), (column >= start)
    columns = columns & (column < end)
    found[name] = free & rows[:, None] & columns
    free &= ~found[name]
  found[_REST] = free
  return np.stack([found[name] for name in NAMES])


def of_channels(
  height: int, width: int, channels: Sequence[Channel]
) -> Bool[np.ndarray, 'region height width channel']:
  """The same for images whose channels show different parts of the face.

  Args:
    height: of the image, in pixels.
    width: of the image, in pixels.
    channels: of the image; each has an `area`.
  """
  return np.stack(
    [masks(height, width, channel.area) for channel in channels], axis=-1
  )
