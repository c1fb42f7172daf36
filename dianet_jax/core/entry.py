"""Runs a program: messages instead of tracebacks, exit status, signals.

Imports nothing slow, because signals must be handled from the beginning.
"""

from collections.abc import Callable
import contextlib
import multiprocessing
import os
import signal
import sys
from typing import NoReturn

from dianet_jax.core import errors, faults, stopping, streams


def run(program: Callable[[], int | None]) -> int:
  """Runs a program; if it fails, prints one line that says why.

  Signals are recorded from here on; `stopping.immediate` marks the parts of
  `program` that they may interrupt.

  Args:
    program: returns the exit status; None means 0.

  Returns:
    The exit status: 1 after a `UserError` or an unexpected exception, 128 + the
    number of the signal after a signal.

  Raises:
    SystemExit: from the program, for example by argparse or absl.
  """
  with streams.guarded(), stopping.handled():
    try:
      return program() or 0
    except errors.UserError as error:
      return _end(f'error: {error}', 1)
    except errors.Stopped as stopped:
      return _end(str(stopped), 128 + stopped.number)
    except KeyboardInterrupt:
      return _end('stopped', 128 + signal.SIGINT)
    except Exception as error:
      kept = faults.report(error)
      return _end(
        f'error: {faults.one_line(error)}. The error is unexpected: {kept}',
        1,
      )


class Exit:
  """How the process ends: `at_once` means without any clean-up."""

  at_once = False


def leave(status: int) -> NoReturn:
  """Ends the process; after a signal without clean-up.

  Compiled programs may still run in other threads, and would crash when Python
  frees their memory. Everything to keep is already on disk.
  """
  if status <= 128 and not Exit.at_once:
    # The message is printed: Ctrl-C while Python exits needs no traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(status)
  for child in multiprocessing.active_children():
    child.kill()
  for stream in (sys.stdout, sys.stderr):
    # Either may be closed, or None.
    with contextlib.suppress(AttributeError, OSError, ValueError):
      stream.flush()
  os._exit(status)


def _end(text: str, status: int) -> int:
  # Flush earlier output first, to keep the order of messages.
  sys.stdout.flush()
  print(text, file=sys.stderr)
  return status
