"""SAMM, five classes, 136 clips.

python main.py --config=configs/samm.py --config.data.manual_dir=DIR

DIR is the raw data set; tfds_builders/samm/README.md shows its layout.

Estimated time on two CPU cores, from that of CASME II: three hours. An
accelerator is recommended. There is no result, because the licensed data were
not available.
"""

import ml_collections

from configs import default
from dianet_jax.models.zoo import cots


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """Configures a model for this data set.

  Args:
    model: name in `models.registry.MODELS`.
  """
  config = default.get_config(model)
  config.name = 'samm'
  config.data.dataset = 'samm'
  config.data.protocol = 'samm_5class'
  if model == 'cots':
    config.update_from_flattened_dict(cots.ON_SAMM)
  return config
