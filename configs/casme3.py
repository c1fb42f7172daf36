"""CAS(ME)3 part A, seven classes, whole sheet.

python main.py --config=configs/casme3.py --config.data.manual_dir=DIR

DIR is the data set as licensed, in the layout that
tfds_builders/casme3/README.md shows. The emotions' spellings could
not be checked here: a run lists those that it does not know.

No estimate of the time: a run prints one. No score: the data are licensed and
were not at hand.
"""

import ml_collections

from configs import default


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """The model, by default DIANet, on this data set."""
  config = default.get_config(model)
  config.name = 'casme3'
  config.data.dataset = 'casme3'
  config.data.protocol = 'casme3_7class'
  return config
