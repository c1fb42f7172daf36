"""Configurations for tests."""

from configs import default
from dianet_jax.core import config as config_lib
from dianet_jax.experiments import configuration


def build(**overrides) -> config_lib.Config:
  """The default configuration with other values.

  Args:
    **overrides: key -> value; `__` for the dots of the key.

  Raises:
    UserError: an unknown key, or a value that is refused.
  """
  values = default.get_config().to_dict()
  for key, value in overrides.items():
    *sections, last = key.split('__')
    section = values
    for name in sections:
      section = section[name]
    section[last] = value
  return configuration.from_mapping(values)
