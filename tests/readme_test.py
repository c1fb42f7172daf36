"""The README promises nothing that is not there."""

import pathlib
import re

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / 'README.md').read_text()


def test_files_that_are_named_exist():
  named = set(re.findall(r'\]\(([\w./]+)\)', TEXT))
  named |= set(re.findall(r'configs/\w+\.py', TEXT))
  assert len(named) > 5
  assert [name for name in named if not (ROOT / name).exists()] == []


def test_nothing_is_left_to_fill_in():
  assert re.findall(r'@[A-Z_]+@|TODO|XXX', TEXT) == []


def test_the_snippet_runs():
  code = re.search(r'```python\n(.*?)```', TEXT, re.DOTALL).group(1)
  names = {}
  exec(code, names)
  images = np.asarray(names['images'])
  assert images.shape == (2, 2, 64, 64, 3)
  np.testing.assert_allclose(
    names['image'], images[0, 0], atol=1e-5 * np.abs(images).max()
  )
