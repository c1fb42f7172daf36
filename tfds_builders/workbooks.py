"""Opens workbooks, which may be damaged, locked, or anything else."""

from collections.abc import Iterator
import contextlib
import pathlib
from typing import Any, BinaryIO
import zipfile

import openpyxl

from dianet_jax.core import errors

MOST_COLUMNS = 64
# The largest data set of the field has 860 rows. A sheet of a million rows is
# some other file, and reading it would fill the memory.
MOST_ROWS = 20_000
# That many take 10 MB; but a few kilobytes can unpack to gigabytes.
_MOST_BYTES = 32_000_000
# The first bytes of files from before Office 2007, and of encrypted files.
_OLE = bytes.fromhex('d0cf11e0a1b11ae1')


class UnusableError(errors.UserError):
  """The workbook is locked, too large, or not what was looked for."""


class UnreadableError(UnusableError):
  """The file is damaged, or not a workbook."""


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[Any]:
  """A workbook, checked; whatever goes wrong with it is a UserError.

  Args:
    path: an .xlsx file.

  Yields:
    The workbook, read-only, with the values of its formulas.

  Raises:
    UnreadableError: damaged, or no workbook.
    UnusableError: it is locked, or far too large.
  """
  try:
    with path.open('rb') as file:
      _check_size(path, file)
      yield openpyxl.load_workbook(file, read_only=True, data_only=True)
  except errors.UserError:
    raise
  # On a damaged file, openpyxl and its XML parser may raise any exception.
  except Exception as error:
    raise UnreadableError(
      f'{path} cannot be read as an .xlsx spreadsheet: {error!r}. Get a new '
      'copy of it.'
    ) from error


def rows(sheet: Any, **limits: int) -> contextlib.AbstractContextManager:
  """Values of the rows; closes the file even if not all of them are read."""
  return contextlib.closing(
    sheet.iter_rows(max_col=MOST_COLUMNS, values_only=True, **limits)
  )


def read_cells(path: pathlib.Path) -> dict[str, list[list[str]]]:
  """All cells of a workbook whose sheets have no header, as texts.

  Args:
    path: an .xlsx file.

  Returns:
    Title of each sheet, in their order -> its rows; an empty cell is ''.

  Raises:
    UnreadableError: damaged, or no workbook.
    UnusableError: it is locked, or far too large.
  """
  found = {}
  with opened(path) as workbook:
    for sheet in workbook.worksheets:
      # A copy trimmed by hand may claim a size that it does not have.
      sheet.reset_dimensions()
      with rows(sheet, max_row=MOST_ROWS) as found_rows:
        found[sheet.title] = [list(map(text, cells)) for cells in found_rows]
  return found


def text(cell: Any) -> str:
  """Cell as text; 4.0, which spreadsheets make of 4, becomes '4'."""
  if cell is None:
    return ''
  if isinstance(cell, float) and cell.is_integer():
    cell = int(cell)
  return str(cell).strip()


def _check_size(path: pathlib.Path, file: BinaryIO) -> None:
  """Raises for a workbook that is locked, or too large when unpacked."""
  if file.read(len(_OLE)) == _OLE:
    raise UnusableError(
      f'{path} cannot be read as an .xlsx spreadsheet: it is protected by a '
      'password, or an .xls under another name. Open it in a spreadsheet '
      'program and save it as .xlsx, without a password.'
    )
  with zipfile.ZipFile(file) as archive:
    # Never more than these declared sizes is unpacked.
    size = sum(entry.file_size for entry in archive.infolist())
  if size > _MOST_BYTES:
    raise UnusableError(
      f'{path} unpacks to {size / 1e6:.0f} MB; the annotations of a data set '
      f'take less than {_MOST_BYTES / 1e6:.0f}. If these are them, save a copy '
      'with the table alone, without blank rows and other sheets.'
    )
