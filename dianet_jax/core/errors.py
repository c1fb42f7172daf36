"""Exceptions that end a program with a message: user errors and signals."""

import signal


class UserError(Exception):
  """A problem that the user can fix: bad input, configuration or environment.

  `main` prints only its text, without a traceback. The text names the file or
  the config key, the value found, what was expected and what to do.
  """


class MissingInputError(UserError):
  """The clips lack what an input is made of; a study leaves the row out."""


class Stopped(BaseException):
  """A signal requested that the program stops; see `stopping`.

  Not a subclass of `Exception`, so that error handlers do not catch it.

  Attributes:
    number: number of the signal.
    kept: message on the work that is saved; '' if not set yet.
    why: the reason, if the request did not come from a signal.
  """

  def __init__(self, number: int, kept: str = '', why: str = ''):
    super().__init__(number, kept, why)
    self.number, self.kept, self.why = number, kept, why

  def __str__(self) -> str:
    why = self.why or f'stopped by {signal.Signals(self.number).name}'
    return why + (f'; {self.kept}' if self.kept else '')

  def with_kept(self, kept: str) -> 'Stopped':
    """The same with `kept`, unless it is set already."""
    return Stopped(self.number, self.kept or kept, self.why)
