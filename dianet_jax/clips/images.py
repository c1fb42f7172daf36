"""Image files -> frames: reading, decoding, cropping to one size."""

from collections.abc import Sequence
import os
import struct

import cv2
from jaxtyping import UInt8
import numpy as np

from dianet_jax.core import errors

# SAMM's frames have 2.2 megapixels. A few kilobytes can claim to be gigabytes,
# and every core decodes a frame of its own: 100 MB each at this size.
_MOST_PIXELS = 4096 * 4096
# A bitmap with four channels of that size has less.
_MOST_BYTES = 72_000_000
# A crop smaller than this shows no face.
_LEAST_PIXELS = 16

# OpenCV 5 writes to stderr what `decode` reports as an error.
if hasattr(cv2, 'setLogLevel'):
  cv2.setLogLevel(0)


def read(path: str | os.PathLike[str]) -> bytes:
  """The content of an image file.

  Raises:
    OSError: it cannot be read.
    ValueError: it is larger than any image that `decode` takes.
  """
  with open(path, 'rb') as file:
    data = file.read(_MOST_BYTES + 1)
  if len(data) > _MOST_BYTES:
    raise ValueError(
      f'has more than {_MOST_BYTES // 1_000_000} MB, which is no frame'
    )
  return data


def decode(encoded: bytes) -> UInt8[np.ndarray, 'height width 3']:
  """Decodes the bytes of a JPEG, PNG or BMP file.

  Args:
    encoded: the content of the file.

  Returns:
    RGB image, uint8, 0..255; a grey image has three equal channels.

  Raises:
    ValueError: empty, truncated, damaged, of another kind, or larger than 16
      megapixels.
  """
  if not encoded:
    raise ValueError('is empty (0 bytes)')
  height, width = _size(encoded)
  if not 0 < height * width <= _MOST_PIXELS:
    raise ValueError(
      f'claims {width} x {height} pixels; at most '
      f'{_MOST_PIXELS // 1_000_000} megapixels are read'
    )
  try:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
  except cv2.error as error:
    raise ValueError('is damaged') from error
  if image is None:
    raise ValueError('is damaged')
  return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def load(source: bytes | str) -> UInt8[np.ndarray, 'height width 3']:
  """Decodes a record's image, given as the bytes of its file or as its path.

  Raises:
    OSError: the file cannot be read.
    ValueError: as `decode`.
  """
  return decode(source if isinstance(source, bytes) else read(source))


def fit(
  image: UInt8[np.ndarray, 'height width channel'],
  crop: Sequence[float],
  size: int,
) -> UInt8[np.ndarray, 'size size channel']:
  """Cuts a frame and resizes what is left to a square.

  Args:
    image: 0..255.
    crop: (top, left, bottom, right), shares of the frame, 0..1.
    size: side of the result, in pixels.

  Returns:
    The resized crop; averaged over areas where it is larger than `size`.

  Raises:
    errors.UserError: the crop leaves too few pixels to show a face.
  """
  height, width = image.shape[:2]
  top, left, bottom, right = crop
  image = image[
    round(top * height) : round(bottom * height),
    round(left * width) : round(right * width),
  ]
  if min(image.shape[:2]) < _LEAST_PIXELS:
    raise errors.UserError(
      f'--config.data.crop={crop} leaves {image.shape[1]} x {image.shape[0]}'
      f' pixels of a frame of {width} x {height}; at least {_LEAST_PIXELS} a'
      ' side are needed.'
    )
  if image.shape[:2] == (size, size):
    return image
  # Averages over areas where the frame is larger: no aliasing.
  larger = min(image.shape[:2]) >= size
  interpolation = cv2.INTER_AREA if larger else cv2.INTER_LINEAR
  return cv2.resize(image, (size, size), interpolation=interpolation)


def _size(data: bytes) -> tuple[int, int]:
  """Height and width by the header; the end must be there, too.

  OpenCV 4 fills up a truncated JPEG with grey instead of refusing it.
  """
  try:
    if data.startswith(b'\x89PNG\r\n\x1a\n'):
      width, height = struct.unpack_from('>II', data, 16)
      complete = b'IEND' in data[-64:]
    elif data.startswith(b'BM'):
      width, height = struct.unpack_from('<ii', data, 18)
      # A negative height says that the rows run from top to bottom.
      height = abs(height)
      complete = True
    elif data.startswith(b'\xff\xd8'):
      height, width = _jpeg_size(data)
      # Neither marker can occur inside the compressed rows.
      complete = data.rfind(b'\xff\xd9') > data.rfind(b'\xff\xda') > 0
    else:
      raise ValueError('is not a JPEG, PNG or BMP image')
  except struct.error:
    complete = False
  if not complete:
    raise ValueError('is truncated')
  return height, width


def _jpeg_size(data: bytes) -> tuple[int, int]:
  """Height and width in the first start-of-frame segment (ITU T.81, B.2)."""
  position = 2
  while True:
    marker, length = struct.unpack_from('>HH', data, position)
    if marker == 0xFFFF:  # Fill byte.
      position += 1
    # 0xC4, 0xC8 and 0xCC, in the same range, are tables and an extension.
    elif 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):
      return struct.unpack_from('>HH', data, position + 5)
    elif marker < 0xFF01 or length < 2:
      raise ValueError('is damaged')
    else:
      position += 2 + length
