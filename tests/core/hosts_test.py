"""Other processes that do not come are waited for aloud, and then named."""

import threading

import jax
import pytest

from dianet_jax.core import config, errors, hosts, progress


def test_waiting_for_the_others_is_said(monkeypatch):
  lines, said = [], threading.Event()

  def note(line):
    lines.append(line)
    said.set()

  def nobody(*_):
    assert said.wait(60)
    raise RuntimeError

  monkeypatch.setattr(jax.distributed, 'initialize', nobody)
  monkeypatch.setattr(progress, 'FIRST_LINE_SECONDS', 0.01)
  monkeypatch.setattr(progress.console, 'print', note)
  settings = config.Parallel(coordinator='localhost:1', processes=2)
  with pytest.raises(errors.UserError, match='not found .RuntimeError.'):
    hosts.start(settings)
  assert lines[0].startswith('Waiting for the other processes (localhost:1)')
