"""Finds what may be a missing clip's folder under another name, for messages.

None of it is read: only the user knows whether it is the clip.
"""

from collections.abc import Sequence
import pathlib
import re

from tfds_builders import annotations, frames

_VIDEO_SUFFIXES = ('.avi', '.mp4', '.mov', '.mkv', '.wmv', '.mpg', '.mpeg')
_FORMATS = 'JPEG, PNG or BMP'
_MOST_LISTED = 2


class NearMisses:
  """Folders and videos of a raw folder, found by similar names."""

  def __init__(self, root: pathlib.Path, folders: Sequence[frames.Folder]):
    """Indexes the folders.

    Args:
      root: the raw folder.
      folders: all folders at and below it.
    """
    self._root = root
    self._folders: dict[str, list[frames.Folder]] = {}
    self._below: dict[pathlib.Path, list[frames.Folder]] = {}
    self._videos: dict[str, list[pathlib.Path]] = {}
    self._unreadable = [folder for folder in folders if folder.problem]
    for folder in folders:
      self._folders.setdefault(_squeeze(folder.path.name), []).append(folder)
      self._below.setdefault(folder.path.parent, []).append(folder)
      for name in folder.file_names:
        if name.casefold().endswith(_VIDEO_SUFFIXES):
          key = _squeeze(name.rsplit('.', 1)[0])
          self._videos.setdefault(key, []).append(folder.path / name)

  def describe(self, clip: str, subject: int | None) -> str:
    """Describes what was found instead of the folder of a clip; '' if nothing.

    Args:
      clip: the clip's name.
      subject: number of the subject below whose folder it must be; None for
        any.
    """
    found = [
      text
      for folder in self._folders.get(_squeeze(clip), [])
      if self._is_of(folder.path.parent, subject)
      for text in [self._describe_folder(folder)]
    ]
    found += [
      f'there is the video {path.relative_to(self._root)}: extract its frames '
      f'as {_FORMATS} into a folder of this name'
      for path in self._videos.get(_squeeze(clip), [])
      if self._is_of(path.parent, subject)
    ]
    found += [
      f'{folder.path.relative_to(self._root)} cannot be read: {folder.problem}'
      for folder in self._unreadable
    ]
    return '; '.join(found[:_MOST_LISTED])

  def _is_of(self, path: pathlib.Path, subject: int | None) -> bool:
    """Whether a folder above belongs to the subject, or may do so."""
    if subject is None:
      return True
    parts = path.relative_to(self._root).parts
    return subject in map(_subject, parts or (self._root.name,))

  def _describe_folder(self, folder: frames.Folder) -> str:
    """Why a folder with a similar name is not the clip's folder."""
    place = str(folder.path.relative_to(self._root))
    if folder.path.name != folder.path.name.strip():
      place = repr(place)
    if folder.problem:
      return f'{place} cannot be read: {folder.problem}'
    if folder.image_names:
      return (
        f'there is {place}: one of the folders in this path has another name '
        'than expected'
      )
    for below in self._below.get(folder.path, []):
      if below.image_names:
        return (
          f'the images lie one folder deeper, in '
          f'{below.path.relative_to(self._root)}: move them up'
        )
    if folder.file_names:
      return (
        f'{place} holds no {_FORMATS} images, but {folder.file_names[0]}: '
        'convert what is there'
      )
    return f'{place} is empty'


def _squeeze(name: str) -> str:
  """A name without marks of copies, blanks and punctuation."""
  name = re.sub(r'\(.*?\)|\bcopy( of)?\b|\bkopie\b', '', name.casefold())
  return re.sub(r'[\W_]', '', name)


def _subject(name: str) -> int | None:
  try:
    return annotations.subject_number(re.sub(r'\(.*?\)', '', name))
  except ValueError:
    return None
