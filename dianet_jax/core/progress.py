"""What a user sees while waiting: one console, bars, and lines in a log file.

Names are printed as they are: the console knows no markup, and spells control
characters.
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
# How a function shows progress: called as `track(items, description=...,
# total=...)`, it returns what to iterate over instead.
Track = Callable[..., Iterable[Any]]

# Where there is no terminal: after how long the first line comes, then others.
FIRST_LINE_SECONDS = 10.0
LINE_SECONDS = 60.0

# Where nobody looks (a log, a pipe) nothing must be folded to 80 columns.
_TERMINAL = bool(sys.stdout) and sys.stdout.isatty()


class _Console(rich.console.Console):
  """A console on which a name is nothing but a name."""

  def render(
    self,
    renderable: rich.console.RenderableType,
    options: rich.console.ConsoleOptions | None = None,
  ) -> Iterator[rich.segment.Segment]:
    """As rich does; what is text and no command of rich's is escaped."""
    for segment in super().render(renderable, options):
      if segment.control:
        yield segment
      else:
        yield segment._replace(text=escape.shown(segment.text))

  def _stream(self):
    # A guarded stream would spell rich's own sequences.
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
# For programs whose output is to be read by others.
error_console = _make_console(stderr=True)


def _draws(on: rich.console.Console) -> bool:
  return on.is_terminal or on.is_jupyter


class Bar(Protocol):
  """Progress of one task."""

  def advance(self, number: int = 1, note: str = '') -> None:
    """So many more are done; `note`: how it stands, such as a loss."""


class _Drawn:
  """On a terminal."""

  def __init__(
    self, progress: rich.progress.Progress, task: rich.progress.TaskID
  ):
    self._progress, self._task = progress, task

  def advance(self, number: int = 1, note: str = '') -> None:
    self._progress.update(self._task, advance=number, note=note)


class _Lines:
  """In a log file: a line now and then, and one at the end."""

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
  """Progress of one task, part of which may have been done before.

  On a terminal a bar, which stays when it is done. Elsewhere a line: the first
  after `FIRST_LINE_SECONDS`, then one every `LINE_SECONDS` at most, and a last
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
  """`items`, with a bar of `total`; a signal ends it between two of them."""
  with bar(description, total) as progress:
    for item in items:
      stopping.check()
      try:
        yield item
      finally:
        # Whoever takes the last item may not come back for more.
        progress.advance()


@contextlib.contextmanager
def waiting(
  description: str, on: rich.console.Console | None = None
) -> Iterator[None]:
  """Says what is waited for, where nothing can say how far it is.

  Args:
    description: for a spinner; where there is no terminal, for a line at the
      intervals of `bar`.
    on: the console, `console` by default.
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
  """The `Track` that shows nothing."""
  del description, total
  return items
