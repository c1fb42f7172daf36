"""The examples in docstrings give the output that they show."""

import doctest
import functools
import importlib
import pathlib

import pytest

from dianet_jax.inference import folder

ROOT = pathlib.Path(__file__).parents[1]
MODULES = sorted(
  '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix(
    '.__init__'
  )
  for package in ('dianet_jax', 'tfds_builders')
  for path in (ROOT / package).rglob('*.py')
  if '>>> ' in path.read_text(encoding='utf-8')
)


@pytest.fixture(scope='module')
def load_once():
  """Reads the bundle of the package once, although many examples load it."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(folder, 'load', functools.cache(folder.load))
    yield


@pytest.mark.parametrize('name', MODULES)
@pytest.mark.usefixtures('load_once')
def test_examples(name):
  module = importlib.import_module(name)
  failed, tried = doctest.testmod(module)
  assert tried > 0
  assert failed == 0
