"""Waiting for other processes is reported, and missing ones are named."""

import pathlib
import socket
import subprocess
import sys
import threading

import jax
import pytest

from dianet_jax.core import config, errors, hosts, progress


def test_waiting_for_other_processes_is_reported(monkeypatch):
  lines, printed = [], threading.Event()

  def note(line):
    lines.append(line)
    printed.set()

  def nobody(*_, **__):
    assert printed.wait(60)
    raise RuntimeError

  monkeypatch.setattr(jax.distributed, 'initialize', nobody)
  monkeypatch.setattr(progress, 'FIRST_LINE_SECONDS', 0.01)
  monkeypatch.setattr(progress.console, 'print', note)
  settings = config.Parallel(coordinator='localhost:1', processes=2)
  with pytest.raises(errors.UserError, match='not found .RuntimeError.'):
    hosts.start(settings)
  assert lines[0].startswith('Waiting for the other processes (localhost:1)')


PROGRAM = """
import sys, time
from dianet_jax.core import config, entry, errors, hosts, stopping

def program():
  address, number, place = sys.argv[1:]
  settings = config.Parallel(
    coordinator=address, processes=2, process=int(number)
  )
  with stopping.immediate(), hosts.fail_together():
    hosts.start(settings)
    assert hosts.gather(int(number)) == [0, 1]
    if place == 'well':
      return
    if number == '1':
      time.sleep(1)  # The other is where it is to be.
      raise errors.UserError('the disk is full')
    if place == 'gathering':
      hosts.gather('never')
    with stopping.deferred():
      while not stopping.asked():
        time.sleep(0.01)
      stopping.check('all is saved')

entry.leave(entry.run(program))
"""


def run_two(place):
  """Exit statuses and standard errors of two processes."""
  with socket.socket() as free:
    free.bind(('localhost', 0))
    address = f'localhost:{free.getsockname()[1]}'
  processes = [
    subprocess.Popen(
      [sys.executable, '-c', PROGRAM, address, number, place],
      cwd=pathlib.Path(__file__).parents[2],
      stderr=subprocess.PIPE,
      text=True,
    )
    for number in '01'
  ]
  printed = [process.communicate(timeout=60)[1] for process in processes]
  return [process.returncode for process in processes], printed


@pytest.mark.slow
def test_finished_processes_exit_with_status_0():
  assert run_two('well')[0] == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize('place', ['training', 'gathering'])
def test_an_error_in_one_process_ends_the_other(place):
  statuses, (other, failed) = run_two(place)
  assert statuses == [128 + 15, 1], other + failed
  assert failed.splitlines()[-1] == 'error: the disk is full'
  saved = '; all is saved' if place == 'training' else ''
  assert f'process 1 has ended: the disk is full{saved}' in other
