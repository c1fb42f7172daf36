"""The one exception that a user of the program is meant to read."""


class UserError(Exception):
  """A problem the user can mend: bad input, configuration or environment.

  `main` prints its text alone, without a traceback. The text names the file or
  the config key, the value found, what was expected and what to do about it.
  """


class Stopped(Exception):
  """The system asked the run to end, and what it had is saved."""
