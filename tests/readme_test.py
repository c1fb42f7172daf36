"""The README promises nothing that is not there."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / 'README.md').read_text()


def test_files_that_are_named_exist():
  named = set(re.findall(r'\]\(([\w./]+)\)', TEXT))
  named |= set(re.findall(r'configs/\w+\.py', TEXT))
  assert len(named) > 5
  assert [name for name in named if not (ROOT / name).exists()] == []


def test_nothing_is_left_to_fill_in():
  assert re.findall(r'@[A-Z_]+@|TODO|XXX', TEXT) == []
