"""Reads the spreadsheets with the annotations of the data sets.

Sheet and header row are found by their content, because published versions
differ in both (SAMM's header is in row 14, CASME II has blank columns) and
trimmed copies are common.
"""

from collections.abc import Sequence
import dataclasses
import pathlib
import re
from typing import Any

from dianet_jax.core import errors
from tfds_builders import workbooks

# Header names as `_squeeze` leaves them: lower case, letters only.
_COLUMNS = {
  'subject': ('subject',),
  'clip': ('filename',),
  'onset': ('onsetframe', 'onset'),
  'apex': ('apexframe', 'apex'),
  'offset': ('offsetframe', 'offset'),
  'emotion': ('estimatedemotion', 'emotion'),
  'action_units': ('actionunits', 'au'),
}
_OPTIONAL = {'action_units'}
_NO_APEX = {'', '/', '-', 'n/a', 'na', 'nan', 'none'}
_HEADER_ROWS = 40
# The limit of spreadsheet programs; a damaged file may claim any number.
_MOST_ROWS = 1_048_576
_MOST_LETTERS = 100
_MOST_LISTED = 5
_FORMULAS = (
  ' A formula that no spreadsheet program has evaluated yet reads as empty: '
  'open the file in one and save it.'
)

_MERGED = (
  ' Of merged cells, only the first has a value: undo the merging, and repeat '
  'the value in the cells below.'
)


@dataclasses.dataclass(frozen=True)
class Annotation:
  """One row: a clip, its key frames and its labels.

  Attributes:
    subject: as `subject_format` writes it.
    clip: the clip's name.
    onset_frame: number, as in the names of the frames' files.
    apex_frame: number; None if the cell says that there is none.
    offset_frame: number.
    emotion: as annotated.
    action_units: as annotated; '' if the sheet has no such column.
    row: number of the row in the sheet, from 1.
  """

  subject: str
  clip: str
  onset_frame: int
  apex_frame: int | None
  offset_frame: int
  emotion: str
  action_units: str
  row: int


@dataclasses.dataclass(frozen=True)
class Sheet:
  """The annotations of one sheet.

  Attributes:
    path: the file.
    name: name of the sheet.
    annotations: in the order of the rows.
    notes: on rows, columns and sheets that were skipped.
    others: further sheets of the file that annotate clips of the data set.
  """

  path: pathlib.Path
  name: str
  annotations: list[Annotation]
  notes: list[str]
  others: tuple['Sheet', ...] = ()

  def place(self, annotation: Annotation) -> str:
    """Where one of the annotations is, for messages."""
    return f"{self.path}, sheet '{self.name}', row {annotation.row}"


class NoHeaderError(workbooks.UnusableError):
  """The workbook has no table of clips, or one of another data set."""


def subject_number(text: str) -> int:
  """Number of a subject in any of the usual notations.

  >>> [subject_number(s) for s in ('6', '006', 'sub06', 'spNO.6', '6.0')]
  [6, 6, 6, 6, 6]

  Raises:
    ValueError: `text` does not end in a number.
  """
  match = re.fullmatch(r'[a-zA-Z_. ]*([0-9]+)(?:\.0+)?', text.strip())
  if not match:
    raise ValueError(f'{text!r} is not a subject')
  return int(match[1])


def read(path: pathlib.Path, subject_format: str, clip_name: str = '') -> Sheet:
  """Reads the sheets that have a table of clips.

  Args:
    path: an .xlsx file. If several sheets fit, a visible one with 'micro' in
      its name is returned, otherwise the first visible one, otherwise a hidden
      one.
    subject_format: how to write a subject's number, e.g. 'sub{:02d}'.
    clip_name: regular expression for the beginning of a clip's name; a table
      without such a clip belongs to another data set.

  Returns:
    The annotations, with the other sheets of the data set.

  Raises:
    workbooks.UnusableError: the file cannot be opened.
    NoHeaderError: no sheet has the required columns, or their clips belong to
      another data set.
    errors.UserError: a cell cannot be used; the message names file, sheet, row,
      column and value.
  """
  with workbooks.opened(path) as workbook:
    return _read_workbook(path, workbook, subject_format, clip_name)


def _read_workbook(
  path: pathlib.Path, workbook: Any, subject_format: str, clip_name: str
) -> Sheet:
  """The sheet that fits best, with the others that fit."""
  fitting, misses = [], []
  for sheet in workbook.worksheets:
    # A copy trimmed by hand may declare a wrong size.
    sheet.reset_dimensions()
    row, columns, missing = _find_header(sheet)
    if missing:
      misses.append(f"sheet '{sheet.title}': no {', '.join(missing)}")
    else:
      fitting.append((sheet, row, columns))
  if not fitting:
    raise NoHeaderError(
      f'{path} has no table of clips in the first {_HEADER_ROWS} rows of '
      f'any sheet ({"; ".join(misses)}).'
    )
  # Stable sort: SAMM's workbook may hold macro-expressions as well.
  fitting.sort(key=lambda found: _rank(found[0]))
  sheets, strange, notes, rank = [], '', [], None
  for sheet, row, columns in fitting:
    try:
      read = _read_rows(path, sheet, row, columns, subject_format)
    except errors.UserError as error:
      # A lesser sheet may be faulty, but then it was not compared either. One
      # that is as good may be the right one, and contradict what was read.
      if not sheets or _rank(sheet) == rank:
        raise
      notes.append(f'not compared with what was read: {error}')
      continue
    names = [annotation.clip for annotation in read.annotations]
    if any(re.match(clip_name, name, re.IGNORECASE) for name in names):
      sheets.append(read)
      rank = _rank(sheet) if rank is None else rank
    else:
      strange = strange or names[0]
  if not sheets:
    raise NoHeaderError(
      f'{path} annotates clips of another data set, such as {strange!r}.'
    )
  first, *others = sheets
  if others:
    names = ', '.join(f"'{other.name}'" for other in others)
    notes.append(f"sheet '{first.name}' was read, not {names}")
  notes = first.notes + notes
  return dataclasses.replace(first, notes=notes, others=tuple(others))


def _rank(sheet: Any) -> tuple[bool, bool]:
  """Of two sheets, the lower one is read."""
  return sheet.sheet_state != 'visible', 'micro' not in sheet.title.casefold()


def _squeeze(cell: Any) -> str:
  return re.sub('[^a-z]', '', str(cell).casefold())


def _find_header(
  sheet: Any,
) -> tuple[int, dict[str, list[int]], Sequence[str]]:
  """Row number, column indices, and the columns missing in the best row.

  A column has several indices if the header names it more than once.
  """
  best = (0, {}, sorted(set(_COLUMNS) - _OPTIONAL))
  with workbooks.rows(sheet, max_row=_HEADER_ROWS) as rows:
    for number, cells in enumerate(rows, 1):
      names = [_squeeze(cell) for cell in cells]
      columns = {
        column: [i for i, name in enumerate(names) if name == alias]
        for column, aliases in _COLUMNS.items()
        for alias in [a for a in aliases if a in names][:1]
      }
      missing = sorted(set(_COLUMNS) - _OPTIONAL - set(columns))
      if len(missing) < len(best[2]):
        best = (number, columns, missing)
      if not missing:
        break
  return best


def _read_rows(
  path: pathlib.Path,
  sheet: Any,
  header_row: int,
  columns: dict[str, list[int]],
  subject_format: str,
) -> Sheet:
  """The annotations in the rows below the header, with notes."""
  annotations, remarks = [], []
  with workbooks.rows(sheet, min_row=header_row + 1) as rows:
    for number, cells in enumerate(rows, header_row + 1):
      place = f"{path}, sheet '{sheet.title}', row {number}"
      if number > _MOST_ROWS:
        raise errors.UserError(
          f'{place}: a spreadsheet has {_MOST_ROWS} rows at most, so the file '
          'is damaged. Get a new copy of it.'
        )
      if cells.count(None) == len(cells):
        continue
      texts = {
        column: _only_text(place, column, [cells[i] for i in indices])
        for column, indices in columns.items()
      }
      if not any(texts.values()):
        continue
      # A remark below the table: it has neither clip nor frames.
      if not any(texts[name] for name in ('clip', 'onset', 'offset')):
        remarks.append(number)
        continue
      annotations.append(_annotation(place, texts, number, subject_format))
      if len(annotations) > workbooks.MOST_ROWS:
        raise errors.UserError(
          f'{place}: more than {workbooks.MOST_ROWS} clips; this is not the'
          ' annotation of a micro-expression data set.'
        )
  if not annotations:
    raise errors.UserError(
      f"{path}, sheet '{sheet.title}': no clip below the header in row "
      f'{header_row}.{_FORMULAS}'
    )
  notes = _note_remarks(path, remarks)
  if sheet.sheet_state != 'visible':
    notes.append(f"sheet '{sheet.title}' of {path.name} is hidden")
  return Sheet(path, sheet.title, annotations, notes)


def _note_remarks(path: pathlib.Path, rows: list[int]) -> list[str]:
  """A note on the rows without a clip, if any."""
  if not rows:
    return []
  listed = ', '.join(map(str, rows[:_MOST_LISTED]))
  if len(rows) == 1:
    return [f'row {listed} of {path.name} holds no clip: skipped']
  more = ', ...' if len(rows) > _MOST_LISTED else ''
  return [
    f'{len(rows)} rows of {path.name} hold no clip ({listed}{more}): skipped'
  ]


def _only_text(place: str, column: str, cells: Sequence[Any]) -> str:
  """The column's cell as text; columns of the same name must agree."""
  texts = list(dict.fromkeys(filter(None, map(workbooks.text, cells))))
  if len(texts) > 1:
    raise errors.UserError(
      f"{place}: there are {len(cells)} columns '{column}', with {texts[0]!r} "
      f'and {texts[1]!r}. Remove the wrong one from the sheet.'
    )
  return texts[0] if texts else ''


def _annotation(
  place: str, texts: dict[str, str], row: int, subject_format: str
) -> Annotation:
  """Annotation of one row of texts."""

  def fail(column: str, expected: str):
    found = texts[column]
    shown = repr(found[:_MOST_LETTERS]) + '...' * (len(found) > _MOST_LETTERS)
    raise errors.UserError(
      f"{place}, column '{column}': found {shown}, expected {expected}. "
      'Correct the cell, or get a new copy of the spreadsheet.'
      f'{"" if found else _FORMULAS}'
      f'{_MERGED if column == "subject" and not found else ""}'
    )

  def frame(column: str) -> int:
    match = re.fullmatch(r'([0-9]{1,9})(?:\.0+)?', texts[column])
    return int(match[1]) if match else fail(column, 'a frame number')

  try:
    subject = subject_format.format(subject_number(texts['subject']))
  except ValueError:
    fail('subject', f'a number or a name like {subject_format.format(1)!r}')
  for column in ('clip', 'emotion'):
    # These are shown on terminals and in reports.
    printable = texts[column].isprintable()
    if not (printable and 0 < len(texts[column]) <= _MOST_LETTERS):
      fail(column, f'a name of 1 to {_MOST_LETTERS} printable characters')
  no_apex = texts['apex'].casefold() in _NO_APEX
  return Annotation(
    subject=subject,
    clip=texts['clip'],
    onset_frame=frame('onset'),
    apex_frame=None if no_apex else frame('apex'),
    offset_frame=frame('offset'),
    emotion=texts['emotion'],
    action_units=texts.get('action_units', ''),
    row=row,
  )
