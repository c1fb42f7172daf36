"""Packages import only lower ones, and document their purpose."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# A module may import its own row and the rows below it.
ORDER = (
  ('main', 'benchmarks', 'configs', 'dianet_jax', 'dianet_jax.__main__'),
  ('dianet_jax.experiments',),
  ('dianet_jax.evaluation',),
  ('dianet_jax.inference',),
  ('dianet_jax.explanation',),
  ('dianet_jax.training',),
  ('dianet_jax.data',),
  ('tfds_builders',),
  ('dianet_jax.motion',),
  ('dianet_jax.clips',),
  ('dianet_jax.models',),
  ('dianet_jax.core',),
)
ROWS = {name: row for row, names in enumerate(ORDER) for name in names}
FOLDERS = ('benchmarks', 'configs', 'dianet_jax', 'tfds_builders')


def row_of(module):
  """The row of the longest prefix of a module's name; None if not ours."""
  parts = module.split('.')
  prefixes = ('.'.join(parts[:end]) for end in range(len(parts), 0, -1))
  return next((ROWS[p] for p in prefixes if p in ROWS), None)


def imported(path):
  """Modules that a file imports anywhere, or names for a late import."""
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f'{path}: a relative import'
      yield from (f'{node.module}.{alias.name}' for alias in node.names)
    elif isinstance(node, ast.Constant):
      # A row of a registry: 'package.module:attribute'.
      row = re.fullmatch(r'([\w.]+):\w+', str(node.value))
      yield from row.groups() if row else ()


def upward(root):
  """'from -> to' of every import of a higher package."""
  files = [*root.glob('main.py')]
  files += [file for name in FOLDERS for file in (root / name).rglob('*.py')]
  found = set()
  for file in files:
    parts = file.relative_to(root).with_suffix('').parts
    module = '.'.join(parts).removesuffix('.__init__')
    for target in imported(file):
      row = row_of(target)
      # The root of the package itself holds the version alone.
      alone = target.removesuffix('.__version__') == 'dianet_jax'
      if row is not None and row < row_of(module) and not alone:
        found.add(f'{module} -> {target}')
  return sorted(found)


def test_no_package_imports_a_higher_one():
  assert upward(ROOT) == []


@pytest.mark.parametrize(
  'line',
  [
    'import dianet_jax.evaluation.report',
    'from dianet_jax.evaluation import report',
    'def f():\n  from dianet_jax import evaluation',
    "ROWS = {'x': 'dianet_jax.evaluation.report:pool'}",
    'from dianet_jax.training.trainer import Trainer',
    'import main',
  ],
)
def test_an_import_of_a_higher_package_is_detected(tmp_path, line):
  package = tmp_path / 'dianet_jax' / 'data'
  package.mkdir(parents=True)
  (package / 'sound.py').write_text(
    'import jax\nfrom dianet_jax.core import errors\n'
    'from dianet_jax.data import folds\nimport dianet_jax\n'
    'from tfds_builders import prepare\nfrom dianet_jax import __version__\n'
  )
  assert upward(tmp_path) == []
  (package / 'planted.py').write_text(f'"""Text."""\n\n{line}\n')
  [found] = upward(tmp_path)
  assert found.startswith('dianet_jax.data.planted -> ')


def test_the_root_has_only_packages():
  files = {path.name for path in (ROOT / 'dianet_jax').glob('*.py')}
  assert files == {'__init__.py', '__main__.py'}
  packages = {
    f'dianet_jax.{path.parent.name}'
    for path in (ROOT / 'dianet_jax').glob('*/__init__.py')
  }
  assert packages <= ROWS.keys()


@pytest.mark.parametrize(
  'path',
  [
    path.relative_to(ROOT)
    for path in [
      *(ROOT / 'dianet_jax').glob('*/**/__init__.py'),
      ROOT / 'tfds_builders/__init__.py',
    ]
  ],
  ids=lambda path: str(path.parent),
)
def test_every_package_documents_its_inputs_and_outputs(path):
  text = ast.get_docstring(ast.parse((ROOT / path).read_text())) or ''
  positions = [text.find(word) for word in ('In:', 'Out:', 'May import:')]
  assert -1 not in positions and positions == sorted(positions), path
