"""SAMM, five classes, 136 clips.

python main.py --config=configs/samm.py --config.data.manual_dir=DIR

DIR is the data set as licensed, in the layout that
tfds_builders/samm/README.md shows.

Estimate for two CPU cores, by the size of CASME II's: three hours; made for an
accelerator. No score: the data are licensed and were not at hand.
"""

import ml_collections

from configs import default


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """The model, by default DIANet, on this data set."""
  config = default.get_config(model)
  config.name = 'samm'
  config.data.dataset = 'samm'
  config.data.protocol = 'samm_5class'
  return config
