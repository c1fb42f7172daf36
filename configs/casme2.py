"""CASME II, five classes, 246 clips as most papers count.

python main.py --config=configs/casme2.py --config.data.manual_dir=DIR

DIR is the data set as licensed, in the layout that
tfds_builders/casme2/README.md shows.

Estimate for two CPU cores, from a timed step: five to ten hours; made for an
accelerator. No score: the data are licensed and were not at hand.
"""

import ml_collections

from configs import default


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """The model, by default DIANet, on this data set."""
  config = default.get_config(model)
  config.name = 'casme2'
  config.data.dataset = 'casme2'
  config.data.protocol = 'casme2_5class_246'
  return config
