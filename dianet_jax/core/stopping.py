"""SIGINT, SIGTERM and SIGHUP: recorded at once, handled where nothing is lost.

A handler that raises is not enough: callbacks of libraries swallow exceptions,
and Python runs no handlers during a compiled program. So every signal is
recorded. Inside `immediate` it also raises; elsewhere the program polls `check`
or `asked`. If Python does not handle a signal inside `immediate`, because it
compiles a program or waits for other processes, a thread ends the process after
some seconds, and at once after a second Ctrl-C.
"""

from collections.abc import Iterator
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time

from dianet_jax.core import errors

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Some programs forward a Ctrl-C that the terminal has already sent to all.
_SAME_PRESS_SECONDS = 0.5
# Time that Python may take to handle a signal inside `immediate`.
_RESPONSE_SECONDS = 5.0
_KEPT = 'everything saved before is kept'


class _State:
  """State of the process, which has one set of handlers."""

  active = False
  # Not all of `SIGNALS`: ignored signals stay ignored.
  numbers: tuple[int, ...] = ()
  asked: int | None = None
  why = ''
  raises = False


_state = _State()


def asked() -> bool:
  """Whether a signal has requested a stop."""
  return _state.asked is not None


def check(kept: str = '') -> None:
  """Raises `errors.Stopped` if a signal has requested a stop.

  Args:
    kept: see `errors.Stopped`.
  """
  if _state.asked is not None:
    raise errors.Stopped(_state.asked, kept, _state.why)


def request(why: str) -> None:
  """Requests a stop, like a signal; from any thread.

  Args:
    why: reason, reported instead of the signal's name.
  """
  if _state.active and _state.asked is None:
    _state.why = why
    os.kill(os.getpid(), signal.SIGTERM)


def _handle(number: int, frame: object) -> None:
  del frame
  if _state.asked is None:
    _state.asked = number
  if _state.raises:
    raise errors.Stopped(_state.asked, why=_state.why)


@contextlib.contextmanager
def handled() -> Iterator[None]:
  """Records signals in this block.

  Inside another such block, or outside the main thread, it does nothing.
  Ignored signals stay ignored: `nohup` ignores SIGHUP.
  """
  if _state.active or threading.current_thread() != threading.main_thread():
    yield
    return
  reading, writing = os.pipe()
  os.set_blocking(writing, False)
  before = {number: signal.getsignal(number) for number in SIGNALS}
  threading.Thread(target=_watch, args=(reading,), daemon=True).start()
  _state.active, _state.asked, _state.raises = True, None, False
  _state.why = ''
  old_fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
  try:
    _state.numbers = tuple(n for n in SIGNALS if before[n] != signal.SIG_IGN)
    arm()
    with _swallowed_in_silence():
      yield
  finally:
    for number, handler in before.items():
      # None: the previous handler was not set by Python.
      if handler is not None:
        signal.signal(number, handler)
    signal.set_wakeup_fd(old_fd)
    os.close(writing)
    _state.active, _state.asked, _state.raises = False, None, False


@contextlib.contextmanager
def _swallowed_in_silence() -> Iterator[None]:
  """Hides `Stopped` swallowed by callbacks, since `check` raises it again."""
  hook = sys.unraisablehook

  def tell(unraisable):
    if not isinstance(unraisable.exc_value, errors.Stopped):
      hook(unraisable)

  sys.unraisablehook = tell
  try:
    yield
  finally:
    sys.unraisablehook = hook


def arm() -> None:
  """Sets the handlers again, because libraries replace them.

  jax's coordination of several processes replaces that of SIGTERM.
  """
  if _state.active and threading.current_thread() == threading.main_thread():
    for number in _state.numbers:
      signal.signal(number, _handle)


@contextlib.contextmanager
def immediate() -> Iterator[None]:
  """A signal interrupts this block at once with `errors.Stopped`."""
  with _raising(True):
    check()
    yield


@contextlib.contextmanager
def deferred() -> Iterator[None]:
  """Defers signals in this block, which polls `asked`, saves, and checks.

  Raises:
    errors.Stopped: at its end, after a signal that was not handled inside.
  """
  with handled():
    with _raising(False):
      yield
    check()


@contextlib.contextmanager
def _raising(value: bool) -> Iterator[None]:
  arm()
  before, _state.raises = _state.raises, value
  try:
    yield
  finally:
    _state.raises = before


def _watch(reading: int) -> None:
  """Reports Ctrl-C at once; ends the process if Python does not respond.

  Args:
    reading: file descriptor from which signal numbers are read.
  """
  first = None
  with os.fdopen(reading, 'rb', buffering=0) as numbers:
    while byte := numbers.read(1):
      if byte[0] not in SIGNALS:
        continue
      timer = threading.Timer(_RESPONSE_SECONDS, _end_if_stuck, (byte[0],))
      timer.daemon = True
      timer.start()
      again, first = first, first or time.monotonic()
      if byte[0] != signal.SIGINT:
        continue
      if again is None:
        _say('\nstopping; a second Ctrl-C ends at once')
      elif time.monotonic() - again > _SAME_PRESS_SECONDS:
        _leave(signal.SIGINT, f'\nstopped at once; {_KEPT}')


def _end_if_stuck(number: int) -> None:
  """Ends the process unless Python has handled the signal."""
  if _state.active and _state.raises and _state.asked is None:
    stopped = errors.Stopped(number, _KEPT, _state.why)
    _leave(number, str(stopped))


def _leave(number: int, text: str) -> None:
  _say(text)
  for child in multiprocessing.active_children():
    child.kill()
  os._exit(128 + number)


def _say(text: str) -> None:
  with contextlib.suppress(OSError):
    os.write(2, f'{text}\n'.encode())
