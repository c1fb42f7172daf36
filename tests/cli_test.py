"""The command `dianet`: quick to start, readable, usable from any folder."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from dianet_jax import __main__ as cli
from dianet_jax.core import errors
from tests.support import prediction_files

ROOT = pathlib.Path(__file__).parents[1]
# What a reader of predictions has no need of, and takes seconds to import.
HEAVY = (
  'jax', 'flax', 'optax', 'tensorflow', 'tensorflow_datasets', 'matplotlib',
  'cv2', 'ml_collections',
)  # fmt: skip


def start(*arguments, cwd, path):
  """Runs `python -m dianet_jax` with only `path` on the module search path."""
  return subprocess.run(
    [sys.executable, '-m', 'dianet_jax', *map(str, arguments)],
    cwd=cwd,
    env=os.environ | {'PYTHONPATH': str(path)},
    capture_output=True,
    text=True,
    timeout=120,
  )


@pytest.fixture
def two_runs(tmp_path):
  return [
    prediction_files.write(tmp_path / name, prediction_files.rows(rng_seed=i))
    for i, name in enumerate(('good', 'other'))
  ]


@pytest.fixture
def row(monkeypatch):
  """Makes a function of this test the command `x`."""

  def make(function):
    monkeypatch.setattr(sys.modules[__name__], 'planted', function, False)
    monkeypatch.setitem(cli.COMMANDS, 'x', (f'{__name__}:planted', 'a test'))

  return make


@pytest.mark.parametrize('arguments', [[], ['-h'], ['--help']])
def test_help_fits_one_screen(capsys, arguments):
  assert cli.main(arguments) == 0
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) < 24 and max(map(len, lines)) <= 80
  for name, (_, text) in cli.COMMANDS.items():
    assert any(line.split()[:1] == [name] and text in line for line in lines)


def test_every_command_has_a_main_function():
  for module, _, function in (
    target.partition(':') for target, _ in cli.COMMANDS.values()
  ):
    assert (ROOT / f'{module.replace(".", "/")}.py').is_file()
    assert function == 'main'


def test_an_unknown_command_is_answered_with_the_nearest(capsys):
  assert cli.main(['comprae', 'a', 'b']) == 2
  error = capsys.readouterr().err
  assert error.startswith("error: 'comprae' is not a command of dianet. ")
  assert "Did you mean 'compare'?" in error and 'simulate' in error


def test_exit_status_of_a_command(capsys, row):
  seen = []
  row(seen.append)
  assert cli.main(['x', '--a', 'b']) == 0 and seen == [['--a', 'b']]
  row(lambda argv: 3)
  assert cli.main(['x']) == 3

  def refuse(argv):
    raise errors.UserError('no such clip')

  row(refuse)
  assert cli.main(['x']) == 1
  assert capsys.readouterr().err == 'error: no such clip\n'

  def interrupted(argv):
    raise KeyboardInterrupt

  row(interrupted)
  assert cli.main(['x']) == 130
  assert capsys.readouterr().err.strip() == 'stopped'


def test_a_wrong_option_ends_as_argparse_ends(capsys, two_runs):
  with pytest.raises(SystemExit) as ended:
    cli.main(['compare', str(two_runs[0]), '--formt=csv'])
  assert ended.value.code == 2
  assert 'usage: dianet compare' in capsys.readouterr().err


def test_help_and_comparisons_import_nothing_heavy(two_runs):
  code = (
    'import sys\n'
    'from dianet_jax.__main__ import main\n'
    f'for argv in (["--help"], ["compare", *{list(map(str, two_runs))}]):\n'
    '  assert main(argv) == 0\n'
    f'assert not set({HEAVY}) & set(sys.modules)\n'
  )
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)


def test_what_a_terminal_cannot_show_is_escaped(two_runs):
  named = f'é={two_runs[0]}'
  ended = subprocess.run(
    [sys.executable, '-m', 'dianet_jax', 'compare', named],
    cwd=ROOT,
    env=os.environ | {'PYTHONIOENCODING': 'ascii'},
    capture_output=True,
  )
  assert ended.returncode == 0 and rb'\xe9' in ended.stdout


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
  """A folder with the packages as a wheel installs them, and nothing else."""
  root = tmp_path_factory.mktemp('wheel')
  source = root / 'source'
  # A copy: setuptools builds in the folder, and takes what it finds there.
  for name in ('dianet_jax', 'tfds_builders'):
    shutil.copytree(
      ROOT / name, source / name, ignore=shutil.ignore_patterns('__pycache__')
    )
  for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source)
  pip = [sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check']
  subprocess.run(
    [*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', root, source],
    check=True,
  )
  [wheel] = root.glob('*.whl')
  target = root / 'installed'
  subprocess.run(
    [*pip, 'install', '--no-deps', '--target', target, wheel], check=True
  )
  return target


@pytest.mark.slow
def test_commands_work_from_a_wheel(installed, two_runs, tmp_path):
  ended = start('--help', cwd=tmp_path, path=installed)
  assert ended.returncode == 0 and 'compare' in ended.stdout
  ended = start('compare', *two_runs, cwd=tmp_path, path=installed)
  assert ended.returncode == 0 and 'other - good' in ended.stdout
  ended = start('check', '--help', cwd=tmp_path, path=installed)
  assert ended.returncode == 0 and '--manual_dir' in ended.stdout
  code = (
    'import dianet_jax.evaluation.page as page\n'
    f'assert page.__file__.startswith({str(installed)!r})\n'
    'from dianet_jax.core import html\n'
    "html.template('dianet_jax.evaluation', 'page.html.j2')\n"
  )
  subprocess.run(
    [sys.executable, '-c', code],
    cwd=tmp_path,
    env=os.environ | {'PYTHONPATH': str(installed)},
    check=True,
  )
  script = installed / 'bin/dianet'
  assert script.is_file()


@pytest.mark.slow
def test_a_configuration_of_another_folder_is_drawn(tmp_path):
  # As the installed command sees it: neither the folder of the checkout nor
  # the current one is searched for `configs`.
  out = tmp_path / 'clip.png'
  code = (
    'import sys; sys.path = [p for p in sys.path if p]\n'
    f'sys.path.append({str(ROOT / "nowhere")!r})\n'
    'from dianet_jax import __main__\n'
    'sys.exit(__main__.main(sys.argv[1:]))'
  )
  ended = subprocess.run(
    [
      *(sys.executable, '-c', code, 'picture', f'--out={out}'),
      f'--config={ROOT / "configs" / "demo.py"}',
      f'--config.data.cache_dir={tmp_path}',
      '--config.data.simulation.subjects=1',
      '--config.data.simulation.clips_per_subject=1',
    ],
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert ended.returncode == 0, ended.stderr
  assert out.stat().st_size > 1000
