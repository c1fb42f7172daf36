"""Unexpected errors: one line for the user, the traceback in a file."""

import os
import pathlib
import tempfile
import time
import traceback

from dianet_jax.core import escape

# Environment variable that prints tracebacks, for developers.
VARIABLE = 'DIANET_TRACEBACK'
_LONGEST_LINE = 300


class _Place:
  """Folder of logs, see `keep_in`."""

  folder: pathlib.Path | None = None


def keep_in(folder: pathlib.Path | None) -> None:
  """Writes logs to `folder` if it exists, else to the temporary folder."""
  _Place.folder = folder


def one_line(error: BaseException) -> str:
  """The message of an exception in one line."""
  said = ' '.join(str(error).split())
  if len(said) > _LONGEST_LINE:
    said = said[:_LONGEST_LINE] + ' ...'
  name = type(error).__name__
  return escape.line(f'{name}: {said}' if said else name)


def report(error: BaseException) -> str:
  """Writes the traceback to a file and returns where; or prints it."""
  text = ''.join(traceback.format_exception(error))
  path = None if os.environ.get(VARIABLE) else _write(text)
  if path is None:
    return f'\n{text}'
  return f'the traceback is in {path}; {VARIABLE}=1 shows it here'


def _write(text: str) -> pathlib.Path | None:
  """A new log file; None if none can be written."""
  name = time.strftime(f'error-%Y%m%d-%H%M%S-{os.getpid()}.log')
  for folder in (_Place.folder, pathlib.Path(tempfile.gettempdir())):
    if folder is None or not folder.is_dir():
      continue
    path = folder / (name if folder is _Place.folder else f'dianet-{name}')
    try:
      with path.open('a', encoding='utf-8', errors='backslashreplace') as file:
        file.write(text)
    except OSError:
      continue
    return path
  return None
