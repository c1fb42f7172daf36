"""Names are escaped for terminals, CSV cells and file systems."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st
import pytest

from dianet_jax.core import escape
from tests.support import hostile


@pytest.mark.parametrize('name', hostile.NAMES)
def test_a_shown_name_has_no_control_character(name):
  for character in escape.line(name):
    assert character.isprintable() or character == '\u3000'
  assert escape.line(escape.line(name)) == escape.line(name)
  assert escape.shown(name).count('\n') == name.count('\n')
  assert '\x1b' not in escape.shown(name) and '\r' not in escape.shown(name)
  assert escape.is_plain(name) == (escape.line(name) == name)


def test_ordinary_names_do_not_change():
  for name in ('表情', 'Müller 2', 'a[b]', "d'or", 'x\ty\nz'):
    assert escape.shown(name) == name
  for name in ('表情', 'sub01/EP02_01f', '006 1_2', 'a\\b'):
    assert escape.line(name) == escape.cell(name) == name


@given(st.text(alphabet='=+-@\'a"\n,;', max_size=6))
def test_a_cell_is_no_formula_and_comes_back(name):
  cell = escape.cell(name)
  assert not cell or cell[0] not in '=+-@'
  assert escape.from_cell(cell) == name
  file = io.StringIO(newline='')
  csv.writer(file).writerow([cell])
  [[read]] = csv.reader(io.StringIO(file.getvalue(), newline=''))
  assert read == cell


@pytest.mark.parametrize(
  'name', [*hostile.NAMES, '.', '', 'a' * 300, '中' * 90]
)
def test_a_file_name_is_one_name_and_can_be_made(name, tmp_path):
  made = escape.file_name(name)
  assert '/' not in made and made not in ('', '.', '..')
  (tmp_path / made).mkdir()
  assert [path.name for path in tmp_path.iterdir()] == [made]


def test_file_names_of_older_runs_stay_and_hostile_ones_are_distinct():
  assert escape.file_name('casme2/sub02') == 'casme2_sub02'
  assert escape.file_name('sub 01 (cropped)') == 'sub 01 (cropped)'
  assert escape.file_name('a[b]').startswith('a_b_-')
  assert len({escape.file_name(name) for name in hostile.NAMES}) == len(
    hostile.NAMES
  )
