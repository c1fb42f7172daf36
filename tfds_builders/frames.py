"""Finds frames on disk and decodes them."""

from collections.abc import Iterable
import dataclasses
import os
import pathlib
import re
import struct

import cv2
from jaxtyping import UInt8
import numpy as np

from dianet_jax.core import errors

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')
# SAMM's frames have 2.2 megapixels. A few kilobytes can claim to be gigabytes,
# and every core decodes a frame of its own: 100 MB each at this size.
_MOST_PIXELS = 4096 * 4096
# A bitmap with four channels of that size has less.
_MOST_BYTES = 72_000_000

# OpenCV 5 writes to stderr what `decode` reports as an error.
if hasattr(cv2, 'setLogLevel'):
  cv2.setLogLevel(0)


@dataclasses.dataclass(frozen=True)
class Folder:
  """A folder below the root, as reached from it, and its files, sorted."""

  path: pathlib.Path
  file_names: tuple[str, ...]

  @property
  def image_names(self) -> tuple[str, ...]:
    """Names of the images among the files."""
    return tuple(
      name
      for name in self.file_names
      if name.casefold().endswith(IMAGE_SUFFIXES)
    )


def walk(root: pathlib.Path) -> list[Folder]:
  """Lists the folders at and below `root`, the least deep first.

  Links are followed, since large data sets are often linked in from another
  disk. Each real folder is visited once, so circular links end. Hidden files
  and folders are passed over (macOS leaves `._img1.jpg` in its archives).

  Raises:
    errors.UserError: a folder cannot be read.
  """
  folders: list[Folder] = []
  visited: set[str] = set()
  level = [root]
  while level:
    below = []
    for path in level:
      real = os.path.realpath(path)
      if real in visited:
        continue
      visited.add(real)
      try:
        entries = [e for e in os.scandir(path) if not e.name.startswith('.')]
      except OSError as error:
        raise errors.UserError(
          f'The folder {path} cannot be read: {error}.'
        ) from error
      entries.sort(key=lambda entry: (entry.is_symlink(), entry.name))
      kinds = [_kind(entry) for entry in entries]
      named = [(e.name, kind) for e, kind in zip(entries, kinds, strict=True)]
      names = sorted(name for name, kind in named if kind == 'file')
      folders.append(Folder(path, tuple(names)))
      below += [path / name for name, kind in named if kind == 'folder']
    level = below
  return folders


def _kind(entry: os.DirEntry[str]) -> str:
  """'file', 'folder', or '' for devices, pipes and links that lead nowhere."""
  try:
    return 'file' if entry.is_file() else 'folder' if entry.is_dir() else ''
  except OSError:
    # A link to itself; Python answers for other broken links.
    return ''


def frame_number(file_name: str) -> int | None:
  """The last run of digits before the suffix: 46 for 'reg_img46.jpg'."""
  runs = re.findall('[0-9]+', file_name.rsplit('.', 1)[0])
  return int(runs[-1]) if runs else None


def number_frames(file_names: Iterable[str]) -> dict[int, str]:
  """Frame number -> file name, in ascending order of the numbers.

  Of two files with the same number the first by name is kept; files without a
  number are no frames.
  """
  numbered: dict[int, str] = {}
  for name in sorted(file_names):
    number = frame_number(name)
    if number is not None:
      numbered.setdefault(number, name)
  return dict(sorted(numbered.items()))


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


def decode(data: bytes) -> UInt8[np.ndarray, 'height width 3']:
  """Decodes the bytes of a JPEG, PNG or BMP file.

  Args:
    data: the content of the file.

  Returns:
    RGB image, uint8, 0..255; a grey image has three equal channels.

  Raises:
    ValueError: empty, truncated, damaged, of another kind, or larger than 16
      megapixels.
  """
  if not data:
    raise ValueError('is empty (0 bytes)')
  height, width = _size(data)
  if not 0 < height * width <= _MOST_PIXELS:
    raise ValueError(
      f'claims {width} x {height} pixels; at most '
      f'{_MOST_PIXELS // 1_000_000} megapixels are read'
    )
  try:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
  except cv2.error as error:
    raise ValueError('is damaged') from error
  if image is None:
    raise ValueError('is damaged')
  return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


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
