"""Output is escaped, and closed pipes do not end the program."""

import os
import subprocess
import sys

import pytest

from dianet_jax.core import progress, streams
from tests.support import hostile


@pytest.fixture
def pipe():
  """Opens a text stream whose reader has closed it."""
  reading, writing = os.pipe()
  os.close(reading)
  with os.fdopen(writing, 'w') as stream:
    yield stream


def test_what_is_printed_is_escaped(capsys):
  before = sys.stdout
  with streams.guarded():
    print('a\x1b[2Jb\n\tc')
    print('error\r', file=sys.stderr)
  assert sys.stdout is before
  captured = capsys.readouterr()
  assert captured.out == 'a\\x1b[2Jb\n\tc\n' and captured.err == 'error\\r\n'


def test_a_closed_pipe_does_not_end_the_program(pipe, monkeypatch, capsys):
  monkeypatch.setattr(sys, 'stdout', pipe)
  with streams.guarded():
    print('lost', flush=True)
    progress.console.print('lost, too')
    sys.stdout.writelines(['more\n'])
    print('still here', file=sys.stderr)
  error = capsys.readouterr().err
  assert error.count('Output can no longer be written') == 1
  assert error.endswith('still here\n')


def test_missing_streams_are_ignored(monkeypatch):
  monkeypatch.setattr(sys, 'stdout', None)
  monkeypatch.setattr(sys, 'stderr', None)
  with streams.guarded():
    print('nowhere')
    print('nowhere', file=sys.stderr)
  assert sys.stdout is None


def test_a_closed_output_is_not_reused_for_a_data_file(tmp_path):
  code = (
    'import os\n'
    'from dianet_jax.core import streams\n'
    'with streams.guarded():\n'
    f'  with open({str(tmp_path / "data")!r}, "w") as file:\n'
    '    assert file.fileno() > 2, file.fileno()\n'
    '    print("x")\n'
  )
  subprocess.run(
    ['sh', '-c', 'exec "$@" >&- 2>&-', 'sh', sys.executable, '-c', code],
    check=True,
  )
  assert (tmp_path / 'data').read_text() == ''


@pytest.mark.parametrize('name', hostile.NAMES)
def test_the_console_does_not_interpret_markup_in_names(name, capsys):
  progress.console.print(f'  note: {name}')
  out = capsys.readouterr().out
  assert '\x1b' not in out and '\r' not in out and '\x9b' not in out
  for part in ('[/bold]', '[bold red]x', ':smile:'):
    assert (part in name) == (part in out)
