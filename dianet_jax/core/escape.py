"""Text from users and their files, made safe for where it goes.

Folders, classes, subjects and runs may be called anything. There is one
function for each place that would take a name for more than a name. HTML,
Markdown and LaTeX have theirs in `evaluation.page` and `evaluation.tables`.
"""

from collections.abc import Mapping
import hashlib
import re
from typing import Any

# C0 and C1 controls (escape sequences begin with one), line separators, and
# the marks that turn the direction of what follows.
_ALWAYS = '\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069'
_CONTROL = re.compile(f'[\x00-\x08\x0b-\x1f{_ALWAYS}]')
_CONTROL_IN_LINE = re.compile(f'[\x00-\x1f{_ALWAYS}]')
# A spreadsheet program takes such a cell for a formula.
_FORMULA = re.compile(r"'*[=+\-@]")
_LONGEST_FILE_NAME = 200
# Orbax cannot read a checkpoint with these in its path: it takes the path for a
# pattern, to which `[a]` is no name of its own.
UNREADABLE = frozenset('[\\')


def shown(text: str) -> str:
  r"""For a terminal or a page: control characters are spelt (`\x1b`).

  Newlines and tabs stay. Escaping twice changes nothing more.
  """
  return _CONTROL.sub(_spelt, text)


def line(text: str) -> str:
  """The same for a name within a line: newlines and tabs are spelt, too."""
  return _CONTROL_IN_LINE.sub(_spelt, text)


def is_plain(name: str) -> bool:
  """Whether a name has no control character."""
  return _CONTROL_IN_LINE.search(name) is None


def _spelt(match: re.Match[str]) -> str:
  return match[0].encode('unicode_escape').decode()


def cell(text: str) -> str:
  """For a CSV file: an apostrophe before what would be a formula."""
  return f"'{text}" if _FORMULA.match(text) else text


def cells(row: Mapping[str, Any]) -> dict[str, Any]:
  """A row of a CSV file; what is no text stays."""
  return {
    key: cell(value) if isinstance(value, str) else value
    for key, value in row.items()
  }


def from_cell(text: str) -> str:
  """The text that `cell` was given."""
  apostrophe = text.startswith("'") and _FORMULA.match(text)
  return text[1:] if apostrophe else text


def file_name(name: str) -> str:
  """For a file or a folder: one name, never a path.

  Subjects of composites, '<data set>/<subject>', get an underscore. Of a name
  that no folder can safely have, its letters come before a hash of it.
  """
  plain = name.replace('/', '_')
  if (
    is_plain(plain)
    and plain
    and not UNREADABLE & set(plain)
    and not plain.startswith('.')
    and len(plain.encode(errors='surrogateescape')) <= _LONGEST_FILE_NAME
  ):
    return plain
  digest = hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()
  return f'{re.sub(r"[^a-zA-Z0-9]+", "_", name)[:60]}-{digest[:8]}'
