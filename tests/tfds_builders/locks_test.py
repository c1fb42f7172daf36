"""Waiting for another process."""

import fcntl
import threading

import pytest

from dianet_jax.core import errors
from tfds_builders import locks


def _hold(path):
  return locks.hold(path, 'prepares these records', 'Take another.')


@pytest.fixture
def another(tmp_path):
  """A lock that another process holds."""
  file = (tmp_path / 'x.lock').open('w')
  fcntl.flock(file, fcntl.LOCK_EX)
  yield file
  file.close()


def test_a_long_wait_is_reported(tmp_path, another, monkeypatch, capsys):
  monkeypatch.setattr(locks, '_SILENT_SECONDS', 0.0)
  timer = threading.Timer(0.2, another.close)
  timer.start()
  with _hold(tmp_path / 'x.lock'):
    assert another.closed
  timer.join()
  assert capsys.readouterr().out == (
    'Waiting for another process that prepares these records (lock file '
    f'{tmp_path}/x.lock).\n'
  )


def test_a_short_wait_is_silent(tmp_path, another, capsys):
  timer = threading.Timer(0.1, another.close)
  timer.start()
  with _hold(tmp_path / 'x.lock'):
    assert another.closed
  timer.join()
  assert capsys.readouterr().out == ''


def test_failing_locks_are_reported(tmp_path, monkeypatch):
  (tmp_path / 'folder').mkdir()
  with (
    pytest.raises(errors.UserError, match='folder.*Take another'),
    _hold(tmp_path / 'folder'),
  ):
    pass

  def refuse(*_):
    raise OSError(37, 'No locks available')

  monkeypatch.setattr(fcntl, 'flock', refuse)
  with (
    pytest.raises(errors.UserError, match='x.lock cannot be locked.*No loc'),
    _hold(tmp_path / 'x.lock'),
  ):
    pass
