"""All keys with their default values; docs/configuration.md describes them.

It selects no data set and cannot be run; the other configurations build on it.
"""

import ml_collections

from dianet_jax.experiments import configuration


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """The defaults, with the settings recommended by the model's authors.

  Args:
    model: name in `models.registry.MODELS`.
  """
  return configuration.default(model)
