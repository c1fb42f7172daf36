"""Four simulated devices, and a cache that no user has."""

import os

# Before jax is imported anywhere.
os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=4'
)
os.environ['JAX_PLATFORMS'] = 'cpu'

import pytest

from configs import default
from dianet_jax import config as configuration



@pytest.fixture(scope='session')
def shared_cache(tmp_path_factory):
  """One cache folder for the session: compiled programs are reused."""
  return tmp_path_factory.mktemp('cache')


@pytest.fixture
def make_config(shared_cache):
  """Builds a `Config` from the defaults and dotted overrides."""

  def make(module=default, **overrides):
    config = module.get_config()
    config.data.cache_dir = str(shared_cache)
    config.update_from_flattened_dict(
      {key.replace('__', '.'): value for key, value in overrides.items()}
    )
    return configuration.from_mapping(config.to_dict())

  return make
