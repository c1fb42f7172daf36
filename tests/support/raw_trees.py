"""Tiny raw trees for the tests, drawn as moving blobs, not faces."""

from collections.abc import Iterable, Sequence
import dataclasses
import pathlib
from typing import Any
import zipfile
import zlib

import cv2
import numpy as np
import openpyxl

CASME2_HEADER = (
  'Subject',
  'Filename',
  None,
  'OnsetFrame',
  'ApexFrame',
  'OffsetFrame',
  None,
  'Action Units',
  'Estimated Emotion',
  'Objective Classes',
)


def frame(shift: float, face: float = 0.0) -> np.ndarray:
  """A blob moved by `shift` pixels before a pattern, uint8 [24, 32, 3].

  Args:
    shift: of the blob, in pixels.
    face: 0..1; another pattern is another person's, or another take.
  """
  rows, columns = np.mgrid[:24, :32]
  # Without it the blob would be all there is: a moving head, not a face.
  pattern = 25 * np.sin(rows / 2 + 2 * np.pi * face) * np.cos(columns / 3)
  blob = np.exp(-((rows - 12) ** 2 + (columns - 12 - shift) ** 2) / 20)
  return np.repeat(
    (60 + pattern + 150 * blob).astype(np.uint8)[..., None], 3, axis=2
  )


def face_of(folder: pathlib.Path) -> float:
  """The `face` of a clip, by the last folders: no two clips look the same."""
  return zlib.crc32('/'.join(folder.parts[-3:]).encode()) / 2**32


def write_clip(
  folder: pathlib.Path,
  numbers: Iterable[int],
  name: str = 'img{}.jpg',
  apex: int | None = None,
) -> None:
  """Writes frames whose motion is greatest at the frame `apex`."""
  folder.mkdir(parents=True, exist_ok=True)
  for number in numbers:
    shift = 0.0 if apex is None else max(0.0, 6 - abs(number - apex))
    image = frame(shift, face_of(folder))
    assert cv2.imwrite(str(folder / name.format(number)), image)


def write_sheet(
  path: pathlib.Path,
  rows: Sequence[Sequence[Any]],
  header: Sequence[Any] = CASME2_HEADER,
  header_row: int = 1,
  sheet: str = 'Sheet1',
) -> pathlib.Path:
  """Writes a workbook of one sheet, with remarks above the header."""
  path.parent.mkdir(parents=True, exist_ok=True)
  workbook = openpyxl.Workbook()
  workbook.active.title = sheet
  for number in range(1, header_row):
    workbook.active.append([f'remark {number}'])
  for row in (header, *rows):
    workbook.active.append(list(row))
  workbook.save(path)
  return path


def replace_in_sheet(path: pathlib.Path, old: bytes, new: bytes) -> None:
  """Replaces what a cell or a tag of the first sheet says."""
  name = 'xl/worksheets/sheet1.xml'
  with zipfile.ZipFile(path) as archive:
    parts = {entry: archive.read(entry) for entry in archive.namelist()}
  assert old in parts[name]
  parts[name] = parts[name].replace(old, new)
  with zipfile.ZipFile(path, 'w') as archive:
    for entry, content in parts.items():
      archive.writestr(entry, content)


def casme2_row(
  subject: Any,
  clip: str,
  onset: Any = 10,
  apex: Any = 14,
  offset: Any = 19,
  emotion: str = 'happiness',
  action_units: Any = 12,
) -> tuple[Any, ...]:
  """A row below CASME2_HEADER."""
  return (
    subject,
    clip,
    None,
    onset,
    apex,
    offset,
    None,
    action_units,
    emotion,
    None,
  )


def casme2(
  root: pathlib.Path,
  rows: Sequence[Sequence[Any]] | None = None,
  frames_folder: str = 'Cropped/Cropped',
  name: str = 'reg_img{}.jpg',
) -> pathlib.Path:
  """CASME II's layout with frames 8 to 22 of every clip; returns `root`."""
  if rows is None:
    rows = [
      casme2_row('01', 'EP02_01f'),
      casme2_row(1, 'EP03_02', emotion='disgust', action_units='4+7+L10'),
      casme2_row('02', 'EP02_01f', emotion='surprise'),
    ]
  write_sheet(root / 'CASME2-coding-20140508.xlsx', rows)
  for subject, clip, *_ in rows:
    folder = root / frames_folder / f'sub{int(subject):02d}' / clip
    write_clip(folder, range(8, 23), name, apex=14)
  return root


def mark_simulated(root: pathlib.Path) -> None:
  """Marks a raw tree as simulated, as `dianet simulate` does."""
  (root / 'SIMULATED.md').write_text('Drawn, not filmed.')


@dataclasses.dataclass(frozen=True)
class Clip:
  """A clip, as the spreadsheet has it and as it lies on disk.

  Attributes:
    subject: the cell, and unless `subject_folder` says otherwise the folder.
    name: the cell; the folder's name is that without blanks at the ends.
    onset: cell, as the next four.
    apex: cell.
    offset: cell.
    emotion: cell; its folder, where a layout has one, is `emotion_folder`.
    units: cell.
    frames: numbers of the first and the last frame on disk.
    moves_at: the frame of greatest motion.
    subject_folder: where it is not `subject`.
    emotion_folder: where it is not `emotion`.
  """

  subject: Any
  name: str
  onset: Any = 10
  apex: Any = 14
  offset: Any = 19
  emotion: str = 'happiness'
  units: Any = '12'
  frames: tuple[int, int] = (8, 22)
  moves_at: int = 13
  subject_folder: str = ''
  emotion_folder: str = ''


@dataclasses.dataclass(frozen=True)
class Layout:
  """How a data set lies on disk; patterns are of `Clip`'s fields."""

  columns: Sequence[str | None]
  sheet: str
  folder: str
  file: str
  title: str = 'Sheet1'
  header_row: int = 1


_SAMM_COLUMNS = (
  'Subject', 'Filename', 'Inducement Code', 'Onset Frame', 'Apex Frame',
  'Offset Frame', 'Duration', 'Micro', 'Action Units', 'Estimated Emotion',
  'Objective Classes', 'Notes',
)  # fmt: skip
_MMEW_COLUMNS = (
  'Subject', 'Filename', 'OnsetFrame', 'ApexFrame', 'OffsetFrame',
  'Action Units', 'Estimated Emotion', 'remarks',
)  # fmt: skip
_CASME3_COLUMNS = (
  'Subject', 'Filename', 'Onset', 'Apex', 'Offset', 'AU', 'Objective class',
  'emotion',
)  # fmt: skip

LAYOUTS = {
  'casme2': Layout(
    CASME2_HEADER,
    'CASME2-coding-20140508.xlsx',
    'Cropped/{subject_folder}/{name}',
    'reg_img{number}.jpg',
  ),
  'samm': Layout(
    _SAMM_COLUMNS,
    'SAMM_Micro_FACS_Codes_v2.xlsx',
    'SAMM/{subject_folder}/{name}',
    '{subject_folder}_{number:05d}.jpg',
    'MICRO_ONLY',
    14,
  ),
  'mmew': Layout(
    _MMEW_COLUMNS,
    'MMEW_Micro_Exp.xlsx',
    'MMEW_Final/Micro_Expression/{emotion_folder}/{name}',
    '{number}.jpg',
  ),
  # No spreadsheet: what `Clip` says of key frames is nowhere to be read.
  'smic': Layout(
    (),
    '',
    'SMIC_all_cropped/HS/{subject_folder}/micro/{emotion_folder}/{name}',
    'reg_image{number:06d}.bmp',
  ),
  'casme3': Layout(
    _CASME3_COLUMNS,
    'cas(me)3_part_A_ME_label.xlsx',
    '{subject_folder}/{name}/color',
    '{number}.jpg',
    'label',
  ),
}
# Columns by the field that they show, whatever a layout calls them; the rest
# holds what the sheets have there: a formula, texts, nothing.
_CELLS = {
  'Subject': 'subject', 'Filename': 'name', 'OnsetFrame': 'onset',
  'Onset Frame': 'onset', 'Onset': 'onset', 'ApexFrame': 'apex',
  'Apex Frame': 'apex', 'Apex': 'apex', 'OffsetFrame': 'offset',
  'Offset Frame': 'offset', 'Offset': 'offset', 'Action Units': 'units',
  'AU': 'units', 'Estimated Emotion': 'emotion', 'emotion': 'emotion',
}  # fmt: skip
_OTHER_CELLS = {'Duration': '=F15-D15+1', 'Micro': 'Micro - 1/2'}


def write_tree(
  root: pathlib.Path,
  dataset: str,
  clips: Sequence[Clip],
  rows: Sequence[Clip] | None = None,
  **layout: Any,
) -> pathlib.Path:
  """Writes the clips in a layout; returns `root`.

  Args:
    root: folder to make.
    dataset: one of LAYOUTS.
    clips: what lies on disk.
    rows: what the sheet says, where it is not `clips`.
    **layout: fields of `Layout` that are to be different.
  """
  style = dataclasses.replace(LAYOUTS[dataset], **layout)
  if style.sheet:
    cells = [
      [
        getattr(row, _CELLS[name]) if name in _CELLS else _OTHER_CELLS.get(name)
        for name in style.columns
      ]
      for row in (clips if rows is None else rows)
    ]
    path = root / style.sheet
    write_sheet(path, cells, style.columns, style.header_row, style.title)
  for clip in clips:
    fields = vars(clip) | {
      'name': clip.name.strip(),
      'subject_folder': clip.subject_folder or str(clip.subject),
      'emotion_folder': clip.emotion_folder or clip.emotion.strip(),
    }
    first, last = clip.frames
    folder = root / style.folder.format(**fields)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, last + 1):
      shift = max(0.0, 6 - abs(number - clip.moves_at))
      file = folder / style.file.format(number=number, **fields)
      assert cv2.imwrite(str(file), frame(shift, face_of(folder)))
  return root
