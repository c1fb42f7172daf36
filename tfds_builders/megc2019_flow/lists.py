"""Reads the list of clips, a .csv file, also as rewritten by spreadsheets."""

import codecs
import csv
import dataclasses
import io
import pathlib

from dianet_jax.clips import frame_names
from dianet_jax.core import errors
from tfds_builders import frames, raw_folder

COLUMNS = ('dataset', 'sub', 'filename_o', 'label')
# A comma, or what Excel writes if the comma is the decimal mark.
_DELIMITERS = (',', ';', '\t')


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of the list; `row['sub']` is a cell without surrounding blanks.

  Attributes:
    place: file and row, for messages.
    cells: column -> text.
  """

  place: str
  cells: dict[str, str]

  def __getitem__(self, column: str) -> str:
    return self.cells[column]


def read(
  guide: raw_folder.Guide, root: pathlib.Path, folders: list[frames.Folder]
) -> list[tuple[pathlib.Path, list[Row]]]:
  """Reads every .csv file with the required columns.

  Args:
    guide: for messages.
    root: the folder, for messages.
    folders: the folders to search.

  Returns:
    Files with their rows; copies last, otherwise the shallowest first.

  Raises:
    raw_folder.NothingFoundError: there is no such file.
    errors.UserError: a file cannot be read.
  """
  paths = [
    folder.path / name
    for folder in folders
    for name in folder.file_names
    if name.casefold().endswith('.csv')
  ]
  paths.sort(key=lambda path: frame_names.is_copy(path.name))
  found = [(path, rows) for path in paths if (rows := _read_file(path))]
  if not found:
    raise guide.error('no list of the clips (.csv) was found.', root, folders)
  return found


def _read_file(path: pathlib.Path) -> list[Row]:
  """Rows that are not empty; none if it is another table."""
  try:
    data = path.read_bytes()
  except OSError as error:
    raise errors.UserError(
      f'The list {path} cannot be read: {error.strerror}.'
    ) from error
  utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
  text = data.decode('utf-16' if utf16 else 'utf-8-sig', errors='replace')
  for delimiter in _DELIMITERS:
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    try:
      if not set(COLUMNS) <= set(reader.fieldnames or ()):
        continue
      rows = [
        Row(
          f'{path}, row {number}',
          {column: (row[column] or '').strip() for column in COLUMNS},
        )
        for number, row in enumerate(reader, 2)
      ]
    except csv.Error as error:
      raise errors.UserError(
        f'{path} cannot be read as a table, below row {reader.line_num}: '
        f'{error}. Get a new copy of it.'
      ) from error
    return [row for row in rows if any(row.cells.values())]
  return []
