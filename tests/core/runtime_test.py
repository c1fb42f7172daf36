"""Settings that `configure` changes, and those of the user that it does not."""

import os
import subprocess
import sys

import jax
import jaxlib.version
import pytest

from dianet_jax.core import errors, limits, runtime

_FLAG = '--xla_cpu_experimental_ynn_fusion_type'
_KNOWN = (0, 10, 2) <= jaxlib.version.__version_info__ < (0, 11)

_PROGRAM = """
import os, pathlib, sys
import jaxlib.version
from dianet_jax.core import runtime
if len(sys.argv) > 2:
  jaxlib.version.__version_info__ = (99, 0, 0)
runtime.configure(pathlib.Path(sys.argv[1]))
runtime.configure(pathlib.Path(sys.argv[1]))
import jax
print(os.environ.get('XLA_FLAGS', ''))
print(len(jax.devices()), float(jax.jit(lambda x: x + 1)(1.0)))
"""


@pytest.fixture
def configured(tmp_path):
  """Flags and number of devices in a process of its own."""

  def run(*arguments, **environment):
    kept = {
      key: value
      for key, value in os.environ.items()
      if not key.startswith(('XLA_', 'JAX_'))
    }
    done = subprocess.run(
      [sys.executable, '-c', _PROGRAM, str(tmp_path), *arguments],
      env=kept | {'JAX_PLATFORMS': 'cpu'} | environment,
      capture_output=True,
      text=True,
      check=True,
    )
    flags, result = done.stdout.splitlines()
    devices, sum_ = result.split()
    assert float(sum_) == 2
    return flags, int(devices)

  return run


def test_a_device_for_each_core_and_the_flag(configured):
  flags, devices = configured()
  assert devices == min(limits.cores(), 4)
  assert flags == (f'{_FLAG}=-individual_convolution' if _KNOWN else '')


def test_the_users_flags_are_kept(configured):
  own = '--xla_force_host_platform_device_count=3'
  flags, devices = configured(XLA_FLAGS=own)
  assert devices == 3
  assert flags.split()[0] == own
  assert len(flags.split()) == (2 if _KNOWN else 1)
  own = f'{_FLAG}=dot'
  if _KNOWN:
    assert configured(XLA_FLAGS=own)[0] == own


def test_no_flag_for_a_jaxlib_that_may_not_know_it(configured):
  assert configured('another version')[0] == ''


def test_no_flag_where_jax_may_run_elsewhere(configured):
  assert configured(JAX_PLATFORMS='cpu,cuda')[0] == ''


def test_places_of_the_cache(monkeypatch, tmp_path):
  monkeypatch.setenv('DIANET_CACHE', f'{tmp_path}/a/../b/')
  assert runtime.cache_dir('') == tmp_path / 'b'
  assert runtime.cache_dir(f'{tmp_path}/c/') == tmp_path / 'c'


@pytest.mark.parametrize('place', ['file', 'file/below', '~nosuchuser/x'])
@pytest.mark.parametrize('setting', ['DIANET_CACHE', '--config.data.cache_dir'])
def test_invalid_cache_folders_are_refused(
  monkeypatch, tmp_path, place, setting
):
  (tmp_path / 'file').touch()
  place = place if place[0] == '~' else f'{tmp_path}/{place}'
  monkeypatch.setenv('DIANET_CACHE', place)
  configured = '' if setting == 'DIANET_CACHE' else place
  with pytest.raises(errors.UserError, match=f'^{setting}={place}: '):
    runtime.cache_dir(configured)


def test_64_bits_are_refused(tmp_path):
  with (
    jax.enable_x64(True),
    pytest.raises(errors.UserError, match='JAX_ENABLE_X64 is set'),
  ):
    runtime.configure(tmp_path)


def test_missing_devices_are_reported(monkeypatch):
  def none():
    raise AssertionError

  monkeypatch.setattr(jax, 'devices', none)
  with pytest.raises(errors.UserError, match='AssertionError.*JAX_PLATFORMS='):
    runtime.require_devices()


def test_too_little_address_space_is_refused(monkeypatch):
  monkeypatch.setattr(
    runtime.resource, 'getrlimit', lambda _: (2_000_000_000, -1)
  )
  with pytest.raises(errors.UserError, match=r'2\.0 GB \(ulimit -v\)'):
    runtime.require_devices()
