"""Signals to child processes: from the first second, in any state."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from dianet_jax.core import errors, stopping

ROOT = pathlib.Path(__file__).parents[2]
# Says where it is, and stays there until it is stopped.
PROGRAM = """
import ctypes, signal, sys, threading, time
from dianet_jax.core import entry, stopping

def stay(where):
  print(where, flush=True)
  while True:
    time.sleep(0.01)
    if where == 'importing' and stopping.asked():
      return

def program():
  state = sys.argv[1]
  if state == 'importing':
    # As an import whose callbacks swallow exceptions.
    stay(state)
    with stopping.immediate():
      print('never')
  with stopping.immediate():
    if state == 'swallowing':
      try:
        stay(state)
      except BaseException:
        pass
      stopping.check()
      print('never')
    if state == 'training':
      with stopping.deferred():
        print(state, flush=True)
        while not stopping.asked():
          time.sleep(0.01)
        print('saving')
        stopping.check('all is saved')
    if state == 'compiling':
      # The signal comes to another thread, and this one stays in C.
      stopping._RESPONSE_SECONDS = 0.2
      signal.pthread_sigmask(signal.SIG_BLOCK, stopping.SIGNALS)
      told = threading.Timer(0.3, lambda: print(state, flush=True))
      told.start()
      ctypes.CDLL(None).sleep(60)
    if state == 'deaf':
      with stopping.deferred():
        stay(state)
    stay(state)

entry.leave(entry.run(program))
"""


def _listen():
  """Run in the child, because the tests may be run with ignored signals."""
  for number in stopping.SIGNALS:
    signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def begin():
  """Starts the program and waits until it is in a state."""
  started = []

  def start(state, *before):
    process = subprocess.Popen(
      [*before, sys.executable, '-c', PROGRAM, state],
      cwd=ROOT,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      preexec_fn=_listen,
    )
    started.append(process)
    assert process.stdout.readline() == f'{state}\n'
    return process

  yield start
  for process in started:
    process.kill()


@pytest.mark.parametrize(
  'state,number,message',
  [
    ('importing', signal.SIGINT, 'stopped by SIGINT'),
    ('importing', signal.SIGHUP, 'stopped by SIGHUP'),
    ('anywhere', signal.SIGTERM, 'stopped by SIGTERM'),
    ('swallowing', signal.SIGINT, 'stopped by SIGINT'),
    ('training', signal.SIGHUP, 'stopped by SIGHUP; all is saved'),
    ('training', signal.SIGINT, 'stopped by SIGINT; all is saved'),
  ],
)
def test_a_signal_is_obeyed(begin, state, number, message):
  process = begin(state)
  process.send_signal(number)
  out, err = process.communicate(timeout=60)
  assert process.returncode == 128 + number, err
  # The answer to Ctrl-C comes from a thread, and may come after it.
  assert message in err.splitlines()
  assert 'never' not in out and 'Traceback' not in err
  assert ('saving' in out) == (state == 'training')


def test_a_signal_during_a_long_call_is_obeyed(begin):
  process = begin('compiling')
  process.send_signal(signal.SIGTERM)
  _, err = process.communicate(timeout=30)
  assert process.returncode == 128 + signal.SIGTERM, err
  assert 'stopped by SIGTERM; everything saved before is kept' in err


def test_a_second_ctrl_c_ends_at_once(begin):
  process = begin('deaf')
  process.send_signal(signal.SIGINT)
  while 'a second Ctrl-C ends at once' not in process.stderr.readline():
    pass
  # Longer than one press that two programs pass on.
  time.sleep(stopping._SAME_PRESS_SECONDS + 0.1)
  process.send_signal(signal.SIGINT)
  _, err = process.communicate(timeout=60)
  assert process.returncode == 128 + signal.SIGINT
  assert 'stopped at once' in err


def test_nohup_is_respected(begin):
  process = begin('anywhere', 'sh', '-c', 'trap "" HUP; exec "$@"', 'sh')
  process.send_signal(signal.SIGHUP)
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=60)
  assert process.returncode == 128 + signal.SIGTERM


def test_a_library_that_takes_a_signal_does_not_keep_it():
  with stopping.handled():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with pytest.raises(errors.Stopped), stopping.immediate():
      os.kill(os.getpid(), signal.SIGTERM)


def test_a_stop_swallowed_in_a_callback_is_not_printed(monkeypatch):
  reported = []
  monkeypatch.setattr(sys, 'unraisablehook', reported.append)

  class Deleted:
    def __init__(self, error):
      self._error = error

    def __del__(self):
      raise self._error

  with stopping.handled():
    Deleted(errors.Stopped(signal.SIGINT))
    assert not reported
    Deleted(ValueError())
  assert len(reported) == 1


def test_signal_handlers_are_restored():
  before = [signal.getsignal(number) for number in stopping.SIGNALS]
  with stopping.handled():
    with pytest.raises(errors.Stopped) as stopped, stopping.deferred():
      os.kill(os.getpid(), signal.SIGTERM)
      assert stopping.asked()
    assert stopped.value.number == signal.SIGTERM
    with pytest.raises(errors.Stopped), stopping.immediate():
      pass
  assert [signal.getsignal(number) for number in stopping.SIGNALS] == before
  assert not stopping.asked()
  with stopping.immediate():
    pass
