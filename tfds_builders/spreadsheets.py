"""Chooses among the spreadsheets of a folder, and compares them.

Beside the right spreadsheet there may be copies, backups and older versions.
One spreadsheet is read. Others may have further clips, which is noted, but must
not contradict it about the same clip.
"""

from collections.abc import Iterable, Sequence
import fnmatch
import pathlib
import re

from dianet_jax.clips import frame_names
from dianet_jax.core import errors
from tfds_builders import annotations, clips, frames, workbooks

# Spreadsheets in formats that are not read.
_OTHER_SUFFIXES = ('.xls', '.xlsm', '.xlsb', '.csv', '.ods', '.numbers')
_COMPARED = ('onset_frame', 'apex_frame', 'offset_frame', 'emotion',
             'action_units')  # fmt: skip
_MOST_LISTED = 3


def read(
  data_set: clips.DataSet, root: pathlib.Path, folders: Sequence[frames.Folder]
) -> tuple[annotations.Sheet, list[str]]:
  """Reads the annotations from the spreadsheet that fits best.

  Spreadsheets are ordered by the data set's patterns of names. After that,
  names with nothing beyond the pattern come first and names of copies last;
  then the shallowest folder counts, then the name.

  Args:
    data_set: the data set.
    root: paths in notes are relative to it.
    folders: the folders to search.

  Returns:
    The sheet, and notes on what was read and what was not.

  Raises:
    raw_folder.NothingFoundError: there is no such spreadsheet.
    errors.UserError: the one that fits best is damaged, or has a cell that
      cannot be used; two sheets contradict each other.
  """
  paths = _find_files(data_set, folders)
  read_sheets, failures, unread = [], [], []
  for path in paths:
    try:
      sheet = annotations.read(
        path, data_set.subject_format, data_set.clip_name
      )
    except workbooks.UnusableError as error:
      failures.append(str(error))
      # Its name fits, so it may be the right one.
      if _rank(data_set, path)[0] < len(data_set.spreadsheets):
        if isinstance(error, workbooks.UnreadableError) and not read_sheets:
          # Another one may be an old copy; and a composite would take the data
          # set for absent.
          raise
        unread.append(f'skipped: {error}')
    except errors.UserError as error:
      if not read_sheets:
        raise
      unread.append(f'not compared with what was read: {error}')
    else:
      read_sheets.append(sheet)
  if not read_sheets:
    raise data_set.guide.error(_no_sheet(folders, failures), root, folders)
  sheet = read_sheets[0]
  others = [str(p.relative_to(root)) for p in paths if p != sheet.path]
  notes = [f'annotations from {sheet.path.relative_to(root)}']
  if others:
    notes[0] += f', not from {", ".join(others)}'
  compared = [*sheet.others]
  for other in read_sheets[1:]:
    compared += [other, *other.others]
  for other in compared:
    _refuse_disagreement(data_set, sheet, other)
  notes += [
    note
    for other in compared
    for note in _only_there(data_set, sheet, other, root)
  ]
  return sheet, notes + sheet.notes + unread


def _find_files(
  data_set: clips.DataSet, folders: Iterable[frames.Folder]
) -> list[pathlib.Path]:
  """The .xlsx files, the one that fits best first."""
  paths = [
    folder.path / name
    for folder in folders
    for name in folder.file_names
    # Excel keeps a lock file '~$name.xlsx' beside an open spreadsheet.
    if name.casefold().endswith('.xlsx') and not name.startswith('~$')
  ]
  return sorted(paths, key=lambda path: _rank(data_set, path))


def _rank(
  data_set: clips.DataSet, path: pathlib.Path
) -> tuple[int, bool, bool]:
  """Sort key: smaller if the name fits better."""
  name = path.name.casefold()
  patterns = (*data_set.spreadsheets, '*')
  fits = [fnmatch.fnmatch(name, pattern) for pattern in patterns].index(True)
  exact = path.stem.casefold() == patterns[fits].rstrip('*')
  return fits, frame_names.is_copy(name), not exact


def _no_sheet(folders: Iterable[frames.Folder], failures: Sequence[str]) -> str:
  """The message if no spreadsheet was found."""
  lines = ['no spreadsheet (.xlsx) with the annotations was found.']
  near = [
    str(folder.path / name)
    for folder in folders
    for name in folder.file_names
    if name.casefold().endswith(_OTHER_SUFFIXES)
  ]
  if near:
    lines.append(
      f'There is {", ".join(near[:_MOST_LISTED])}: if that is it, open it in a '
      'spreadsheet program and save it as .xlsx.'
    )
  return '\n'.join([*lines, *failures[:_MOST_LISTED]])


def _by_clip(
  data_set: clips.DataSet, sheet: annotations.Sheet
) -> dict[str, list[annotations.Annotation]]:
  rows: dict[str, list[annotations.Annotation]] = {}
  for annotation in sheet.annotations:
    key = data_set.id_of(annotation).casefold()
    rows.setdefault(key, []).append(annotation)
  return rows


def _refuse_disagreement(
  data_set: clips.DataSet, read_: annotations.Sheet, other: annotations.Sheet
) -> None:
  """Raises UserError if the sheets contradict each other about a clip."""
  there = _by_clip(data_set, read_)
  found = []
  for key, rows in _by_clip(data_set, other).items():
    for row in rows if key in there else []:
      columns = [_differences(first, row) for first in there[key]]
      if all(columns):
        found.append((there[key][0], row, columns[0]))
  if not found:
    return
  first, row, columns = found[0]
  values = ', '.join(
    f"column '{name}' {getattr(first, name)!r} and {getattr(row, name)!r}"
    for name in columns
  )
  clips_more = f'; so do {len(found) - 1} more rows' * (len(found) > 1)
  raise errors.UserError(
    f'{read_.place(first)}, and {other.place(row)}, disagree about the clip '
    f'{data_set.id_of(first)}: {values}{clips_more}. Keep the '
    'right one and remove the other from the folder, or name a folder that '
    'holds only one of them.'
  )


def _differences(
  first: annotations.Annotation, other: annotations.Annotation
) -> list[str]:
  """The columns in which two rows on one clip differ by more than spelling."""
  return [
    name
    for name in _COMPARED
    if _plain(getattr(first, name)) != _plain(getattr(other, name))
  ]


def _plain(value: object) -> str:
  """The value without case and blanks; 'Other' and 'Others' are the same."""
  return re.sub(r'\s', '', str(value).casefold()).removesuffix('s')


def _only_there(
  data_set: clips.DataSet,
  read_: annotations.Sheet,
  other: annotations.Sheet,
  root: pathlib.Path,
) -> list[str]:
  """A note on clips that are only in the sheet that was not read, if any."""
  there = _by_clip(data_set, read_)
  rows = [
    rows[0]
    for key, rows in _by_clip(data_set, other).items()
    if key not in there
  ]
  if not rows:
    return []
  listed = ', '.join(data_set.id_of(row) for row in rows[:_MOST_LISTED])
  more = ', ...' if len(rows) > _MOST_LISTED else ''
  return [
    f"{other.path.relative_to(root)}, sheet '{other.name}', which was not read,"
    f' has {len(rows)} more clips: {listed}{more}'
  ]
