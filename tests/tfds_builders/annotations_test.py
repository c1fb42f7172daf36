"""Tests of the annotation reader."""

import dataclasses
import datetime
import pathlib
import re

import hypothesis
from hypothesis import strategies as st
import openpyxl
import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import annotations, workbooks

_SAMM_HEADER = (
  'Subject',
  'Filename',
  'Inducement Code',
  'Onset Frame',
  'Apex Frame',
  'Offset Frame',
  'Duration',
  'Micro',
  'Action Units',
  'Estimated Emotion',
  'Objective Classes',
  'Notes',
)


def _read_rows(folder: pathlib.Path, *rows, subject_format='sub{:02d}'):
  path = raw_trees.write_sheet(folder / 'a.xlsx', rows)
  return annotations.read(path, subject_format)


def test_reads_casme2_with_blank_columns_and_mixed_cells(tmp_path):
  sheet = _read_rows(
    tmp_path,
    raw_trees.casme2_row('01', ' EP02_01f ', '46', 59.0, '86.0', ' others '),
    raw_trees.casme2_row(1, 'EP03_02', action_units='4+7+L10'),
    raw_trees.casme2_row(4, 'EP12_01f', 261, '/', 321),
  )
  assert sheet.annotations == [
    annotations.Annotation(
      'sub01', 'EP02_01f', 46, 59, 86, 'others', '12', row=2
    ),
    annotations.Annotation(
      'sub01', 'EP03_02', 10, 14, 19, 'happiness', '4+7+L10', row=3
    ),
    annotations.Annotation(
      'sub04', 'EP12_01f', 261, None, 321, 'happiness', '12', row=4
    ),
  ]


@pytest.mark.parametrize('header_row', [1, 14, 40])
def test_finds_samm_header_in_any_row(tmp_path, header_row):
  row = (
    '006',
    '006_1_2',
    1,
    5562,
    5588,
    5632,
    '=F2-D2',
    'Micro',
    'AU4',
    'Anger',
  )
  path = raw_trees.write_sheet(
    tmp_path / 'a.xlsx', [row], _SAMM_HEADER, header_row, 'MICRO_ONLY'
  )
  sheet = annotations.read(path, '{:03d}')
  assert sheet.name == 'MICRO_ONLY'
  assert sheet.annotations == [
    annotations.Annotation(
      '006', '006_1_2', 5562, 5588, 5632, 'Anger', 'AU4', row=header_row + 1
    )
  ]


def test_header_below_row_40_is_not_found(tmp_path):
  path = raw_trees.write_sheet(tmp_path / 'a.xlsx', [], header_row=41)
  with pytest.raises(workbooks.UnusableError, match='first 40 rows'):
    annotations.read(path, '{}')


def test_header_names_ignore_case_and_blanks(tmp_path):
  header = (
    ' SUBJECT', 'File name', 'onset  frame', 'Apex Frame ', 'OFFSETFRAME',
    'estimated emotion',
  )  # fmt: skip
  path = raw_trees.write_sheet(
    tmp_path / 'a.xlsx', [('S01', 'S01-01-001', 1, 5, 9, 'fear')], header
  )
  (annotation,) = annotations.read(path, 'S{:02d}').annotations
  assert annotation.subject == 'S01'
  assert annotation.action_units == ''


def test_prefers_the_sheet_of_micro_expressions(tmp_path):
  workbook = openpyxl.Workbook()
  for name, clip in (('MACRO', 'big'), ('MICRO_ONLY', 'small')):
    sheet = workbook.create_sheet(name)
    sheet.append(raw_trees.CASME2_HEADER)
    sheet.append(raw_trees.casme2_row(1, clip))
  workbook.save(tmp_path / 'a.xlsx')
  sheet = annotations.read(tmp_path / 'a.xlsx', '{}')
  assert [annotation.clip for annotation in sheet.annotations] == ['small']
  assert sheet.notes == ["sheet 'MICRO_ONLY' was read, not 'MACRO'"]


@pytest.mark.parametrize('state', ['visible', 'hidden'])
def test_a_faulty_sheet_is_an_error_if_it_may_be_the_right_one(tmp_path, state):
  """An older sheet before it must not be read in its place."""
  workbook = openpyxl.Workbook()
  for name, onset in (('old', 3), ('Sheet1', None)):
    sheet = workbook.create_sheet(name)
    sheet.append(raw_trees.CASME2_HEADER)
    sheet.append(raw_trees.casme2_row(1, 'EP01', onset=onset))
  sheet.sheet_state = state
  workbook.save(tmp_path / 'a.xlsx')
  if state == 'visible':
    with pytest.raises(errors.UserError, match="'Sheet1', row 2, .*'onset'"):
      annotations.read(tmp_path / 'a.xlsx', '{}')
  else:
    sheet = annotations.read(tmp_path / 'a.xlsx', '{}')
    assert sheet.name == 'old'
    assert 'not compared with what was read: ' in sheet.notes[0]


def test_blank_rows_and_remarks_are_passed_over_and_noted(tmp_path):
  sheet = _read_rows(
    tmp_path,
    [None] * 3,
    raw_trees.casme2_row(1, 'EP02_01f'),
    ['total: 1'],
  )
  assert len(sheet.annotations) == 1
  assert sheet.notes == ['row 4 of a.xlsx holds no clip: skipped']


@pytest.mark.parametrize(
  ('column', 'value'),
  [
    ('subject', 'nobody'),
    ('onset', 'x'),
    ('onset', None),
    ('onset', -3),
    ('onset', 46.5),
    ('apex', 'late'),
    ('offset', '1e3'),
    ('clip', None),
    ('emotion', '  '),
  ],
)
def test_bad_cell_is_named(tmp_path, column, value):
  cells = {'subject': 1, 'clip': 'EP02_01f', column: value}
  with pytest.raises(errors.UserError) as info:
    _read_rows(
      tmp_path,
      raw_trees.casme2_row(1, 'EP01'),
      raw_trees.casme2_row(**cells),
    )
  shown = '' if value is None else str(value).strip()
  for text in ('a.xlsx', "'Sheet1'", 'row 3', f"'{column}'", repr(shown)):
    assert text in str(info.value)


def test_missing_column_is_named(tmp_path):
  header = [name for name in raw_trees.CASME2_HEADER if name != 'ApexFrame']
  path = raw_trees.write_sheet(tmp_path / 'a.xlsx', [], header)
  with pytest.raises(workbooks.UnusableError, match="'Sheet1': no apex"):
    annotations.read(path, '{}')


def test_file_that_is_no_spreadsheet(tmp_path):
  (tmp_path / 'a.xlsx').write_bytes(b'not a zip archive')
  with pytest.raises(workbooks.UnusableError, match=r'a\.xlsx cannot be read'):
    annotations.read(tmp_path / 'a.xlsx', '{}')


@pytest.mark.parametrize('share', [0.3, 0.6, 0.95])
def test_damaged_spreadsheet(tmp_path, share):
  path = raw_trees.write_sheet(
    tmp_path / 'a.xlsx', [raw_trees.casme2_row(1, 'EP01')]
  )
  data = path.read_bytes()
  path.write_bytes(data[: int(share * len(data))])
  with pytest.raises(workbooks.UnusableError, match=r'a\.xlsx cannot be read'):
    annotations.read(path, '{}')


def test_damaged_sheet(tmp_path):
  path = raw_trees.write_sheet(
    tmp_path / 'a.xlsx', [raw_trees.casme2_row(1, 'EP01')]
  )
  raw_trees.replace_in_sheet(path, b'</sheetData>', b'</sheet>')
  with pytest.raises(workbooks.UnusableError, match=r'a\.xlsx cannot be read'):
    annotations.read(path, '{}')


def test_sheet_without_clips(tmp_path):
  with pytest.raises(errors.UserError, match='no clip below the header'):
    _read_rows(tmp_path)


def test_endless_sheet_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(workbooks, 'MOST_ROWS', 3)
  rows = [raw_trees.casme2_row(1, f'EP{i}') for i in range(5)]
  with pytest.raises(errors.UserError, match='row 5: more than 3 clips'):
    _read_rows(tmp_path, *rows)


def test_number_that_is_stored_with_a_point(tmp_path):
  """openpyxl writes 12.0 as 12; other programs do not."""
  path = raw_trees.write_sheet(
    tmp_path / 'a.xlsx', [raw_trees.casme2_row(1, 'EP01')]
  )
  raw_trees.replace_in_sheet(path, b'<v>12</v>', b'<v>12.0</v>')
  assert annotations.read(path, '{}').annotations[0].action_units == '12'


def test_wrong_size_in_the_sheet_is_ignored(tmp_path):
  """Copies trimmed by hand may claim that the table is one cell large."""
  path = raw_trees.write_sheet(
    tmp_path / 'a.xlsx', [raw_trees.casme2_row(1, 'EP01')]
  )
  raw_trees.replace_in_sheet(
    path, b'<dimension ref="A1:J2"', b'<dimension ref="A1:A1"'
  )
  assert len(annotations.read(path, '{}').annotations) == 1


@pytest.mark.parametrize(
  ('text', 'number'),
  [('01', 1), ('1', 1), ('sub01', 1), ('SUB 7', 7), ('006', 6), ('S30', 30),
   (' s09 ', 9), ('6.0', 6)],
)  # fmt: skip
def test_subject_number(text, number):
  assert annotations.subject_number(text) == number


@pytest.mark.parametrize('text', ['', 'sub', '1a', '1-2', '../1', '-1'])
def test_no_subject_number(text):
  with pytest.raises(ValueError, match='is not a subject'):
    annotations.subject_number(text)


@st.composite
def _cells(draw, number):
  """The forms in which a spreadsheet may hold a frame number."""
  blanks = draw(st.sampled_from(['', ' ', '\t', '\xa0']))
  return draw(
    st.sampled_from([number, float(number), f'{blanks}{number}{blanks}'])
  )


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(data=st.data())
def test_round_trip_in_any_form(data, tmp_path_factory):
  numbers = st.integers(1, 99_999)
  expected, rows = [], []
  for row in range(2, 2 + data.draw(st.integers(1, 4))):
    onset, offset = data.draw(numbers), data.draw(numbers)
    apex = data.draw(st.none() | numbers)
    subject = data.draw(st.integers(1, 99))
    rows.append(
      raw_trees.casme2_row(
        data.draw(st.sampled_from([subject, f'{subject:03d}', f's{subject}'])),
        'EP01',
        data.draw(_cells(onset)),
        data.draw(st.sampled_from(['/', None, ' ']))
        if apex is None
        else data.draw(_cells(apex)),
        data.draw(_cells(offset)),
      )
    )
    expected.append((f'sub{subject:02d}', onset, apex, offset, row))
  sheet = _read_rows(tmp_path_factory.mktemp('sheet'), *rows)
  assert expected == [
    (a.subject, a.onset_frame, a.apex_frame, a.offset_frame, a.row)
    for a in sheet.annotations
  ]


_LABELS = st.text(
  st.characters(exclude_categories=['C', 'Z']), min_size=1, max_size=100
)


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(data=st.data())
def test_columns_in_any_order_and_spelling(data, tmp_path_factory):
  """Header in any row and case, blank columns, labels in any script."""
  clip, emotion = data.draw(_LABELS), data.draw(_LABELS)
  # Such texts are read as numbers by a spreadsheet, or as a formula.
  hypothesis.assume(not clip.startswith('=') and not emotion.startswith('='))
  cells = {
    'Subject': 7, 'File name': clip, 'Onset Frame': 3, 'ApexFrame': 5,
    'Offset': 9, 'Estimated Emotion': emotion, 'Action Units': 'L4',
    None: None,
  }  # fmt: skip
  order = data.draw(st.permutations([*cells, None, None]))
  style = data.draw(st.sampled_from([str.upper, str.lower, str.title]))
  header = [name and f' {style(name)} ' for name in order]
  path = raw_trees.write_sheet(
    tmp_path_factory.mktemp('sheet') / 'a.xlsx',
    [[cells[name] for name in order]],
    header,
    data.draw(st.integers(1, 20)),
  )
  (annotation,) = annotations.read(path, 'sub{:02d}').annotations
  assert dataclasses.replace(annotation, row=0) == annotations.Annotation(
    'sub07', clip, 3, 5, 9, emotion, 'L4', 0
  )


# What openpyxl can write: no control characters.
_ANY_CELL = st.one_of(
  st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(),
  st.datetimes(min_value=datetime.datetime(1901, 1, 1)),
  st.text(st.characters(exclude_categories=['Cs', 'Cc']), max_size=300),
  st.text('0123456789./- ESab=', max_size=8),
)  # fmt: skip


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(row=st.lists(_ANY_CELL, min_size=10, max_size=10))
def test_any_cell_is_read_or_named(row, tmp_path_factory):
  try:
    sheet = _read_rows(
      tmp_path_factory.mktemp('sheet'), raw_trees.casme2_row(1, 'EP01'), row
    )
  except workbooks.UnusableError:
    raise
  except errors.UserError as error:
    assert "row 3, column '" in str(error)
    assert len(str(error)) < 1_500
    return
  for annotation in sheet.annotations:
    assert re.fullmatch(r'sub\d{2,}', annotation.subject)
    for name in (annotation.clip, annotation.emotion):
      assert name.isprintable()
      assert 0 < len(name) <= 100
    frames = (annotation.onset_frame, annotation.offset_frame)
    assert all(0 <= number < 10**9 for number in frames)
