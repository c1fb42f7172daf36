"""JSON files of a workdir."""

import json
import pathlib
from typing import Any

from dianet_jax.core import errors


def write_json(path: pathlib.Path, values: Any) -> None:
  """Writes indented JSON to a temporary file and renames it."""
  aside = path.with_suffix('.tmp')
  aside.write_text(json.dumps(values, indent=2) + '\n', encoding='utf-8')
  aside.replace(path)


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """Reads a JSON file; UserError if it cannot be read."""
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except (OSError, RecursionError, ValueError) as error:
    raise errors.UserError(
      f'{path} cannot be read ({error}). Remove that file, or choose another'
      ' --workdir.'
    ) from error


def read_if_there(path: pathlib.Path) -> dict[str, Any] | None:
  """`read_json`, or None if there is no such file."""
  return read_json(path) if path.exists() else None
