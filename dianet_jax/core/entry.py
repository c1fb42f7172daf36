"""How a program begins and ends for its user: in words, never in a traceback.

Imports nothing heavy: signals must be handled before anything else is done.
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
  """Runs a program; whatever ends it is told in a line.

  A signal is noted from here on; `program` says with `stopping.immediate` where
  it may end things at once.

  Args:
    program: returns the exit status, None for 0.

  Returns:
    The exit status: 1 after a mistake of the user's or a fault of the program,
    128 + the number of the signal after a signal.

  Raises:
    SystemExit: of the program: argparse and absl end by it.
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
        f'error: {faults.one_line(error)}. This is no known mistake: {kept}', 1
      )


class Exit:
  """How the process ends: `at_once` means without taking anything apart."""

  at_once = False


def leave(status: int) -> NoReturn:
  """Ends the process; after a signal at once.

  Compiled programs may still run in threads of their own, and crash where what
  they work on is taken from under them. All that is to be kept is on disk.
  """
  if status <= 128 and not Exit.at_once:
    # All has been said: Ctrl-C while Python ends is no news for the user.
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
  # What was said before comes first.
  sys.stdout.flush()
  print(text, file=sys.stderr)
  return status
