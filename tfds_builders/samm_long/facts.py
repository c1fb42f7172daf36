"""SAMM Long Videos: macro- and micro-expressions at 200 frames per second."""

from collections.abc import Sequence
import pathlib
import re

from dianet_jax.core import errors
from tfds_builders import frames, long_videos, raw_folder, workbooks

_GUIDE = raw_folder.Guide(
  title='SAMM Long Videos',
  source=(
    'SAMM Long Videos are given to researchers who sign its release agreement: '
    'ask Moi Hoon Yap and Adrian Davison, Manchester Metropolitan University, '
    'at helward.mmu.ac.uk/STAFF/M.Yap/dataset.php.'
  ),
  layout=(
    '  SAMM_LongVideos_V2_Release.xlsx\n'
    '  SAMM_longvideos/006_1/006_1_0001.jpg, 006_1_0002.jpg, ...\n'
    '  and, for the emotions, SAMM_Micro_FACS_Codes_v2.xlsx'
  ),
)
_FOLDER = re.compile(r'(\d{3})_(\d+)$')
_CLIP = re.compile(r'(\d{3})_(\d+)_\d+')
_COLUMNS = ('subject', 'filename', 'onset', 'apex', 'offset', 'type')


def _video_of(path: pathlib.Path) -> tuple[str, str] | None:
  match = _FOLDER.match(path.name)
  return (match[1], path.name) if match else None


def _table(
  path: pathlib.Path, needed: Sequence[str]
) -> tuple[str, list[tuple[int, dict[str, str]]]]:
  """Finds the sheet with these columns; returns its title and (row, cells)."""
  for title, rows in workbooks.read_cells(path).items():
    for index, cells in enumerate(rows):
      names = [cell.strip().casefold().removesuffix(' frame') for cell in cells]
      if all(name in names for name in needed):
        below = [
          (index + 2 + turn, dict(zip(names, row)))
          for turn, row in enumerate(rows[index + 1 :])
        ]
        return title, below
  raise errors.UserError(
    f'{path} has no table with the columns {", ".join(needed)}. Get a new'
    ' copy of it.'
  )


def _emotions(
  folders: Sequence[frames.Folder],
) -> tuple[dict[str, str], str]:
  """Reads clip -> emotion from the spreadsheet of SAMM; also returns a note."""
  paths = [
    folder.path / name
    for folder in folders
    for name in folder.file_names
    if re.match(r'samm_.*facs_codes.*\.xlsx$', name.casefold())
  ]
  if not paths:
    return {}, (
      'no emotions, because the spreadsheet of SAMM,'
      ' SAMM_Micro_FACS_Codes_v2.xlsx, is not in the folder'
    )
  path = min(paths)
  _, rows = _table(path, ('filename', 'estimated emotion'))
  emotions = {
    row['filename']: row['estimated emotion'].casefold() for _, row in rows
  }
  return emotions, f'emotions of micro-expressions from {path.name}'


def _read(
  path: pathlib.Path, folders: Sequence[frames.Folder]
) -> tuple[list[long_videos.Row], list[str]]:
  title, rows = _table(path, _COLUMNS)
  emotions, note = _emotions(folders)
  found = []
  for number, row in rows:
    if not row['filename']:
      continue
    place = f"{path}, sheet '{title}', row {number}"
    clip = _CLIP.fullmatch(row['filename'])
    if clip is None:
      raise errors.UserError(
        f'{place}: found the file name {row["filename"][:40]!r}, expected one'
        " like '006_1_2'. Correct the cell, or get a new copy."
      )
    found.append(
      long_videos.row_of(
        place,
        clip[1],
        f'{clip[1]}_{clip[2]}',
        row,
        emotions.get(row['filename'], ''),
      )
    )
  return found, [note]


DATA_SET = long_videos.LongVideos(
  name='samm_long',
  guide=_GUIDE,
  frames_per_second=200.0,
  spreadsheets=('samm_longvideos*',),
  read=_read,
  video_of=_video_of,
  videos=147,
  subjects=32,
  micro=159,
  macro=343,
  same_people=('samm', 'megc2019', 'megc2019_flow'),
)
