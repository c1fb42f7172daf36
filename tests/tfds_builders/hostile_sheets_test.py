"""Spreadsheets that are damaged or malicious."""

import subprocess
import sys
import textwrap

import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import annotations, workbooks


def _read_rows(folder, *rows):
  path = raw_trees.write_sheet(folder / 'a.xlsx', rows)
  return annotations.read(path, 'sub{:02d}')


def test_a_very_long_name_is_refused_and_shortened_in_the_message(tmp_path):
  with pytest.raises(errors.UserError, match=r"column 'clip'.*EPEPEP") as info:
    _read_rows(tmp_path, raw_trees.casme2_row(1, 'EP' * 10_000))
  assert len(str(info.value)) < 600


@pytest.mark.parametrize(
  'name', ['EP01\nVerdict: ready', 'EP\x7f01', 'E\u202eP']
)
def test_a_name_that_would_forge_output_is_refused(tmp_path, name):
  with pytest.raises(errors.UserError, match="column 'clip'") as info:
    _read_rows(tmp_path, raw_trees.casme2_row(1, name))
  assert str(info.value).isprintable()


def test_formula_without_a_value_says_so(tmp_path):
  with pytest.raises(errors.UserError, match='formula') as info:
    _read_rows(tmp_path, raw_trees.casme2_row(1, 'EP01', onset='=1+9'))
  assert "column 'onset': found ''" in str(info.value)


def test_formula_with_a_value_is_that_value(tmp_path):
  path = raw_trees.write_sheet(
    tmp_path / 'a.xlsx', [raw_trees.casme2_row(1, 'EP01', onset='=1+9')]
  )
  raw_trees.replace_in_sheet(path, b'<v />', b'<v>10</v>')
  (annotation,) = annotations.read(path, '{}').annotations
  assert annotation.onset_frame == 10


def test_formulas_are_never_evaluated(tmp_path):
  """No reference to another file or program is followed."""
  formula = '=WEBSERVICE("http://localhost/")'
  with pytest.raises(errors.UserError, match="column 'emotion': found ''"):
    _read_rows(tmp_path, raw_trees.casme2_row(1, 'EP01', emotion=formula))


def test_remarks_are_one_note(tmp_path):
  rows = [raw_trees.casme2_row(1, 'EP01'), *[[f'remark {i}'] for i in range(9)]]
  assert _read_rows(tmp_path, *rows).notes == [
    '9 rows of a.xlsx hold no clip (3, 4, 5, 6, 7, ...): skipped'
  ]


def test_a_huge_row_number_is_refused(tmp_path):
  """Rows that are missing would be counted up to it, one by one."""
  path = raw_trees.write_sheet(
    tmp_path / 'a.xlsx',
    [raw_trees.casme2_row(1, f'EP0{i}') for i in (1, 2)],
  )
  raw_trees.replace_in_sheet(path, b'<row r="3"', b'<row r="3000000000"')
  with pytest.raises(errors.UserError, match='1048576 rows at most'):
    annotations.read(path, '{}')


def _million_rows(path, row):
  """A workbook of 10^6 equal rows below a header and a clip."""
  raw_trees.write_sheet(path, [raw_trees.casme2_row(1, 'EP01')])
  cells = b''.join(
    b'<c t="inlineStr"><is><t>%s</t></is></c>' % cell for cell in row
  )
  rows = b'<row>%s</row>' % cells * 10**6 + b'</sheetData>'
  raw_trees.replace_in_sheet(path, b'</sheetData>', rows)
  return path


@pytest.mark.slow
@pytest.mark.parametrize('row', [[], [b'x'], [b'1', b'EP', b'', b'1']])
def test_a_million_rows_take_little_memory(tmp_path, row):
  path = _million_rows(tmp_path / 'a.xlsx', row)
  program = textwrap.dedent("""
    import pathlib, resource, sys
    from dianet_jax.core import errors
    from tfds_builders import annotations
    def peak():
      return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    before = peak()
    try:
      clips = len(annotations.read(pathlib.Path(sys.argv[1]), '{}').annotations)
      print(clips, 'clips')
    except errors.UserError as error:
      print(error)
    print(peak() - before)
  """)
  output = subprocess.run(
    [sys.executable, '-c', program, str(path)],
    capture_output=True, text=True, check=True,
  ).stdout.splitlines()  # fmt: skip
  assert int(output[-1]) < 100
  if row:
    assert 'a.xlsx unpacks to' in output[0]
  else:
    assert output[0] == '1 clips'


def test_expanding_xml_entities_are_refused(tmp_path):
  """The XML of 'a billion laughs'."""
  path = raw_trees.write_sheet(
    tmp_path / 'a.xlsx', [raw_trees.casme2_row(1, 'EP01')]
  )
  names = 'abcdefghij'
  entities = '<!ENTITY a "ha">' + ''.join(
    f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in zip(names, names[1:])
  )
  start = b'<worksheet'
  raw_trees.replace_in_sheet(
    path, start, f'<!DOCTYPE x [{entities}]>'.encode() + start
  )
  raw_trees.replace_in_sheet(path, b'<v>12</v>', b'<v>&j;</v>')
  with pytest.raises(workbooks.UnusableError, match='cannot be read'):
    annotations.read(path, '{}')
