"""MMEW, six classes, 234 clips.

python main.py --config=configs/mmew.py --config.data.manual_dir=DIR

DIR is the data set as licensed, in the layout that
tfds_builders/mmew/README.md shows.

Estimate for two CPU cores, by the size of CASME II's: five hours; made for an
accelerator. No score: the data are licensed and were not at hand.
"""

import ml_collections

from configs import default


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """The model, by default DIANet, on this data set."""
  config = default.get_config(model)
  config.name = 'mmew'
  config.data.dataset = 'mmew'
  config.data.protocol = 'mmew_6class'
  return config
