"""Every key at its default; docs/configuration.md says what each means.

Not to be run itself: a data set's config holds the differences.
"""

import ml_collections

from dianet_jax.experiments import configuration


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """The defaults, with the settings that the model's authors recommend."""
  return configuration.default(model)
