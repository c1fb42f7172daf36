"""Standard output and error that escape names and survive write errors.

Output may contain names from files, so control characters are escaped. If
writing fails (`| head`, a full disk, a closed terminal), the program continues
without output, because a training is worth more.
"""

from collections.abc import Iterable, Iterator
import contextlib
import os
import sys
from typing import Any, TextIO

from dianet_jax.core import escape


class _Unbreakable:
  """A stream that discards output once writing fails."""

  def __init__(self, stream: TextIO, name: str):
    self._stream, self._name = stream, name

  def write(self, text: str) -> int:
    """As of any text stream."""
    self._try(self._stream.write, text)
    return len(text)

  def writelines(self, lines: Iterable[str]) -> None:
    """As of any text stream."""
    for line in lines:
      self.write(line)

  def flush(self) -> None:
    """As of any text stream."""
    self._try(self._stream.flush)

  def _try(self, function: Any, *arguments: Any) -> None:
    try:
      function(*arguments)
    except (OSError, ValueError):  # ValueError: the stream is closed.
      self._lose()

  def _lose(self) -> None:
    """Discards all further output, including buffered output."""
    with contextlib.suppress(OSError, ValueError):
      nowhere = os.open(os.devnull, os.O_WRONLY)
      os.dup2(nowhere, self._stream.fileno())
      os.close(nowhere)
    if self._name == 'stdout':
      print(
        'Output can no longer be written; the program continues without it.',
        file=sys.stderr,
      )

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)


class _Escaped(_Unbreakable):
  """The same, with control characters escaped.

  Attributes:
    unescaped: the stream without escaping, for drawing on a terminal.
  """

  def __init__(self, stream: TextIO, name: str):
    super().__init__(stream, name)
    self.unescaped = _Unbreakable(stream, name)

  def write(self, text: str) -> int:
    return super().write(escape.shown(text))


@contextlib.contextmanager
def guarded() -> Iterator[None]:
  """Guards `sys.stdout` and `sys.stderr`, which may be closed or None."""
  _open_standard_files()
  before = sys.stdout, sys.stderr
  with open(os.devnull, 'w') as nowhere:
    for name in ('stdout', 'stderr'):
      stream = getattr(sys, name) or nowhere
      with contextlib.suppress(AttributeError):
        # Not every terminal can encode all characters of names.
        stream.reconfigure(errors='backslashreplace')
      setattr(sys, name, _Escaped(stream, name))
    try:
      yield
    finally:
      sys.stdout.flush()
      sys.stderr.flush()
      sys.stdout, sys.stderr = before


def _open_standard_files() -> None:
  """Opens closed standard files (`>&-`).

  Otherwise the next opened file would get their number, and output of libraries
  would be written into it.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)
