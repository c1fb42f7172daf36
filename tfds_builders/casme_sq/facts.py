"""CAS(ME)^2, part A: macro- and micro-expressions in long videos."""

from collections.abc import Sequence
import pathlib
import re

from dianet_jax.core import errors
from tfds_builders import (
  annotations,
  frames,
  long_videos,
  raw_folder,
  workbooks,
)

_GUIDE = raw_folder.Guide(
  title='CAS(ME)^2, part A',
  source=(
    'CAS(ME)^2 is given to researchers who sign its license agreement: ask '
    'MELAB, Institute of Psychology, Chinese Academy of Sciences, at '
    'casme.psych.ac.cn.'
  ),
  layout=(
    '  CAS(ME)^2code_final.xlsx (or code_final.xlsx)\n'
    '  rawpic/s15/15_0101disgustingteeth/img001.jpg, img002.jpg, ...'
  ),
)
# <subject>_<code of the video><its name>
_FOLDER = re.compile(r'(\d+)_(\d{4})')
_COLUMNS = ('subject', 'video', 'onset', 'apex', 'offset', 'action units',
            'valence', 'type', 'emotion')  # fmt: skip


def _video_of(path: pathlib.Path) -> tuple[str, str] | None:
  match = _FOLDER.match(path.name)
  return (f's{int(match[1])}', match[2]) if match else None


def _codes(
  path: pathlib.Path, rows: Sequence[Sequence[str]], name: int, code: int
) -> dict[str, str]:
  """A sheet that maps the names of the first sheet to those of folders."""
  found = {
    row[name].casefold(): row[code]
    for row in rows
    if len(row) > max(name, code) and row[name] and row[code]
  }
  if not found:
    raise errors.UserError(
      f'{path}: the second and the third sheet must map subjects and videos to'
      ' the codes in the names of folders. Get a new copy of it.'
    )
  return found


def _read(
  path: pathlib.Path, folders: Sequence[frames.Folder]
) -> tuple[list[long_videos.Row], list[str]]:
  """Reads the three sheets, which have no header."""
  del folders
  sheets = workbooks.read_cells(path)
  if len(sheets) < 3:
    raise errors.UserError(
      f'{path} has {len(sheets)} sheet(s), expected three: expressions, codes'
      ' of subjects, codes of videos. Get a new copy of it.'
    )
  [(title, rows), (_, subjects), (_, videos)] = list(sheets.items())[:3]
  subject_codes = _codes(path, subjects, 2, 1)
  video_codes = _codes(path, videos, 1, 0)
  found = []
  for number, cells in enumerate(rows, 1):
    if not any(cells):
      continue
    place = f"{path}, sheet '{title}', row {number}"
    row = dict(zip(_COLUMNS, [*cells, *[''] * len(_COLUMNS)]))
    # anger1_2 is the second expression in the video anger1.
    name = row['video'].rpartition('_')[0].casefold() or row['video']
    subject = subject_codes.get(row['subject'].casefold())
    video = video_codes.get(name)
    if subject is None or video is None:
      raise errors.UserError(
        f'{place}: no code for the subject {row["subject"]!r} or the video'
        f' {name!r} in the other sheets. Correct the cell, or get a new'
        ' copy.'
      )
    found.append(
      long_videos.row_of(
        place,
        f's{annotations.subject_number(subject)}',
        # Spreadsheet programs make 101 of 0101.
        video.zfill(4),
        row,
        row['emotion'].casefold(),
      )
    )
  return found, []


DATA_SET = long_videos.LongVideos(
  name='casme_sq',
  guide=_GUIDE,
  frames_per_second=30.0,
  spreadsheets=('cas(me)*code_final*', '*code_final*'),
  read=_read,
  video_of=_video_of,
  videos=87,
  subjects=22,
  micro=57,
  macro=300,
)
