"""Data and programs too large for the devices are refused before training."""

import jax
import pytest

from dianet_jax.core import errors, limits
from dianet_jax.training import memory
from tests.support.small_folds import clips, run, shared_programs


@pytest.fixture
def free(monkeypatch):
  def leave(bytes_):
    monkeypatch.setattr(limits, 'free_memory', lambda: bytes_)

  return leave


def test_data_that_do_not_fit_are_refused(run, clips, free, monkeypatch):
  images = clips[0].repeat(1000, axis=2)
  free(2 * images.nbytes)
  # Nothing was put on a device.
  monkeypatch.setattr(jax, 'device_put', None)
  with pytest.raises(errors.UserError) as raised:
    run.make(images, devices=4)
  message = str(raised.value)
  assert f'{images.nbytes / 1e9:.2f} GB of clips' in message
  half = f'{images.nbytes / 2e9:.2f} GB free for each of 4 devices'
  assert half in message and '--config.data.image_size' in message


def test_a_step_that_does_not_fit_is_refused(run, free):
  program, folds = run.make(devices=1)
  state = memory.size(program.shapes(0))
  # For the state, not for the work on it.
  free(state + 1000)
  with pytest.raises(errors.UserError, match='besides the data, .* are needed'):
    program.compile(folds)
  free(100 * 10**6)
  program.compile(folds)


def test_unknown_free_memory_refuses_nothing(run, free):
  free(None)
  run.make(devices=1)


def test_free_memory_is_that_of_the_devices():
  class Device:
    platform, device_kind = 'gpu', 'NVIDIA H100'

    def memory_stats(self):
      return {'bytes_limit': 60 * 10**9, 'bytes_in_use': 20 * 10**9}

  devices = [Device(), Device()]
  assert memory.free(devices) == 40 * 10**9
  fits, does_not = (
    jax.ShapeDtypeStruct((billions * 10**9,), 'float32')
    for billions in (10, 11)
  )
  memory.check_data(fits, (), devices)
  with pytest.raises(errors.UserError, match=r'44.00 GB.*H100 has 40.00 GB'):
    memory.check_data(does_not, (), devices)


def test_exhausted_memory_is_reported():
  devices = jax.local_devices()[:1]
  with (
    pytest.raises(errors.UserError, match='RESOURCE_EXHAUSTED.*folds_per_dev'),
    memory.report_exhaustion(devices),
  ):
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory')
  with (
    pytest.raises(jax.errors.JaxRuntimeError, match='INTERNAL'),
    memory.report_exhaustion(devices),
  ):
    raise jax.errors.JaxRuntimeError('INTERNAL: something else')
