"""Extension points: name -> row, imported on first use."""

from collections.abc import Iterator, Mapping
import difflib
import importlib
from typing import Generic, TypeVar

from dianet_jax.core import errors

T = TypeVar('T')


class Registry(Mapping[str, T], Generic[T]):
  """Rows of one extension point, in the order of registration.

  A row is an object, or 'package.module:attribute', so that listing the names
  imports nothing. Users' packages add rows with `register`, for example from a
  configuration file.
  """

  def __init__(self, what: str, key: str, rows: Mapping[str, T | str]):
    """Constructs the registry.

    Args:
      what: kind of the rows, for messages, such as 'model'.
      key: the configuration key that selects a row, such as 'model.name'.
      rows: name -> row.
    """
    self._what, self._key, self._rows = what, key, dict(rows)
    self._imported: dict[str, T] = {}

  def register(self, name: str, row: T | str) -> None:
    """Adds a row; adding the same row again does nothing.

    Raises:
      UserError: another row has this name.
    """
    if self._rows.setdefault(name, row) != row:
      raise errors.UserError(
        f'There is another {self._what} called {name!r}. Choose another name.'
      )

  def unregister(self, name: str) -> None:
    """Removes a row."""
    del self._rows[name]
    self._imported.pop(name, None)

  def __getitem__(self, name: str) -> T:
    """The row with this name.

    Raises:
      UserError: there is none; the message has a similar name and all names.
    """
    if name not in self._rows:
      near = difflib.get_close_matches(str(name).lower(), self._rows, 1, 0.5)
      raise errors.UserError(
        f'--config.{self._key}={name!r} is not a known {self._what}.'
        + (f' Did you mean {near[0]!r}?' if near else '')
        + f' Known are: {", ".join(self._rows)}.'
      )
    row = self._rows[name]
    if not isinstance(row, str):
      return row
    if name not in self._imported:
      module, _, attribute = row.partition(':')
      self._imported[name] = getattr(importlib.import_module(module), attribute)
    return self._imported[name]

  def __contains__(self, name: object) -> bool:
    return name in self._rows

  def __iter__(self) -> Iterator[str]:
    return iter(self._rows)

  def __len__(self) -> int:
    return len(self._rows)
