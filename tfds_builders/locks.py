"""Lets one process at a time make what several want."""

from collections.abc import Iterator
import contextlib
import fcntl
import pathlib
import time
from typing import IO

from dianet_jax.core import errors, progress

# A short wait is not worth a word.
_SILENT_SECONDS = 2.0


@contextlib.contextmanager
def hold(path: pathlib.Path, purpose: str, advice: str) -> Iterator[None]:
  """Holds a lock file; says so when it has to wait for another process.

  Args:
    path: the lock file, made with its folders if need be; it stays.
    purpose: what the other process does, as in 'prepares these records'.
    advice: what to do where there can be no lock, a sentence.

  Raises:
    errors.UserError: the file cannot be made or locked.
  """
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open('w')
  except OSError as error:
    raise errors.UserError(
      f'The lock file {path} cannot be written: {error}. {advice}'
    ) from error
  with file:
    silent_until = time.monotonic() + _SILENT_SECONDS
    while not _take(file, advice):
      if time.monotonic() >= silent_until:
        progress.console.print(
          f'Waiting for another process that {purpose} (lock file {path}).',
          markup=False,
        )
        fcntl.flock(file, fcntl.LOCK_EX)
        break
      time.sleep(0.05)
    yield


def _take(file: IO[str], advice: str) -> bool:
  """Whether nobody else holds the lock, which is then ours."""
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except OSError as error:
    # Some network file systems have none.
    raise errors.UserError(
      f'The file {file.name} cannot be locked: {error}. {advice}'
    ) from error
  return True
