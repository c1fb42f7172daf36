"""Finds frames on disk; `clips.frame_names` numbers them."""

import dataclasses
import os
import pathlib
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
# Unicode's characters that change the direction of writing.
_TURNS = {'LRE', 'RLE', 'LRO', 'RLO', 'PDF', 'LRI', 'RLI', 'FSI', 'PDI'}


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
  problem, because it may contain clips.

  Args:
    root: the folder to search.

  Returns:
    All folders, `root` first.

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
