"""What ends a program on purpose: a mistake of the user's, or a signal."""

import signal


class UserError(Exception):
  """A problem the user can mend: bad input, configuration or environment.

  `main` prints its text alone, without a traceback. The text names the file or
  the config key, the value found, what was expected and what to do about it.
  """


class Stopped(BaseException):
  """A signal asked the program to end; see `stopping`.

  No `Exception`, so that nothing that mends errors takes it for one.

  Attributes:
    number: of the signal.
    kept: what of the work is saved, for the user to read; '' if nobody has
      said so yet.
    why: where it was no signal from outside.
  """

  def __init__(self, number: int, kept: str = '', why: str = ''):
    super().__init__(number, kept, why)
    self.number, self.kept, self.why = number, kept, why

  def __str__(self) -> str:
    why = self.why or f'stopped by {signal.Signals(self.number).name}'
    return why + (f'; {self.kept}' if self.kept else '')

  def with_kept(self, kept: str) -> 'Stopped':
    """The same, with what is saved where nobody has said so."""
    return Stopped(self.number, self.kept or kept, self.why)
