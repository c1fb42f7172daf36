"""Four simulated devices, and caches of the suite's own."""

import gc
import os
import tempfile

# Before jax is imported anywhere.
os.environ['JAX_PLATFORMS'] = 'cpu'
if 'PYTEST_XDIST_WORKER' not in os.environ:
  # Pytest's own folders stay behind for who looks for a fault. All others go
  # when the suite ends; TFDS makes thousands.
  os.environ.setdefault('PYTEST_DEBUG_TEMPROOT', tempfile.gettempdir())
  _FOLDER = tempfile.TemporaryDirectory(
    prefix='dianet-tests-', ignore_cleanup_errors=True
  )
  os.environ['TMPDIR'] = tempfile.tempdir = _FOLDER.name
  # The same small programs are compiled again and again; pytest's processes
  # share them.
  os.environ['JAX_COMPILATION_CACHE_DIR'] = os.path.join(
    _FOLDER.name, 'compiled'
  )
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.2'

from tests.support import shapes

shapes.check_calls()

import jax
import pytest

from configs import default
from dianet_jax.experiments import configuration
from dianet_jax.models import layers
from tests.support import compilation
from tests.support.shapes import unchecked as unchecked

# Not in the environment, which main.py would inherit where a test starts it.
jax.config.update('jax_num_cpu_devices', 4)
compilation.compile_quickly()


def pytest_collection_finish():
  """Imported objects are never garbage, and tracing makes little of it."""
  gc.freeze()
  gc.set_threshold(20_000)


@pytest.fixture(scope='module', autouse=True)
def _forget_programs():
  """XLA crashes with thousands of compiled programs in one process."""
  yield
  jax.clear_caches()


@pytest.fixture(scope='session')
def shared_cache(tmp_path_factory):
  """One cache folder per session, so that trees and records are reused."""
  return tmp_path_factory.mktemp('cache')


@pytest.fixture
def make_config(shared_cache):
  """Builds a `Config` from a module and overrides with `__` for dots."""

  def make(module=default, **overrides):
    config = module.get_config()
    config.data.cache_dir = str(shared_cache)
    settings = {key.replace('__', '.'): v for key, v in overrides.items()}
    return configuration.from_mapping(
      configuration.changed(config.to_dict(), settings)
    )

  return make


@pytest.fixture
def plain_layers():
  """Without the CPU's forms, programs compile in a fraction of the time."""
  with layers.cpu.switched_off():
    yield
