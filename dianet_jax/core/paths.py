"""Paths as users write them."""

import os
import pathlib

from dianet_jax.core import errors


def normal(path: str | os.PathLike[str], setting: str) -> pathlib.Path:
  """The absolute path, the same for every way to write it.

  `~`, `..`, and a slash at the end are resolved, links that no `..` follows
  stay as they are.

  Args:
    path: as written.
    setting: where, for messages: '--workdir'.

  Raises:
    UserError: `~` of nobody, or a name that this locale cannot read.
  """
  text = os.fspath(path)
  try:
    expanded = pathlib.Path(text).expanduser()
  except RuntimeError as error:
    raise errors.UserError(
      f'{setting}={text}: ~ stands for no folder here ({error}). Write the path'
      ' in full.'
    ) from error
  try:
    str(expanded).encode()
  except UnicodeEncodeError as error:
    raise errors.UserError(
      f'{setting}={text!r}: the name is not UTF-8, or this locale cannot read'
      ' it. Set LC_ALL=C.UTF-8 and leave PYTHONUTF8 unset, or choose another'
      ' name.'
    ) from error
  # Behind a link, '..' is not the folder before it.
  resolve = os.path.realpath if '..' in expanded.parts else os.path.abspath
  return pathlib.Path(resolve(expanded))
