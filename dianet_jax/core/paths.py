"""Paths as users write them."""

import os
import pathlib

from dianet_jax.core import errors


def normal(path: str | os.PathLike[str], setting: str) -> pathlib.Path:
  """The absolute path, independent of how it is written.

  `~`, `..` and a final slash are resolved; symbolic links are kept unless `..`
  follows them.

  Args:
    path: as written by the user.
    setting: its option, for messages, such as '--workdir'.

  Raises:
    UserError: `~` has no home folder, or the name cannot be decoded.
  """
  text = os.fspath(path)
  try:
    expanded = pathlib.Path(text).expanduser()
  except RuntimeError as error:
    raise errors.UserError(
      f'{setting}={text}: ~ has no home folder here ({error}). Write the full'
      ' path.'
    ) from error
  try:
    str(expanded).encode()
  except UnicodeEncodeError as error:
    raise errors.UserError(
      f'{setting}={text!r}: the name is not UTF-8, or this locale cannot read'
      ' it. Set LC_ALL=C.UTF-8 and leave PYTHONUTF8 unset, or choose another'
      ' name.'
    ) from error
  # After a link, '..' is the parent of the link's target.
  resolve = os.path.realpath if '..' in expanded.parts else os.path.abspath
  return pathlib.Path(resolve(expanded))
