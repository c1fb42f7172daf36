"""Tiny raw trees for the tests, drawn as moving blobs, not faces."""

from collections.abc import Iterable, Sequence
import pathlib
from typing import Any

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


def frame(shift: float) -> np.ndarray:
  """A blob moved by `shift` pixels, uint8 [24, 32, 3]."""
  rows, columns = np.mgrid[:24, :32]
  blob = np.exp(-((rows - 12) ** 2 + (columns - 12 - shift) ** 2) / 20)
  return np.repeat((60 + 150 * blob).astype(np.uint8)[..., None], 3, axis=2)


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
    assert cv2.imwrite(str(folder / name.format(number)), frame(shift))


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
