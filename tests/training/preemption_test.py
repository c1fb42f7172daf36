"""A signal stops training between two steps; resuming is bit-identical."""

import contextlib
import gc

import jax
import numpy as np
import pytest

from dianet_jax.core import errors, stopping
from dianet_jax.training import checkpoints, dispatch, saved_folds
from tests.support.slow import slow
from tests.support.small_folds import (
  INNER,
  assert_identical,
  clips,
  collect,
  run,
  shared_programs,
  users_programs,
)


def stopped(program, folds, monkeypatch, after, begun=()):
  """The unfinished folds after a signal in a step; [] if it came too late."""
  steps, taken = [], []

  def asked():
    steps.append(1)
    return len(steps) == after

  def on_epoch(number, snapshot):
    if not number:
      taken.extend(snapshot())
      raise errors.Stopped(15)

  with monkeypatch.context() as patch, contextlib.suppress(errors.Stopped):
    patch.setattr(stopping, 'asked', asked)
    for _ in program.train(folds, on_epoch, begun):
      pass
  return taken


@pytest.mark.usefixtures('users_programs')
@pytest.mark.parametrize(
  'case', [(1, {}), *slow((1, INNER), (2, INNER), (4, INNER), (5, INNER))]
)
def test_an_interrupted_epoch_resumes_bit_identically(
  run, tmp_path, monkeypatch, case
):
  # Three steps an epoch.
  after, overrides = case
  settings = {'devices': 1, 'rows': [2], 'overrides': overrides}
  program, folds = run.make(**settings)
  whole = collect(program.train(folds))
  with contextlib.closing(checkpoints.Checkpoints(tmp_path)) as saved:
    [fold] = stopped(program, folds, monkeypatch, after)
    assert fold.progress == divmod(after, 3)
    saved.save_unfinished(fold)
    saved.wait()
    name = '.'.join(map(str, fold.progress))
    assert (tmp_path / 'unfinished' / 'seed0' / 'c' / name).exists()
    assert saved_folds.begun(tmp_path) == 1
    found = saved.load_unfinished(0, 'c', program.shapes)
  assert found.progress == fold.progress
  resumed = collect(program.train(folds, unfinished=[found]))
  assert_identical(
    resumed[0, 'c'],
    whole[0, 'c'],
    ('variables', 'probabilities', 'loss', 'accuracy', 'validation_loss'),
  )


@pytest.mark.slow
def test_a_strategy_of_whole_epochs_resumes_an_interrupted_epoch(
  run, monkeypatch
):
  # Bits may differ between the strategies, steps may not.
  settings = {'devices': 1, 'rows': [2]}
  program, folds = run.make(**settings)
  begun = stopped(program, folds, monkeypatch, 2)
  scans, _ = run.make(strategy='map', **settings)
  [[resumed]] = scans.train(folds, unfinished=begun)
  [[whole]] = program.train(folds)
  np.testing.assert_allclose(resumed.loss, whole.loss, rtol=1e-3)


def test_the_later_of_two_steps_is_the_later_checkpoint(tmp_path):
  names = ('3', '12.10', '12', '12.9', '12.3.orbax-checkpoint-tmp')
  for name in names:
    (tmp_path / name).mkdir()
  assert list(checkpoints._progress(tmp_path)) == ['12.10', '12.9', '12', '3']


@pytest.fixture
def device(monkeypatch):
  """A simulated device whose programs take `device.seconds`."""

  class Device:
    seconds, now, busy_until = 0.0, 0.0, 0.0

    def start(self):
      self.busy_until = max(self.now, self.busy_until) + self.seconds
      return self.busy_until

    def wait(self, ready):
      self.now = max(self.now, ready)

  device = Device()
  monkeypatch.setattr(dispatch.time, 'monotonic', lambda: device.now)
  monkeypatch.setattr(dispatch.jax, 'block_until_ready', device.wait)
  return device


@pytest.mark.parametrize('seconds', [0.001, 0.02, 0.4, 5.0])
def test_the_host_queues_at_most_a_second_of_work(device, seconds):
  device.seconds = seconds
  queue = dispatch.DispatchLimit()
  lead = []
  for _ in range(3000):
    queue.queued(device.start())
    # Starting a program takes a little itself.
    device.now += 0.0001
    lead.append(device.busy_until - device.now)
  assert max(lead) <= max(dispatch.MOST_SECONDS, seconds)
  # Short programs are not waited for one by one.
  assert (max(lead) > 0.1) == (seconds < 0.25)


def test_a_pause_of_the_host_does_not_empty_the_queue_for_good(device):
  device.seconds = 0.01
  queue = dispatch.DispatchLimit()
  for step in range(3000):
    queue.queued(device.start())
    if step == 1000:
      device.now += 60
  assert device.busy_until - device.now > 0 or queue._most > 10


@pytest.mark.slow
def test_epochs_leave_no_array_behind(run):
  """As many arrays after 30 epochs; what grew in long runs is `give_back`'s."""
  program, folds = run.make(
    devices=1, rows=[2], overrides={'train__epochs': 30}
  )
  counts = []

  def on_epoch(number, snapshot):
    del number, snapshot
    gc.collect()
    counts.append(len(jax.live_arrays()))

  for _ in program.train(folds, on_epoch):
    pass
  assert len(set(counts[2:])) == 1, counts
