"""Without a terminal, progress is printed as a line at intervals."""

import threading
import time

import pytest

from dianet_jax.core import errors, progress, stopping


@pytest.fixture
def clock(monkeypatch):
  """Seconds, set by the test."""
  now = [0.0]
  monkeypatch.setattr(time, 'monotonic', lambda: now[0])
  return now


def test_lines_at_intervals(clock, capsys):
  with progress.bar('Training', 1000, done=100) as bar:
    for clock[0] in range(1, 301):
      bar.advance(1, 'loss 0.250')
  lines = capsys.readouterr().out.splitlines()
  # After 10 seconds, then every minute, then the end.
  assert lines == [
    'Training: 110 of 1000, 11%, about 0:14:50 left, loss 0.250',
    'Training: 170 of 1000, 17%, about 0:13:50 left, loss 0.250',
    'Training: 230 of 1000, 23%, about 0:12:50 left, loss 0.250',
    'Training: 290 of 1000, 29%, about 0:11:50 left, loss 0.250',
    'Training: 350 of 1000, 35%, about 0:10:50 left, loss 0.250',
    'Training: 400 of 1000, in 0:05:00',
  ]


def test_quick_loops_print_one_line(clock, capsys):
  assert list(progress.track('abc', 'Inputs', 3)) == ['a', 'b', 'c']
  assert capsys.readouterr().out == 'Inputs: 3 of 3, in 0:00:00\n'


def test_a_failed_loop_is_not_reported_as_done(capsys):
  with pytest.raises(ValueError), progress.bar('Training', 2):
    raise ValueError
  assert capsys.readouterr().out == ''


def test_a_signal_ends_a_loop(monkeypatch):
  monkeypatch.setattr(stopping._state, 'asked', 15)
  with pytest.raises(errors.Stopped):
    list(progress.track('abc', 'Inputs', 3))


def test_waiting_is_reported(monkeypatch):
  lines, printed = [], threading.Event()

  def note(line):
    lines.append(line)
    printed.set()

  monkeypatch.setattr(progress, 'FIRST_LINE_SECONDS', 0.01)
  monkeypatch.setattr(progress.console, 'print', note)
  with progress.waiting('Waiting for [x]'):
    assert printed.wait(60)
  assert lines == ['Waiting for [x]: 0:00:00 so far']


def test_terminals_show_a_bar(capsys, monkeypatch):
  monkeypatch.setattr(progress, '_draws', lambda on: True)
  with progress.bar('[/x]', 4, done=1) as bar:
    bar.advance(3, 'loss 0.1')
  out = capsys.readouterr().out
  assert '[/x]' in out and '4/4' in out and 'loss 0.1' in out
