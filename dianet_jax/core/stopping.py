"""SIGINT, SIGTERM and SIGHUP: noted at once, and obeyed where nothing is lost.

A handler that raises is not enough: callbacks of libraries swallow exceptions,
and while a compiled program runs, Python calls no handler at all. So a signal
is noted in any case; where `immediate` says so it also raises, and elsewhere
somebody looks: `check`, `asked`. Where a signal may end things at once and
Python does not come to it, while a program is compiled or other processes are
waited for, a thread of its own ends the process after some seconds; and after a
second Ctrl-C at once, whatever the others are doing.
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
# Some programs pass on a Ctrl-C that the terminal has sent to all of them.
_SAME_PRESS_SECONDS = 0.5
# As long as Python may take to come to a signal that is to end it at once.
_DEAF_SECONDS = 5.0
_KEPT = 'what was saved before is kept'


class _State:
  """Of the process: there is one set of handlers."""

  active = False
  # Not all of `SIGNALS`: what is ignored stays so.
  numbers: tuple[int, ...] = ()
  asked: int | None = None
  why = ''
  raises = False


_state = _State()


def asked() -> bool:
  """Whether a signal has asked the program to end."""
  return _state.asked is not None


def check(kept: str = '') -> None:
  """Raises `errors.Stopped` if a signal has asked for it.

  Args:
    kept: what is saved, see there.
  """
  if _state.asked is not None:
    raise errors.Stopped(_state.asked, kept, _state.why)


def request(why: str) -> None:
  """Asks the program to end, as a signal does; from any thread.

  Args:
    why: told in place of the signal's name.
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
  """Signals are noted in this block; who may raise is said inside.

  Within another such block, and outside the main thread, it changes nothing.
  A signal that is ignored stays so: `nohup` ignores SIGHUP.
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
      # None: whatever has set it was no Python.
      if handler is not None:
        signal.signal(number, handler)
    signal.set_wakeup_fd(old_fd)
    os.close(writing)
    _state.active, _state.asked, _state.raises = False, None, False


@contextlib.contextmanager
def _swallowed_in_silence() -> Iterator[None]:
  """What a callback swallows is raised again by `check`: no need to tell it."""
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
  """Sets the handlers, again and again: libraries set some of their own.

  jax's coordination of several processes takes SIGTERM.
  """
  if _state.active and threading.current_thread() == threading.main_thread():
    for number in _state.numbers:
      signal.signal(number, _handle)


@contextlib.contextmanager
def immediate() -> Iterator[None]:
  """A signal ends this block at once, by `errors.Stopped`."""
  with _raising(True):
    check()
    yield


@contextlib.contextmanager
def deferred() -> Iterator[None]:
  """A signal waits for this block: who is inside asks, saves, and checks.

  Raises:
    errors.Stopped: at its end, for a signal that nobody inside has seen.
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
  """Answers Ctrl-C at once; a second one, or deafness, ends the process.

  Args:
    reading: where the numbers of signals arrive, from outside of Python.
  """
  first = None
  with os.fdopen(reading, 'rb', buffering=0) as numbers:
    while byte := numbers.read(1):
      if byte[0] not in SIGNALS:
        continue
      timer = threading.Timer(_DEAF_SECONDS, _end_if_deaf, (byte[0],))
      timer.daemon = True
      timer.start()
      again, first = first, first or time.monotonic()
      if byte[0] != signal.SIGINT:
        continue
      if again is None:
        _say('\nstopping; a second Ctrl-C ends at once')
      elif time.monotonic() - again > _SAME_PRESS_SECONDS:
        _leave(signal.SIGINT, f'\nstopped at once; {_KEPT}')


def _end_if_deaf(number: int) -> None:
  """Where Python has come to the signal, it is obeyed there."""
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
