"""Escapes text from users and their files.

Folders, classes, subjects and runs may have any name. There is one function for
each output format in which a name could be interpreted. HTML is escaped by
`core.html`, Markdown and LaTeX by `evaluation.tables`.
"""

from collections.abc import Mapping
import hashlib
import re
from typing import Any

# C0 and C1 controls (escape sequences begin with one), line separators, and
# marks that change the direction of text.
_ALWAYS = '\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069'
_CONTROL = re.compile(f'[\x00-\x08\x0b-\x1f{_ALWAYS}]')
_CONTROL_IN_LINE = re.compile(f'[\x00-\x1f{_ALWAYS}]')
# Spreadsheet programs take such a cell for a formula.
_FORMULA = re.compile(r"'*[=+\-@]")
_LONGEST_FILE_NAME = 200
# Orbax cannot read a checkpoint with these in its path, because it interprets
# the path as a glob pattern.
UNREADABLE = frozenset('[\\')


def shown(text: str) -> str:
  r"""Escapes text for a terminal or a page: control characters become `\x1b`.

  Newlines and tabs are kept. Escaping is idempotent.
  """
  return _CONTROL.sub(_spelt, text)


def line(text: str) -> str:
  """The same for a name within a line: newlines and tabs are escaped, too."""
  return _CONTROL_IN_LINE.sub(_spelt, text)


def is_plain(name: str) -> bool:
  """Whether a name contains no control character."""
  return _CONTROL_IN_LINE.search(name) is None


def _spelt(match: re.Match[str]) -> str:
  return match[0].encode('unicode_escape').decode()


def cell(text: str) -> str:
  """Escapes text for a CSV file: an apostrophe precedes a would-be formula."""
  return f"'{text}" if _FORMULA.match(text) else text


def cells(row: Mapping[str, Any]) -> dict[str, Any]:
  """Escapes the texts of a row of a CSV file."""
  return {
    key: cell(value) if isinstance(value, str) else value
    for key, value in row.items()
  }


def from_cell(text: str) -> str:
  """The original text of a cell that `cell` escaped."""
  apostrophe = text.startswith("'") and _FORMULA.match(text)
  return text[1:] if apostrophe else text


def file_name(name: str) -> str:
  """Converts a name to a safe name of a file or folder, never a path.

  The slash of subjects of composites, '<data set>/<subject>', becomes an
  underscore. An unsafe name becomes its letters and digits and a hash.
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
