"""Checks on decoded frames: black, flat, still or of several sizes.

Frames are decoded once, when a data set is prepared or checked; a `Witness`
is shown each of them then.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import pathlib
from typing import Any

from jaxtyping import UInt8
import numpy as np

from dianet_jax.clips import images

# Checking a grid of about this many pixels a side takes a tenth of the time of
# decoding.
_GRID = 128
# Bounds of black and white after JPEG compression.
_DARK, _BRIGHT = 16, 250
# Largest range of values in a frame of one colour, after JPEG compression.
_FLAT = 8
_MOST_LISTED = 10


@dataclasses.dataclass(frozen=True)
class Look:
  """Properties of one decoded frame.

  Attributes:
    path: its file.
    digest: hash of its pixels on a grid; frames with different digests differ.
    dark: whether it is black.
    bright: whether more than half of it is white.
    flat: whether it has a single colour.
    still: whether every pixel equals that of the frame shown before it.
  """

  path: pathlib.Path
  digest: bytes
  dark: bool
  bright: bool
  flat: bool
  still: bool


class Witness:
  """Collects properties of the frames of one clip, shown in order.

  Attributes:
    headers: path -> header of each file.
    looks: path -> properties of each decoded frame.
  """

  def __init__(self):
    self.headers: dict[pathlib.Path, images.Header] = {}
    self.looks: dict[pathlib.Path, Look] = {}
    self._before: tuple[bytes, np.ndarray] | None = None

  def see_header(self, path: pathlib.Path, header: images.Header) -> None:
    """Adds a file of which only the header was read."""
    self.headers[path] = header

  def see(
    self,
    path: pathlib.Path,
    header: images.Header,
    image: UInt8[np.ndarray, 'height width 3'],
  ) -> None:
    """Adds a decoded RGB frame, 0..255."""
    self.headers[path] = header
    step = max(1, max(image.shape[:2]) // _GRID)
    grid = np.ascontiguousarray(image[::step, ::step])
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(grid)
    digest = digest.digest()
    still = False
    if self._before and self._before[0] == digest:
      still = np.array_equal(self._before[1], image)
    self._before = digest, image
    self.looks[path] = Look(
      path,
      digest,
      dark=int(grid.max()) < _DARK,
      bright=bool((grid > _BRIGHT).mean() > 0.5),
      flat=int(np.ptp(grid, axis=(0, 1)).max()) < _FLAT,
      still=still,
    )

  def forget_frame(self) -> None:
    """Frees the memory of the last frame; call it after the last one."""
    self._before = None


@dataclasses.dataclass(frozen=True)
class Finding:
  """An oddity in the pixels of some clips.

  Attributes:
    what: the oddity; completes 'clips with ...'.
    clips: clip id -> where, or how much.
    harmful: whether a network cannot learn from such clips.
  """

  what: str
  clips: Mapping[str, str]
  harmful: bool = True

  def text(self, total: int) -> str:
    """A sentence; `total` is the number of clips that were checked."""
    listed = [f'{name} ({how})' for name, how in self.clips.items()]
    more = len(listed) - _MOST_LISTED
    return (
      f'{len(listed)} of {total} clips with {self.what}: '
      + ', '.join(listed[:_MOST_LISTED])
      + (f' and {more} more' if more > 0 else '')
    )


def find_odd(
  records: Sequence[Mapping[str, Any]],
  witnesses: Sequence[Witness],
  phases: bool,
) -> list[Finding]:
  """Finds clips with oddities in their pixels.

  Args:
    records: records with `clip_id` and, if there are phases, `frames` and the
      indices of the key frames.
    witnesses: one for each record.
    phases: whether the records hold frames and key frames, so that each phase
      must have motion; otherwise they hold images.

  Returns:
    One finding for each oddity that occurs.
  """
  found: dict[tuple[str, bool], dict[str, str]] = {
    ('black frames', True): {},
    ('frames of one colour', True): {},
    ('frames that are half white', True): {},
    ('frames of several sizes', True): {},
    ('a phase without motion', True): {},
    ('frames rotated as their EXIF orientation says', False): {},
  }
  for record, witness in zip(records, witnesses, strict=True):
    looks, headers = witness.looks.values(), witness.headers.values()
    sizes = [header.size for header in headers]
    turned = sum(header.orientation != 1 for header in headers)
    details = [
      _share(sum(look.dark for look in looks), len(looks)),
      _share(sum(look.flat and not look.dark for look in looks), len(looks)),
      _share(sum(look.bright and not look.flat for look in looks), len(looks)),
      _list_sizes(sizes),
      ' and '.join(_still_phases(record, witness)) if phases else '',
      _share(turned, len(sizes)),
    ]
    for clips, detail in zip(found.values(), details, strict=True):
      if detail:
        clips[record['clip_id']] = detail
  return [
    Finding(what, clips, harmful)
    for (what, harmful), clips in found.items()
    if clips
  ]


def _share(number: int, total: int) -> str:
  return f'{number} of {total}' if number else ''


def _list_sizes(sizes: Sequence[tuple[int, int]]) -> str:
  """'32 x 24 and 30 x 64', width first; '' where there is only one."""
  different = dict.fromkeys(sizes)
  if len(different) < 2:
    return ''
  return ' and '.join(f'{width} x {height}' for height, width in different)


def _still_phases(record: Mapping[str, Any], witness: Witness) -> list[str]:
  """The phases whose decoded frames are all equal."""
  paths = [pathlib.Path(path) for path in record['frames']]
  looks = [witness.looks.get(path) for path in paths]
  names = ('onset', 'apex', 'offset')
  still = []
  for first, last in zip(names, names[1:], strict=False):
    after = looks[record[first] + 1 : record[last] + 1]
    seen = [look for look in after if look]
    if seen and all(look.still for look in seen):
      still.append(f'{first} to {last}')
  return still
