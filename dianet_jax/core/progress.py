"""Progress output: the console, progress bars, and lines in log files.

The console does not interpret markup in names, and escapes control characters.
"""

from collections.abc import Callable, Iterable, Iterator
import contextlib
import datetime
import sys
import threading
import time
from typing import Any, Protocol, TypeVar

import rich.console
import rich.progress
import rich.segment
import rich.text

from dianet_jax.core import escape, stopping

T = TypeVar('T')
# Shows progress: called as `track(items, description=..., total=...)`, it
# returns an iterable over the same items.
Track = Callable[..., Iterable[Any]]

# Without a terminal: seconds until the first line, and between further lines.
FIRST_LINE_SECONDS = 10.0
LINE_SECONDS = 60.0

# Output to a log or a pipe must not be wrapped at 80 columns.
_TERMINAL = bool(sys.stdout) and sys.stdout.isatty()


class _Console(rich.console.Console):
  """A console that escapes control characters in names."""

  def render(
    self,
    renderable: rich.console.RenderableType,
    options: rich.console.ConsoleOptions | None = None,
  ) -> Iterator[rich.segment.Segment]:
    """As rich does, but text that is not a control code of rich is escaped."""
    for segment in super().render(renderable, options):
      if segment.control:
        yield segment
      else:
        yield segment._replace(text=escape.shown(segment.text))

  def _stream(self):
    # A guarded stream would escape rich's own control sequences.
    stream = super().file
    return getattr(stream, 'unescaped', stream)

  file = property(_stream, rich.console.Console.file.fset)


def _make_console(stderr: bool) -> _Console:
  return _Console(
    stderr=stderr,
    highlight=False,
    markup=False,
    emoji=False,
    soft_wrap=not _TERMINAL,
    width=None if _TERMINAL else 110,
  )


console = _make_console(stderr=False)
# For commands whose standard output is read by other programs.
error_console = _make_console(stderr=True)


def _draws(on: rich.console.Console) -> bool:
  return on.is_terminal or on.is_jupyter


class Bar(Protocol):
  """Progress of one task."""

  def advance(self, number: int = 1, note: str = '') -> None:
    """Reports progress.

    Args:
      number: items done since the last call.
      note: a short status, such as the loss.
    """


class _Drawn:
  """A bar on a terminal."""

  def __init__(
    self, progress: rich.progress.Progress, task: rich.progress.TaskID
  ):
    self._progress, self._task = progress, task

  def advance(self, number: int = 1, note: str = '') -> None:
    self._progress.update(self._task, advance=number, note=note)


class _Lines:
  """Lines in a log file, at intervals and at the end."""

  def __init__(self, description: str, total: int, done: int):
    self._description, self._total = description, total
    self._done = self._before = done
    self._start = time.monotonic()
    self._next = self._start + FIRST_LINE_SECONDS

  def advance(self, number: int = 1, note: str = '') -> None:
    self._done += number
    now = time.monotonic()
    if now < self._next or self._done >= self._total:
      return
    self._next = now + LINE_SECONDS
    pace = (now - self._start) / max(self._done - self._before, 1)
    left = _duration(pace * (self._total - self._done))
    self._say(f'{self._done / self._total:.0%}, about {left} left', note)

  def finish(self) -> None:
    self._say(f'in {_duration(time.monotonic() - self._start)}')

  def _say(self, *parts: str) -> None:
    said = ', '.join(filter(None, parts))
    console.print(f'{self._description}: {self._done} of {self._total}, {said}')


def _duration(seconds: float) -> datetime.timedelta:
  return datetime.timedelta(seconds=round(seconds))


def _columns():
  return (
    rich.progress.TextColumn('{task.description:<24}', markup=False),
    rich.progress.BarColumn(bar_width=30),
    rich.progress.MofNCompleteColumn(),
    rich.progress.TimeElapsedColumn(),
    rich.progress.TextColumn('left'),
    rich.progress.TimeRemainingColumn(),
    rich.progress.TextColumn('{task.fields[note]}', markup=False),
  )


@contextlib.contextmanager
def bar(description: str, total: int, done: int = 0) -> Iterator[Bar]:
  """Shows the progress of one task, part of which may be done already.

  On a terminal it is a bar, which stays at the end. Elsewhere it is a line
  after `FIRST_LINE_SECONDS`, then at most one every `LINE_SECONDS`, and a last
  one.
  """
  if not _draws(console):
    lines = _Lines(description, total, done)
    yield lines
    lines.finish()
    return
  with rich.progress.Progress(*_columns(), console=console) as progress:
    task = progress.add_task(description, total=total, completed=done, note='')
    yield _Drawn(progress, task)


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
  """Iterates over items with a progress bar; signals stop it between items."""
  with bar(description, total) as progress:
    for item in items:
      stopping.check()
      try:
        yield item
      finally:
        # After the last item, the consumer may not ask for another one.
        progress.advance()


@contextlib.contextmanager
def waiting(
  description: str, on: rich.console.Console | None = None
) -> Iterator[None]:
  """Shows that the program waits, if progress cannot be measured.

  Args:
    description: text of a spinner or, without a terminal, of lines at the
      intervals of `bar`.
    on: the console; None for `console`.
  """
  on = on or console
  if _draws(on):
    with on.status(rich.text.Text(description)):
      yield
    return
  ended = threading.Event()
  speaker = threading.Thread(
    target=_speak, args=(on, description, ended), daemon=True
  )
  speaker.start()
  try:
    yield
  finally:
    ended.set()
    speaker.join()


def _speak(
  on: rich.console.Console, description: str, ended: threading.Event
) -> None:
  start, delay = time.monotonic(), FIRST_LINE_SECONDS
  while not ended.wait(delay):
    on.print(f'{description}: {_duration(time.monotonic() - start)} so far')
    delay = LINE_SECONDS


def silent(items: Iterable[T], description: str, total: int) -> Iterable[T]:
  """A `Track` that shows nothing."""
  del description, total
  return items
