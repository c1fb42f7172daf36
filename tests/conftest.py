"""Four simulated devices and caches that no user has."""

import os
import tempfile

# Before jax is imported anywhere.
os.environ['JAX_PLATFORMS'] = 'cpu'
# The same small programs are compiled again and again; pytest's processes share
# them.
if 'PYTEST_XDIST_WORKER' not in os.environ:
  _COMPILED = tempfile.TemporaryDirectory(prefix='dianet-compiled-')
  os.environ['JAX_COMPILATION_CACHE_DIR'] = _COMPILED.name
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.2'

from tests.support import shapes

shapes.check_calls()

import jax
import pytest

from configs import default
from dianet_jax.experiments import configuration
from tests.support import compilation
from tests.support.shapes import unchecked as unchecked

# Not in the environment, which main.py would inherit where a test starts it.
jax.config.update('jax_num_cpu_devices', 4)
compilation.compile_quickly()


@pytest.fixture(scope='module', autouse=True)
def _forget_programs():
  """Thousands of compiled programs in one process end in a crash of XLA's."""
  yield
  jax.clear_caches()


@pytest.fixture(scope='session')
def shared_cache(tmp_path_factory):
  """One cache folder a session: simulated trees and records are reused."""
  return tmp_path_factory.mktemp('cache')


@pytest.fixture
def make_config(shared_cache):
  """Builds a `Config` from a module's and dotted overrides (`__` for dots)."""

  def make(module=default, **overrides):
    config = module.get_config()
    config.data.cache_dir = str(shared_cache)
    settings = {key.replace('__', '.'): v for key, v in overrides.items()}
    return configuration.from_mapping(
      configuration.changed(config.to_dict(), settings)
    )

  return make
