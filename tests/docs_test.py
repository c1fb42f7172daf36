"""Everything that the documents refer to exists, and their code runs."""

import importlib.util
import pathlib
import re

import numpy as np
import pytest

from dianet_jax.inference import folder
from tests.support import documents, small_bundles

PAGES = [
  page.relative_to(documents.ROOT)
  for page in (
    *documents.ROOT.glob('*.md'),
    *(documents.ROOT / 'docs').glob('*.md'),
    *(documents.ROOT / 'benchmarks').rglob('*.md'),
  )
]


@pytest.mark.parametrize('page', PAGES, ids=str)
def test_links_and_configurations_of_a_page_exist(page):
  text = (documents.ROOT / page).read_text(encoding='utf-8')
  links = re.findall(r'\]\((?!http)([^)#]+)\)', text)
  named = {documents.ROOT / page.parent / link for link in links}
  named |= {
    documents.ROOT / name for name in re.findall(r'configs/\w+\.py', text)
  }
  assert [str(path) for path in named if not path.exists()] == []
  assert re.findall(r'@[A-Z_]+@|TODO|XXX', text) == []


def test_the_readme_is_short_and_links_every_page():
  text = (documents.ROOT / 'README.md').read_text(encoding='utf-8')
  assert len(text.splitlines()) <= 200
  pages = [p for p in PAGES if p.parent == pathlib.Path('docs')]
  assert len(pages) > 5
  assert [str(page) for page in pages if f'({page})' not in text] == []


def test_every_command_on_a_page_exists():
  from dianet_jax import __main__

  commands = {
    command
    for page in PAGES
    for command in re.findall(
      r'^ {4}dianet ([\w-]+)',
      (documents.ROOT / page).read_text(encoding='utf-8'),
      re.MULTILINE,
    )
  }
  assert len(commands) >= 3
  assert commands <= set(__main__.COMMANDS)


def _run(snippets):
  names = {}
  for code in snippets:
    package = re.match(r'# needs (\w+)', code)
    if package and not importlib.util.find_spec(package.group(1)):
      continue
    exec(code, names)
  return names


@pytest.mark.slow
def test_the_api_in_ten_snippets(tmp_path, monkeypatch):
  monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
  snippets = documents.snippets('docs/api.md')
  assert len(snippets) == 10
  names = _run(snippets)
  images = np.asarray(names['images'])
  assert images.shape == (2, 2, 64, 64, 3)
  np.testing.assert_allclose(
    names['image'], images[0, 0], atol=1e-5 * np.abs(images).max()
  )
  assert names['flow'].shape == (2, 64, 64, 2)
  assert names['summary']['overall']['n'] == 15
  assert names['probabilities'].shape == (1, len(names['dataset'].classes))


def test_a_bundle_in_python(tmp_path):
  pytest.importorskip('dlib', reason='finds the face')
  path = tmp_path / 'bundle'
  # An untrained one: how it is used is the same.
  folder.save(small_bundles.make(members=1, align=True), path)
  [snippet] = documents.snippets('docs/predict.md')
  names = {'path': path}
  exec(snippet, names)
  prediction = names['prediction']
  assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
  assert (
    prediction.clip.apex == 20 and not prediction.inputs['dynamic_images'].any()
  )


def test_the_records_alone(tmp_path, monkeypatch):
  monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
  names = _run(documents.snippets('docs/data.md'))
  assert len(names['source']) == 10
  assert names['frames'][0].dtype == np.uint8
  onset, apex, offset = names['key_frames']
  assert 0 <= onset <= apex <= offset < len(names['frames'])
  if 'images' in names:
    assert tuple(names['images'].shape[:1]) == (4,)
