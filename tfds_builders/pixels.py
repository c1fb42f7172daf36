"""What decoded frames look like: what a clip's files do not say by their names.

Frames are decoded once, when a data set is prepared or checked; a `Witness`
looks at them then.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import pathlib
from typing import Any

from jaxtyping import UInt8
import numpy as np

from dianet_jax.clips import images

# Looking at a grid of about this many pixels a side costs a tenth of decoding.
_GRID = 128
# JPEG leaves black and white within this of 0 and 255.
_DARK, _BRIGHT = 16, 250
# A frame of one colour, but for what JPEG adds.
_FLAT = 8
_MOST_LISTED = 10


@dataclasses.dataclass(frozen=True)
class Look:
  """What one decoded frame looks like.

  Attributes:
    path: of its file.
    digest: of its pixels on a grid: frames that differ in it differ.
    dark: whether it is black.
    bright: whether more than half of it is white.
    flat: whether it is of one colour, and shows nothing.
    still: whether every pixel is as in the frame looked at before it.
  """

  path: pathlib.Path
  digest: bytes
  dark: bool
  bright: bool
  flat: bool
  still: bool


class Witness:
  """Looks at the frames of one clip, in their order.

  Attributes:
    headers: of the files seen, by path.
    looks: of the frames that were decoded, by path.
  """

  def __init__(self):
    self.headers: dict[pathlib.Path, images.Header] = {}
    self.looks: dict[pathlib.Path, Look] = {}
    self._before: tuple[bytes, np.ndarray] | None = None

  def see_header(self, path: pathlib.Path, header: images.Header) -> None:
    """Takes in a file of which only the header was read."""
    self.headers[path] = header

  def see(
    self,
    path: pathlib.Path,
    header: images.Header,
    image: UInt8[np.ndarray, 'height width 3'],
  ) -> None:
    """Takes in a decoded frame, 0..255."""
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
    """Lets go of the last frame; call it after the last one."""
    self._before = None


@dataclasses.dataclass(frozen=True)
class Finding:
  """Something odd about the pixels of some clips.

  Attributes:
    what: completes 'clips with ...'.
    clips: clip id -> where or how much.
    harmful: whether a network cannot learn from such clips.
  """

  what: str
  clips: Mapping[str, str]
  harmful: bool = True

  def text(self, total: int) -> str:
    """A sentence, with the number of clips that were looked at."""
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
  """What is odd about the pixels of some clips, and in which.

  Args:
    records: with `clip_id` and, where there are phases, `frames` and the
      indices of the key frames.
    witnesses: of each clip.
    phases: whether the records hold frames with key frames, so that there must
      be motion in each phase; else they hold images.
  """
  found: dict[tuple[str, bool], dict[str, str]] = {
    ('black frames', True): {},
    ('frames of one colour', True): {},
    ('frames that are half white', True): {},
    ('frames of several sizes', True): {},
    ('a phase without motion', True): {},
    ('frames turned as their EXIF orientation says', False): {},
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
  """The phases whose frames, as far as looked at, are all the same."""
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
