"""Finds frames on disk and numbers them."""

from collections.abc import Iterable
import dataclasses
import os
import pathlib
import re
import unicodedata

from dianet_jax.clips import images
from dianet_jax.core import errors

# What operating systems and archive programs leave, often unreadable.
_SYSTEM_FOLDERS = {
  'lost+found', 'system volume information', '$recycle.bin', 'recycler',
  '__macosx', '@eadir', '#recycle', '#snapshot',
}  # fmt: skip
# Of macOS, for the picture of a folder.
_ICON = 'Icon\r'
# How file managers and browsers call a second copy.
_COPY = re.compile(
  r'\([0-9#]+\)|\bcopy\b|\bkopie\b|\bcopia\b|\bcopie\b|副本|\b(?:old|backup|bak)\b'
)
# Unicode's characters that turn the direction of writing.
_TURNS = {'LRE', 'RLE', 'LRO', 'RLO', 'PDF', 'LRI', 'RLI', 'FSI', 'PDI'}
_MOST_DIGITS = 18
# Of another series of files than the largest: with more, nobody knows which is
# the clip.
_RIVAL_SHARE = 0.5
_MOST_LISTED = 3


@dataclasses.dataclass(frozen=True)
class Folder:
  """A folder below the root, as reached from it, and its files, sorted.

  Attributes:
    path: of the folder.
    file_names: sorted.
    problem: why its content cannot be read; '' where it can.
  """

  path: pathlib.Path
  file_names: tuple[str, ...]
  problem: str = ''

  @property
  def image_names(self) -> tuple[str, ...]:
    """Names of the images among the files."""
    return tuple(
      name
      for name in self.file_names
      if name.casefold().endswith(images.SUFFIXES)
    )


def walk(root: pathlib.Path) -> list[Folder]:
  """Lists the folders at and below `root`, the least deep first.

  Links are followed, since large data sets are often linked in from another
  disk. Each real folder is visited once, so circular links end. Hidden files
  and folders are passed over (macOS leaves `._img1.jpg` in its archives), and
  so are the folders of operating systems. A folder that cannot be read is
  listed with its problem: it may hold clips.

  Raises:
    errors.UserError: `root` cannot be read, or a name in it holds characters
      that would forge what is printed.
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
      folder, names = _list_folder(path)
      folders.append(folder)
      below += [path / name for name in names]
    level = below
  if folders[0].problem:
    raise errors.UserError(
      f'The folder {root} cannot be read: {folders[0].problem}.'
    )
  return folders


def _list_folder(path: pathlib.Path) -> tuple[Folder, list[str]]:
  """A folder, and the names of those in it."""
  try:
    entries = [entry for entry in os.scandir(path) if _counts(entry.name)]
  except OSError as error:
    return Folder(path, (), error.strerror), []
  if not os.access(path, os.X_OK):
    return Folder(path, (), 'Permission denied to open what is in it'), []
  entries.sort(key=lambda entry: (entry.is_symlink(), entry.name))
  for entry in entries:
    if any(map(_is_control, entry.name)):
      raise errors.UserError(
        f'{path} holds the name {entry.name!r}, with characters that are no '
        'letters and would spoil what is printed. Rename it.'
      )
  kinds = [_kind(entry) for entry in entries]
  named = [(e.name, kind) for e, kind in zip(entries, kinds, strict=True)]
  files = sorted(name for name, kind in named if kind == 'file')
  return Folder(path, tuple(files)), [
    n for n, kind in named if kind == 'folder'
  ]


def _counts(name: str) -> bool:
  hidden = name.startswith('.') or name == _ICON
  return not hidden and name.casefold() not in _SYSTEM_FOLDERS


def _is_control(character: str) -> bool:
  """Whether it moves the cursor, or turns the direction of writing.

  Bytes that are not UTF-8 are no such characters: old disks have them.
  """
  return (
    unicodedata.category(character) in ('Cc', 'Zl', 'Zp')
    or unicodedata.bidirectional(character) in _TURNS
  )


def _kind(entry: os.DirEntry[str]) -> str:
  """'file', 'folder', or '' for devices, pipes and links that lead nowhere."""
  try:
    return 'file' if entry.is_file() else 'folder' if entry.is_dir() else ''
  except OSError:
    # A link to itself; Python answers for other broken links.
    return ''


def is_copy(name: str) -> bool:
  """Whether a file is called like a second copy, such as 'a (1).xlsx'."""
  return bool(_COPY.search(name.casefold().replace('_', ' ')))


def frame_number(file_name: str) -> int | None:
  """The last run of digits before the suffix: 46 for 'reg_img46.jpg'."""
  series = _series(file_name)
  return series[1] if series else None


def _series(file_name: str) -> tuple[str, int] | None:
  """What a file's name has in common with those of its clip, and its number.

  ('reg_img#', 46) for 'reg_img46.jpg'; None for a name without digits.
  """
  stem = file_name.rsplit('.', 1)[0]
  match = re.fullmatch('(.*?)([0-9]+)([^0-9]*)', stem, re.DOTALL)
  if not match:
    return None
  return f'{match[1]}#{match[3]}'.casefold(), int(match[2])


def number_frames(file_names: Iterable[str]) -> dict[int, str]:
  """Frame number -> file name, in ascending order of the numbers.

  The frames of a clip are called alike but for the number. Of several series
  of names in one folder the largest is the clip; the other files, such as
  copies and previews, are no frames. Of two files with the same number the
  one of the commoner suffix is kept, then the first by name.

  Raises:
    ValueError: there are two series of about the same size, or the numbers
      have more digits than any frame's.
  """
  names = sorted(file_names)
  series: dict[str, list[tuple[int, str]]] = {}
  for name in names:
    if found := _series(name):
      series.setdefault(found[0], []).append((found[1], name))
  if not series:
    return {}
  # A series of copies may be as large as that of the originals.
  order = sorted(series, key=lambda p: (-len(series[p]), is_copy(p), p))
  clip, *others = order
  rivals = [
    other
    for other in others
    if not is_copy(other)
    and len(series[other]) > max(1, _RIVAL_SHARE * len(series[clip]))
  ]
  if rivals:
    counts = [f'{len(series[p])} called {p!r}' for p in (clip, *rivals)]
    raise ValueError(
      f'holds several series of images: {", ".join(counts[:_MOST_LISTED])}. '
      'Leave the frames of the clip there and move the others out'
    )
  suffixes = [name.rsplit('.', 1)[-1].casefold() for _, name in series[clip]]
  frames: dict[int, str] = {}
  for number, name in sorted(
    series[clip],
    key=lambda f: -suffixes.count(f[1].rsplit('.', 1)[-1].casefold()),
  ):
    frames.setdefault(number, name)
  frames = dict(sorted(frames.items()))
  if frames and len(str(max(frames))) > _MOST_DIGITS:
    name = frames[max(frames)]
    raise ValueError(
      f'holds {name}: a number of more than {_MOST_DIGITS} digits, such as a '
      'time stamp, numbers no frame. Rename the frames to 1, 2, 3, ... in '
      'their order'
    )
  return frames
