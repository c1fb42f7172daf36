"""CASME II, five classes, 246 clips as in most papers.

python main.py --config=configs/casme2.py --config.data.manual_dir=DIR

DIR is the raw data set; tfds_builders/casme2/README.md shows its layout.

Estimated time on two CPU cores, from a timed step: five to ten hours. An
accelerator is recommended. There is no result, because the licensed data were
not available.
"""

import ml_collections

from configs import default


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """Configures a model for this data set.

  Args:
    model: name in `models.registry.MODELS`.
  """
  config = default.get_config(model)
  config.name = 'casme2'
  config.data.dataset = 'casme2'
  config.data.protocol = 'casme2_5class_246'
  return config
