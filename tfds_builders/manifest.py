"""Detects damage to cached folders, so that they can be made again.

A cached folder (prepared records, a simulated data set) holds a manifest with
sizes, times and checksums of its files. A folder that differs from its manifest
is renamed, and made again by the code that made it.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import stat
import tempfile
from typing import Any

from dianet_jax.core import errors, progress

NAME = 'MANIFEST.json'
# This much is read at every start, the smallest files first: a tenth of a
# second. The other files are judged by their sizes and times.
_READ_BYTES = 128 * 2**20
# No manifest is longer, but another file in its place may be.
_MOST_BYTES = 64 * 2**20
# Number of damaged copies of a folder that are kept.
_MOST_SET_ASIDE = 2


def write(folder: pathlib.Path, leave_out: tuple[str, ...] = ()) -> None:
  """Lists the files below a complete folder in its manifest.

  Args:
    folder: the folder to list.
    leave_out: names of files directly in it that are not listed.

  Raises:
    OSError: a file cannot be read, or the manifest cannot be written.
  """
  files = {}
  for path in sorted(folder.rglob('*')):
    name = path.relative_to(folder).as_posix()
    if path.is_file() and name not in (NAME, *leave_out):
      status = path.stat()
      files[name] = {
        'bytes': status.st_size,
        'times': _times(status),
        'sha256': _checksum(path),
      }
  _store(folder, files)


def damage(folder: pathlib.Path, thorough: bool = False) -> str:
  """Compares a folder with its manifest.

  It compares sizes and times of all files, the content of files with other
  times, and the content of the smallest files, 128 MiB in all. If only times
  differ, as in a copy of the folder, the manifest is updated, if possible.

  Args:
    folder: a folder that `write` has listed.
    thorough: whether to compare the content of every file.

  Returns:
    A few words on the first difference, '' if there is none. A missing folder
    differs.

  Raises:
    PermissionError: this user may not read it.
  """
  try:
    files = _load(folder)
  except PermissionError:
    raise
  except (OSError, ValueError) as error:
    return _say(NAME, error)
  moved, unread = False, _READ_BYTES
  for name in sorted(files, key=lambda name: files[name]['bytes']):
    listed = files[name]
    unread -= listed['bytes']
    try:
      times = _check(folder / name, listed, thorough or unread >= 0)
    except PermissionError:
      raise
    except (OSError, ValueError) as error:
      return _say(name, error)
    moved |= times != listed['times']
    listed['times'] = times
  if moved:
    with contextlib.suppress(OSError):
      _store(folder, files)
  return ''


def set_aside(folder: pathlib.Path, why: str, advice: str) -> None:
  """Renames a damaged folder, and tells the user.

  Of copies renamed earlier, only the last one is kept.

  Args:
    folder: the folder that is to be made again; it need not exist.
    why: what is wrong with it, in a few words.
    advice: a sentence on what to do if it cannot be renamed.

  Raises:
    errors.UserError: it cannot be renamed.
  """
  # Hidden, so that a search from a folder above finds no second copy.
  prefix = f'.{folder.name}.damaged-'
  try:
    if not os.path.lexists(folder):
      return
    numbers = sorted(
      int(match[1])
      for name in os.listdir(folder.parent)
      if (match := re.fullmatch(re.escape(prefix) + '([0-9]{1,9})', name))
    )
    number = numbers[-1] + 1 if numbers else 1
    folder.rename(folder.with_name(f'{prefix}{number}'))
  except FileNotFoundError:
    # Another process has just renamed it.
    return
  except OSError as error:
    raise errors.UserError(
      f'{folder} is damaged ({why}) and cannot be replaced: {error}. {advice}'
    ) from error
  for old in numbers[: 1 - _MOST_SET_ASIDE]:
    shutil.rmtree(folder.with_name(f'{prefix}{old}'), ignore_errors=True)
  progress.console.print(
    f'{folder} is damaged ({why}). It is made again; the damaged folder is kept'
    f' as {prefix}{number}.',
    markup=False,
  )


def _load(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
  """The files by name; ValueError if the manifest is not as it was written."""
  path = folder / NAME
  if _status(path).st_size > _MOST_BYTES:
    raise ValueError('is not as it was written')
  checksum, _, text = path.read_bytes().partition(b'\n')
  if checksum != hashlib.sha256(text).hexdigest().encode():
    raise ValueError('is not as it was written')
  return json.loads(text)


def _store(folder: pathlib.Path, files: dict[str, dict[str, Any]]) -> None:
  """Writes the manifest atomically, below its own checksum."""
  text = json.dumps(files, indent=1).encode()
  checksum = hashlib.sha256(text).hexdigest().encode()
  # A name of its own, because several processes may update it at once.
  handle, aside = tempfile.mkstemp(dir=folder, prefix=f'.{NAME}.')
  try:
    with os.fdopen(handle, 'wb') as file:
      file.write(checksum + b'\n' + text)
    # `mkstemp` excludes other users, who may share the cache.
    os.chmod(aside, stat.S_IMODE(folder.stat().st_mode) & 0o666)
    os.replace(aside, folder / NAME)
  except BaseException:
    os.unlink(aside)
    raise


def _check(path: pathlib.Path, listed: dict[str, Any], read: bool) -> list[int]:
  """The times of a file; ValueError if it is not the one listed.

  Its content is compared if `read` asks for it, or its times differ.
  """
  status = _status(path)
  if status.st_size != listed['bytes']:
    raise ValueError(f'has {status.st_size} bytes, not {listed["bytes"]}')
  times = _times(status)
  if (read or times != listed['times']) and _checksum(path) != listed['sha256']:
    raise ValueError('has different content')
  return times


def _status(path: pathlib.Path) -> os.stat_result:
  status = path.stat()
  if not stat.S_ISREG(status.st_mode):
    # Reading a pipe would wait forever.
    raise ValueError('is not a file')
  return status


def _times(status: os.stat_result) -> list[int]:
  # The second one shows a change even if the first was reset.
  return [status.st_mtime_ns, status.st_ctime_ns]


def _checksum(path: pathlib.Path) -> str:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _say(name: str, error: OSError | ValueError) -> str:
  if isinstance(error, OSError):
    return f'{name}: {error.strerror}'
  return f'{name} {error}'
