"""Finds frames on disk and numbers them."""

from collections.abc import Iterable
import dataclasses
import os
import pathlib
import re

from dianet_jax.core import errors

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')


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
