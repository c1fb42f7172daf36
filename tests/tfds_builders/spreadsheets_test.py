"""Which of several spreadsheets is read, and whether they agree."""

import os
import shutil

import openpyxl
import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import clip_finder, frames, spreadsheets
from tfds_builders.casme2 import facts as casme2
from tfds_builders.casme3 import facts as casme3

_NAME = 'CASME2-coding-20140508'
_ROWS = [raw_trees.casme2_row(1, f'EP0{i}') for i in (1, 2, 3)]


def _read(root):
  return spreadsheets.read(casme2.DATA_SET, root, frames.walk(root))


def _write(root, name, rows=_ROWS):
  return raw_trees.write_sheet(root / name, rows)


@pytest.mark.parametrize(
  'copy',
  [
    f'{_NAME} (1).xlsx', f'Copy of {_NAME}.xlsx', f'{_NAME} - Copy.xlsx',
    f'{_NAME}_old.xlsx', 'A/CASME2-coding-20140508 - Kopie.xlsx',
    f'{_NAME}-mine.xlsx', 'CASME2-coding-20190701.xlsx', 'aaa.xlsx',
  ],
)  # fmt: skip
@pytest.mark.parametrize('where', ['.', 'deep/down'])
def test_the_exact_name_comes_first(tmp_path, copy, where):
  for name in (f'{where}/{_NAME}.xlsx', copy):
    _write(tmp_path, name)
  sheet, notes = _read(tmp_path)
  assert sheet.path == tmp_path / where / f'{_NAME}.xlsx'
  assert notes[0].endswith(f', not from {copy}')
  assert len(notes) == 1


def test_a_copy_alone_is_read_and_named(tmp_path):
  _write(tmp_path, f'{_NAME} (1).xlsx')
  assert _read(tmp_path)[1] == [f'annotations from {_NAME} (1).xlsx']


@pytest.mark.parametrize(
  ('column', 'value', 'shown'),
  [
    ('emotion', 'surprise', "column 'emotion' 'happiness' and 'surprise'"),
    ('onset', 11, "column 'onset_frame' 10 and 11"),
    ('apex', '/', "column 'apex_frame' 14 and None"),
    ('offset', 18, "column 'offset_frame' 19 and 18"),
    ('action_units', '4', "column 'action_units' '12' and '4'"),
  ],
)
def test_two_that_disagree_about_a_clip_are_an_error(
  tmp_path, column, value, shown
):
  _write(tmp_path, f'{_NAME}.xlsx')
  rows = [_ROWS[0], raw_trees.casme2_row(1, 'EP02', **{column: value})]
  _write(tmp_path, f'{_NAME} (1).xlsx', rows)
  with pytest.raises(errors.UserError) as info:
    _read(tmp_path)
  text = str(info.value)
  for part in (
    f"{_NAME}.xlsx, sheet 'Sheet1', row 3", f"{_NAME} (1).xlsx, sheet 'Sheet1',"
    ' row 3', 'disagree about the clip sub01/EP02', shown,
  ):  # fmt: skip
    assert part in text
  # And no option of reading takes one of them without a word.
  with pytest.raises(errors.UserError, match='disagree'):
    clip_finder.find(casme2.DATA_SET, tmp_path)


def test_different_spellings_are_no_disagreement(tmp_path):
  _write(tmp_path, f'{_NAME}.xlsx')
  row = raw_trees.casme2_row('01', ' ep02', 10.0, '14', 19, 'Happiness ', 12.0)
  _write(tmp_path, 'mine.xlsx', [row])
  assert len(_read(tmp_path)[1]) == 1


def test_other_clips_are_a_note(tmp_path):
  _write(tmp_path, f'{_NAME}.xlsx')
  more = [raw_trees.casme2_row(2, f'EP0{i}') for i in range(1, 6)]
  _write(tmp_path, 'CASME2-coding-20190701.xlsx', more)
  assert _read(tmp_path)[1][1] == (
    "CASME2-coding-20190701.xlsx, sheet 'Sheet1', which was not read, has 5"
    ' more clips: sub02/EP01, sub02/EP02, sub02/EP03, ...'
  )


def test_a_copy_that_cannot_be_compared_is_a_note(tmp_path):
  _write(tmp_path, f'{_NAME}.xlsx')
  _write(tmp_path, 'mine.xlsx', [raw_trees.casme2_row(1, 'EP02', onset='x')])
  assert 'not compared with what was read: ' in _read(tmp_path)[1][1]


def test_a_damaged_sheet_is_not_replaced_by_an_old_copy(tmp_path):
  _write(tmp_path, 'mine.xlsx')
  path = tmp_path / f'{_NAME}.xlsx'
  path.write_bytes(b'PK\3\4')
  with pytest.raises(
    errors.UserError, match='cannot be read.*new copy'
  ) as info:
    _read(tmp_path)
  assert str(path) in str(info.value)


def test_a_sheet_without_a_table_is_replaced_and_reported(tmp_path):
  _write(tmp_path, 'mine.xlsx')
  raw_trees.write_sheet(tmp_path / f'{_NAME}.xlsx', [], ['Legend'])
  _, notes = _read(tmp_path)
  assert notes[0] == f'annotations from mine.xlsx, not from {_NAME}.xlsx'
  assert notes[1].startswith('skipped: ')


def test_another_data_set_is_not_compared(tmp_path):
  _write(tmp_path, f'{_NAME}.xlsx')
  _write(tmp_path, 'SAMM.xlsx', [raw_trees.casme2_row(6, '006_1_2')])
  assert len(_read(tmp_path)[1]) == 1


def test_clips_of_one_name_are_distinguished_by_their_onset(tmp_path):
  """CAS(ME)3: several clips of a video are no contradiction."""
  columns = raw_trees.LAYOUTS['casme3'].columns
  for name, onsets in (('cas(me)3_part_A', (1, 50)), ('x', (50, 90))):
    rows = [('spNO.1', 'a', i, i + 5, i + 9, '4', '', 'fear') for i in onsets]
    raw_trees.write_sheet(tmp_path / f'{name}.xlsx', rows, columns)
  _, notes = spreadsheets.read(casme3.DATA_SET, tmp_path, frames.walk(tmp_path))
  assert notes[1].endswith('has 1 more clips: spNO.1/a/90')


# Sheets of one file.


def _workbook(path, **sheets):
  """Name -> (state, emotion of the only clip)."""
  workbook = openpyxl.Workbook()
  workbook.remove(workbook.active)
  for name, (state, emotion) in sheets.items():
    sheet = workbook.create_sheet(name)
    sheet.sheet_state = state
    sheet.append(raw_trees.CASME2_HEADER)
    sheet.append(raw_trees.casme2_row(1, 'EP01', emotion=emotion))
  workbook.save(path)


@pytest.mark.parametrize('state', ['hidden', 'veryHidden'])
def test_a_hidden_sheet_comes_last(tmp_path, state):
  path = tmp_path / f'{_NAME}.xlsx'
  _workbook(path, old=(state, 'fear'), table=('visible', 'fear'))
  sheet, notes = _read(tmp_path)
  assert sheet.name == 'table'
  assert "sheet 'table' was read, not 'old'" in notes
  _workbook(path, old=(state, 'anger'), table=('visible', 'fear'))
  with pytest.raises(errors.UserError) as info:
    _read(tmp_path)
  assert "sheet 'table', row 2, and " in str(info.value)
  assert "sheet 'old', row 2, disagree" in str(info.value)


def test_a_hidden_sheet_alone_is_read_and_named(tmp_path):
  path = tmp_path / f'{_NAME}.xlsx'
  _workbook(path, old=('hidden', 'fear'), table=('visible', 'fear'))
  # A workbook needs a visible sheet; this one has no table.
  workbook = openpyxl.load_workbook(path)
  workbook['table'].delete_rows(1, 2)
  workbook.save(path)
  assert f"sheet 'old' of {_NAME}.xlsx is hidden" in _read(tmp_path)[1]


def test_two_columns_of_one_name(tmp_path):
  header = (*raw_trees.CASME2_HEADER, 'Apex Frame')
  same = (*raw_trees.casme2_row(1, 'EP01'), 14)
  path = raw_trees.write_sheet(tmp_path / 'a.xlsx', [same], header)
  assert _read(tmp_path)[0].annotations[0].apex_frame == 14
  other = (*raw_trees.casme2_row(1, 'EP02'), 15)
  raw_trees.write_sheet(path, [same, other], header)
  with pytest.raises(errors.UserError) as info:
    _read(tmp_path)
  assert "row 3: there are 2 columns 'apex', with '14' and '15'" in str(
    info.value
  )


# What is no spreadsheet.


@pytest.mark.parametrize('suffix', ['.xls', '.csv', '.ods', '.xlsm'])
def test_tables_of_other_programs_are_named(tmp_path, suffix):
  raw_trees.casme2(tmp_path)
  os.rename(tmp_path / f'{_NAME}.xlsx', tmp_path / f'{_NAME}{suffix}')
  with pytest.raises(errors.UserError) as info:
    _read(tmp_path)
  assert f'{_NAME}{suffix}: if that is it' in str(info.value)
  assert 'save it as .xlsx' in str(info.value)


def test_a_password_is_named(tmp_path):
  content = bytes.fromhex('d0cf11e0a1b11ae1') + bytes(2000)
  (tmp_path / f'{_NAME}.xlsx').write_bytes(content)
  with pytest.raises(errors.UserError, match='protected by a password'):
    _read(tmp_path)


def test_merged_cells_of_a_subject_are_named(tmp_path):
  path = _write(tmp_path, f'{_NAME}.xlsx')
  workbook = openpyxl.load_workbook(path)
  workbook.active.merge_cells('A2:A4')
  workbook.save(path)
  with pytest.raises(errors.UserError) as info:
    _read(tmp_path)
  assert "row 3, column 'subject': found ''" in str(info.value)
  assert 'undo the merging' in str(info.value)


# Folders and rows.


def test_folders_of_no_row_are_a_note(tmp_path):
  root = raw_trees.casme2(tmp_path)
  shutil.copytree(
    root / 'Cropped/Cropped/sub01/EP03_02', root / 'Cropped/sub09/EP44'
  )
  notes = clip_finder.find(casme2.DATA_SET, root).notes
  assert notes[-1] == (
    f'1 folders of clips are in no row of {_NAME}.xlsx: Cropped/sub09/EP44'
  )
