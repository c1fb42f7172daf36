"""Finds frames on disk and numbers them."""

from collections.abc import Iterable
import dataclasses
import os
import pathlib
import re
import unicodedata

from dianet_jax.clips import images
from dianet_jax.core import errors

# Folders that operating systems and archive programs make, often unreadable.
_SYSTEM_FOLDERS = {
  'lost+found', 'system volume information', '$recycle.bin', 'recycler',
  '__macosx', '@eadir', '#recycle', '#snapshot',
}  # fmt: skip
# A file of macOS that holds the icon of its folder.
_ICON = 'Icon\r'
# Marks that file managers and browsers add to the name of a copy.
_COPY = re.compile(
  r'\([0-9#]+\)|\bcopy\b|\bkopie\b|\bcopia\b|\bcopie\b|副本|\b(?:old|backup|bak)\b'
)
# Unicode's characters that change the direction of writing.
_TURNS = {'LRE', 'RLE', 'LRO', 'RLO', 'PDF', 'LRI', 'RLI', 'FSI', 'PDI'}
_MOST_DIGITS = 18
# If another series of files is larger than this fraction of the largest, it is
# unclear which one is the clip.
_RIVAL_SHARE = 0.5
_MOST_LISTED = 3


@dataclasses.dataclass(frozen=True)
class Folder:
  """A folder at or below the root, and its files.

  Attributes:
    path: the folder, as reached from the root.
    file_names: sorted.
    problem: why its content cannot be read; '' if it can.
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
  """Lists the folders at and below `root`, the shallowest first.

  Links are followed, because large data sets are often linked from another
  disk. Each real folder is visited once, so circular links end. Hidden files
  and folders are skipped (archives of macOS contain `._img1.jpg`), and so are
  folders of operating systems. A folder that cannot be read is listed with its
  problem, because it may hold clips.

  Raises:
    errors.UserError: `root` cannot be read, or a name in it contains control
      characters, which could forge printed text.
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
  """A folder, and the names of the folders in it."""
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
        f'{path} holds the name {entry.name!r}, with control characters, which '
        'would garble what is printed. Rename it.'
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
  """Whether it moves the cursor, or changes the direction of writing.

  Bytes that are not UTF-8 are allowed: names on old disks have them.
  """
  return (
    unicodedata.category(character) in ('Cc', 'Zl', 'Zp')
    or unicodedata.bidirectional(character) in _TURNS
  )


def _kind(entry: os.DirEntry[str]) -> str:
  """'file', 'folder', or '' for devices, pipes and broken links."""
  try:
    return 'file' if entry.is_file() else 'folder' if entry.is_dir() else ''
  except OSError:
    # A link to itself; for other broken links nothing raises.
    return ''


def is_copy(name: str) -> bool:
  """Whether a file is named like a copy.

  >>> is_copy('a (1).xlsx'), is_copy('a.xlsx')
  (True, False)
  """
  return bool(_COPY.search(name.casefold().replace('_', ' ')))


def frame_number(file_name: str) -> int | None:
  """The last digits before the suffix; None if there are none.

  >>> frame_number('reg_img46.jpg')
  46
  """
  series = _series(file_name)
  return series[1] if series else None


def _series(file_name: str) -> tuple[str, int] | None:
  """The name without its number, which all frames of a clip share; the number.

  ('reg_img#', 46) for 'reg_img46.jpg'; None for a name without digits.
  """
  stem = file_name.rsplit('.', 1)[0]
  match = re.fullmatch('(.*?)([0-9]+)([^0-9]*)', stem, re.DOTALL)
  if not match:
    return None
  return f'{match[1]}#{match[3]}'.casefold(), int(match[2])


def number_frames(file_names: Iterable[str]) -> dict[int, str]:
  """Frame number -> file name, in ascending order of the numbers.

  The names of a clip's frames differ only in the number. Of several series of
  names in a folder the largest is the clip; the other files, such as copies and
  previews, are not frames. Of two files with the same number, the one with the
  more frequent suffix is kept, then the first by name.

  >>> number_frames(['img2.jpg', 'img10.jpg', 'preview.jpg'])
  {2: 'img2.jpg', 10: 'img10.jpg'}

  Raises:
    ValueError: there are two series of similar size, or a number has more than
      18 digits.
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
    counts = [f'{len(series[p])} named {p!r}' for p in (clip, *rivals)]
    raise ValueError(
      f'holds several series of images: {", ".join(counts[:_MOST_LISTED])}. '
      'Keep the frames of the clip there and move the others out'
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
      'time stamp, is not a frame number. Rename the frames to 1, 2, 3, ... in '
      'their order'
    )
  return frames
