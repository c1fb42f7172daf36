"""Lock files: one process at a time makes what several need."""

from collections.abc import Iterator
import contextlib
import fcntl
import pathlib
import time
from typing import IO

from dianet_jax.core import errors, progress

# A shorter wait is not reported.
_SILENT_SECONDS = 2.0


@contextlib.contextmanager
def hold(path: pathlib.Path, purpose: str, advice: str) -> Iterator[None]:
  """Holds a lock file; prints a line if it has to wait for another process.

  Args:
    path: the lock file, made with its folders if necessary; it is not removed.
    purpose: what the other process does, such as 'prepares these records'.
    advice: a sentence on what to do if locking is impossible.

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
  """Takes the lock if it is free; returns whether it was."""
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except OSError as error:
    # Some network file systems have no locks.
    raise errors.UserError(
      f'The file {file.name} cannot be locked: {error}. {advice}'
    ) from error
  return True
