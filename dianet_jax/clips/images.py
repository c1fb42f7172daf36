"""Image files -> frames: reading, decoding, cropping to one size."""

from collections.abc import Sequence
import dataclasses
import os
import struct

import cv2
from jaxtyping import Float, Float32, UInt8
import numpy as np

from dianet_jax.core import errors

# Suffixes of frames, in lower case.
SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')
# SAMM's frames have 2.2 megapixels. The limit protects against headers that
# claim gigabytes: every core decodes a frame, of 100 MB at this size.
_MOST_PIXELS = 4096 * 4096
# A bitmap with four channels of that size is smaller.
_MOST_BYTES = 72_000_000
# A crop smaller than this shows no face.
_LEAST_PIXELS = 16

# Nearly every header is within these bytes; a thumbnail may precede the size.
_HEADER_BYTES = 4096
_ORIENTATION_TAG = 0x0112

# Otherwise OpenCV also writes errors that `decode` reports to stderr.
cv2.utils.logging.setLogLevel(0)


@dataclasses.dataclass(frozen=True)
class Header:
  """The size and orientation in the header of an image file.

  Attributes:
    height: in pixels, as stored.
    width: in pixels, as stored.
    orientation: 1..8 as in EXIF: how `decode` rotates and mirrors the pixels; 1
      does not change them.
  """

  height: int
  width: int
  orientation: int = 1

  @property
  def size(self) -> tuple[int, int]:
    """Height and width of the decoded image."""
    # Orientations from 5 on exchange rows and columns.
    if self.orientation >= 5:
      return self.width, self.height
    return self.height, self.width


def read(path: str | os.PathLike[str]) -> bytes:
  """Reads the bytes of an image file.

  Args:
    path: of the file.

  Raises:
    OSError: the file cannot be read.
    ValueError: the file is larger than any image that `decode` accepts.
  """
  with open(path, 'rb') as file:
    data = file.read(_MOST_BYTES + 1)
  if len(data) > _MOST_BYTES:
    raise ValueError(
      f'has more than {_MOST_BYTES // 1_000_000} MB, which is no frame'
    )
  return data


def read_header(path: str | os.PathLike[str]) -> Header:
  """Reads only the header of an image file.

  Args:
    path: of the file.

  Raises:
    OSError: the file cannot be read.
    ValueError: see `header`.
  """
  with open(path, 'rb') as file:
    start = file.read(_HEADER_BYTES)
    try:
      return header(start)
    except ValueError:
      if len(start) < _HEADER_BYTES:
        raise
      return header(start + file.read(_MOST_BYTES))


def header(encoded: bytes) -> Header:
  """Reads the header of a JPEG, PNG or BMP file.

  Args:
    encoded: the content of the file, or its beginning.

  Raises:
    ValueError: the file is empty, truncated, damaged or of another kind; larger
      than 16 megapixels; or does not have 8 bits per channel, because
      the scale of other values is unknown.
  """
  if not encoded:
    raise ValueError('is empty (0 bytes)')
  try:
    for signature, read_kind in _KINDS.items():
      if encoded.startswith(signature):
        found, bits = read_kind(encoded)
        break
    else:
      raise ValueError('is not a JPEG, PNG or BMP image')
  except struct.error as error:
    raise ValueError('is truncated') from error
  if not 0 < found.height * found.width <= _MOST_PIXELS:
    raise ValueError(
      f'claims {found.height} x {found.width} pixels; at most '
      f'{_MOST_PIXELS // 1_000_000} megapixels are read'
    )
  if bits != 8:
    raise ValueError(
      f'has {bits} bits per channel, but only 8 are supported, because no file '
      'states which of its bits are used. Convert all frames to 8 bits by the '
      'same factor'
    )
  return found


def decode(encoded: bytes) -> UInt8[np.ndarray, 'height width 3']:
  """Decodes the bytes of a JPEG, PNG or BMP file.

  Args:
    encoded: the content of the file.

  Returns:
    RGB image, uint8, 0..255, rotated by its EXIF orientation; a grey image has
    three equal channels.

  Raises:
    ValueError: see `header`; or the rest is truncated or damaged.
  """
  header(encoded)
  if not _is_complete(encoded):
    raise ValueError('is truncated')
  try:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
  except cv2.error as error:
    raise ValueError('is damaged') from error
  if image is None:
    raise ValueError('is damaged')
  return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def load(source: bytes | str) -> UInt8[np.ndarray, 'height width 3']:
  """Decodes an image of a record.

  Args:
    source: content or path of the image file.

  Returns:
    RGB, 0..255.

  Raises:
    OSError: the file cannot be read.
    ValueError: see `decode`.
  """
  return decode(source if isinstance(source, bytes) else read(source))


def fit(
  image: UInt8[np.ndarray, 'height width channel'],
  crop: Sequence[float],
  size: int,
) -> UInt8[np.ndarray, 'size size *channel']:
  """Crops a frame and resizes the crop to a square.

  Args:
    image: 0..255.
    crop: (top, left, bottom, right), fractions of the frame, 0..1.
    size: side of the result, in pixels.

  Returns:
    The resized crop, averaged over areas if it is larger than `size`.

  Raises:
    UserError: the crop has too few pixels to show a face.
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
      f' pixels of a frame of {width} x {height}; at least {_LEAST_PIXELS} per'
      ' side are needed.'
    )
  if image.shape[:2] == (size, size):
    return image
  # Averages over areas if the frame is larger, to avoid aliasing.
  larger = min(image.shape[:2]) >= size
  interpolation = cv2.INTER_AREA if larger else cv2.INTER_LINEAR
  return cv2.resize(image, (size, size), interpolation=interpolation)


def _is_complete(data: bytes) -> bool:
  """Whether a file is not truncated.

  OpenCV 4 fills the rest of a truncated JPEG with grey instead of failing.
  """
  if data.startswith(_PNG):
    return b'IEND' in data[-64:]
  if data.startswith(_JPEG):
    # Neither marker can occur inside the compressed data.
    return data.rfind(b'\xff\xd9') > data.rfind(b'\xff\xda') > 0
  # OpenCV itself detects truncated files of the other kinds.
  return True


def _png_header(data: bytes) -> tuple[Header, int]:
  """Header and bits a channel (PNG specification, 11.2.2 and 11.3.4.5)."""
  width, height, bits, colours = struct.unpack_from('>IIBB', data, 16)
  position, orientation = 8, 1
  while position + 8 <= len(data):
    (length,) = struct.unpack_from('>I', data, position)
    if data[position + 4 : position + 8] == b'eXIf':
      orientation = _orientation(data[position + 8 : position + 8 + length])
    position += 12 + length
  # A palette has 8 bits, whatever the size of its indices.
  return Header(height, width, orientation), 8 if colours == 3 else bits


def _bmp_header(data: bytes) -> tuple[Header, int]:
  """Header and bits a channel."""
  (size,) = struct.unpack_from('<I', data, 14)
  # The oldest kind has another header.
  form, depth_at = ('<HH', 24) if size == 12 else ('<ii', 28)
  width, height = struct.unpack_from(form, data, 18)
  (depth,) = struct.unpack_from('<H', data, depth_at)
  # A negative height means that rows go from top to bottom. With 16 bits per
  # pixel, a channel has 5.
  return Header(abs(height), width), 5 if depth == 16 else 8


def _jpeg_header(data: bytes) -> tuple[Header, int]:
  """Header and bits a channel, up to the first frame (ITU T.81, B.2)."""
  position, orientation = 2, 1
  while True:
    marker, length = struct.unpack_from('>HH', data, position)
    if marker == 0xFFFF:  # Fill byte.
      position += 1
      continue
    # 0xC4, 0xC8 and 0xCC, in the same range, are tables and an extension.
    if 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):
      bits, height, width = struct.unpack_from('>BHH', data, position + 4)
      return Header(height, width, orientation), bits
    if marker < 0xFF01 or length < 2:
      raise ValueError('is damaged')
    content = data[position + 4 : position + 2 + length]
    if marker == 0xFFE1 and content.startswith(b'Exif\0\0'):
      orientation = _orientation(content[6:])
    position += 2 + length


def _orientation(exif: bytes) -> int:
  """The orientation in a block of EXIF data; 1 if it has none."""
  order = '>' if exif.startswith(b'MM') else '<'
  try:
    (start,) = struct.unpack_from(f'{order}I', exif, 4)
    (entries,) = struct.unpack_from(f'{order}H', exif, start)
    for index in range(entries):
      entry = start + 2 + 12 * index
      tag, _, _, value = struct.unpack_from(f'{order}HHIH', exif, entry)
      if tag == _ORIENTATION_TAG:
        return value if 1 <= value <= 8 else 1
  except struct.error:
    pass  # Damaged EXIF data: viewers do not rotate the image either.
  return 1


_PNG, _JPEG = b'\x89PNG\r\n\x1a\n', b'\xff\xd8'
_KINDS = {_PNG: _png_header, b'BM': _bmp_header, _JPEG: _jpeg_header}


def moved(
  image: Float32[np.ndarray, 'height width'], pose: Float[np.ndarray, ' number']
) -> Float32[np.ndarray, 'height width']:
  """Moves an image as by a head motion; border pixels are repeated.

  Args:
    image: grey levels.
    pose: shift to the right and down, in pixels; rotation about the centre, in
      radians; and optionally growth: 0.01 is one percent.
  """
  height, width = image.shape
  x, y, angle, *rest = pose
  growth = 1 + (rest[0] if rest else 0.0)
  cosine, sine = growth * np.cos(angle), growth * np.sin(angle)
  turn = np.array([[cosine, -sine], [sine, cosine]])
  centre = np.array([(width - 1) / 2, (height - 1) / 2])
  shift = centre - turn @ centre + np.array([x, y])
  return cv2.warpAffine(
    image,
    np.column_stack([turn, shift]),
    (width, height),
    flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
    borderMode=cv2.BORDER_REPLICATE,
  )
