"""CAS(ME)3 part A, seven classes, all clips of the spreadsheet.

python main.py --config=configs/casme3.py --config.data.manual_dir=DIR

DIR is the raw data set; tfds_builders/casme3/README.md shows its layout. The
spelling of the emotions in the spreadsheet is not verified: a run lists unknown
ones.

A run prints its estimated time. There is no result, because the licensed data
were not available.
"""

import ml_collections

from configs import default


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """Configures a model for this data set.

  Args:
    model: name in `models.registry.MODELS`.
  """
  config = default.get_config(model)
  config.name = 'casme3'
  config.data.dataset = 'casme3'
  config.data.protocol = 'casme3_7class'
  return config
