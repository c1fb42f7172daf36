"""SMIC-HS, three classes, 164 clips; every apex is spotted.

python main.py --config=configs/smic.py --config.data.manual_dir=DIR

DIR is the data set as licensed, in the layout that
tfds_builders/smic/README.md shows.

Estimate for two CPU cores, by the size of CASME II's: two hours; made for an
accelerator. No score: the data are licensed and were not at hand.
"""

import ml_collections

from configs import default


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """The model, by default DIANet, on this data set."""
  config = default.get_config(model)
  config.name = 'smic'
  config.data.dataset = 'smic'
  config.data.protocol = 'smic_3class'
  return config
