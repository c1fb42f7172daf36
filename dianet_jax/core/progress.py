"""What a user sees while waiting: one console, one style of bar."""

from collections.abc import Callable, Iterable, Iterator
import contextlib
import sys
from typing import Any, TypeVar

import rich.console
import rich.progress

T = TypeVar('T')
# How a function shows progress: called as `track(items, description=...,
# total=...)`, it returns what to iterate over instead.
Track = Callable[..., Iterable[Any]]

# Where nobody looks (a log, a pipe) nothing must be folded to 80 columns.
_TERMINAL = sys.stdout.isatty()
console = rich.console.Console(
  highlight=False,
  soft_wrap=not _TERMINAL,
  width=None if _TERMINAL else 110,
)


def _columns():
  return (
    rich.progress.TextColumn('{task.description:<24}'),
    rich.progress.BarColumn(bar_width=30),
    rich.progress.MofNCompleteColumn(),
    rich.progress.TimeElapsedColumn(),
    rich.progress.TextColumn('left'),
    rich.progress.TimeRemainingColumn(),
  )


@contextlib.contextmanager
def bar(
  description: str, total: int, done: int = 0
) -> Iterator[rich.progress.Progress]:
  """A progress bar of one task (id 0); stays on screen when it is done."""
  with rich.progress.Progress(*_columns(), console=console) as progress:
    progress.add_task(description, total=total, completed=done)
    yield progress


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
  """`items`, with a progress bar of `total`."""
  with bar(description, total) as progress:
    for item in items:
      try:
        yield item
      finally:
        # Whoever takes the last item may not come back for more.
        progress.advance(0)


@contextlib.contextmanager
def waiting(description: str) -> Iterator[None]:
  """A spinner for what cannot say how far it is."""
  with console.status(description):
    yield


def silent(items: Iterable[T], description: str, total: int) -> Iterable[T]:
  """The `Track` that shows nothing."""
  del description, total
  return items
