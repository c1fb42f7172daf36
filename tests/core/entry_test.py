"""However a program ends, its user reads one line."""

import re
import signal
import subprocess
import sys

import pytest

from dianet_jax.core import entry, errors, faults


def fail(error):
  def program():
    raise error

  return program


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
  monkeypatch.delenv(faults.VARIABLE, raising=False)
  monkeypatch.setattr(faults._Place, 'folder', None)
  monkeypatch.setattr(faults.tempfile, 'gettempdir', lambda: str(tmp_path))
  return tmp_path


def test_statuses(capsys):
  assert entry.run(lambda: None) == 0
  assert entry.run(lambda: 3) == 3
  assert entry.run(fail(errors.UserError('no such clip'))) == 1
  assert entry.run(fail(errors.Stopped(15, 'nothing saved'))) == 143
  assert entry.run(fail(KeyboardInterrupt())) == 130
  assert capsys.readouterr().err.splitlines() == [
    'error: no such clip',
    'stopped by SIGTERM; nothing saved',
    'stopped',
  ]
  with pytest.raises(SystemExit):
    entry.run(fail(SystemExit(2)))


# It ends slowly, as a program does whose compiled programs still run.
_ENDING = """
import atexit, time
from dianet_jax.core import entry

def last():
  print('result', flush=True)
  time.sleep(60)

atexit.register(last)
entry.leave(entry.run(lambda: 0))
"""


@pytest.mark.slow
def test_ctrl_c_after_the_result_is_silent():
  with subprocess.Popen(
    [sys.executable, '-c', _ENDING],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    assert process.stdout.readline() == 'result\n'
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=30)
  assert message == ''
  assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize(
  'error,message',
  [
    (ValueError('two\nlines \x1b[2J'), r'ValueError: two lines \x1b[2J.'),
    (AssertionError(), 'AssertionError.'),
    (MemoryError('60 GB'), 'MemoryError: 60 GB.'),
    (RecursionError('x' * 5000), 'RecursionError: ' + 'x' * 300 + ' ...'),
  ],
)
def test_an_unexpected_error_is_one_line_and_a_log(
  error, message, place, capsys
):
  assert entry.run(fail(error)) == 1
  [line] = capsys.readouterr().err.splitlines()
  assert line.startswith(f'error: {message}')
  [log] = place.glob('dianet-error-*.log')
  assert str(log) in line
  assert re.search(r'Traceback[\s\S]*in program', log.read_text())


def test_the_log_lies_in_the_workdir(place, tmp_path, capsys):
  workdir = tmp_path / 'run'
  faults.keep_in(workdir)
  # It may not be there yet.
  entry.run(fail(ValueError()))
  assert len(list(place.glob('dianet-error-*.log'))) == 1
  workdir.mkdir()
  entry.run(fail(ValueError()))
  [log] = workdir.glob('error-*.log')
  assert str(log) in capsys.readouterr().err


def test_developers_see_the_traceback(monkeypatch, place, capsys):
  monkeypatch.setenv(faults.VARIABLE, '1')
  entry.run(fail(ValueError('x')))
  assert 'Traceback' in capsys.readouterr().err
  assert not list(place.glob('*.log'))


def test_without_a_writable_log_the_traceback_is_shown(
  monkeypatch, place, capsys
):
  monkeypatch.setattr(faults.tempfile, 'gettempdir', lambda: str(place / 'no'))
  entry.run(fail(ValueError('x')))
  assert 'Traceback' in capsys.readouterr().err
