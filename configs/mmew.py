"""MMEW, six classes, 234 clips.

python main.py --config=configs/mmew.py --config.data.manual_dir=DIR

DIR is the raw data set; tfds_builders/mmew/README.md shows its layout.

Estimated time on two CPU cores, from that of CASME II: five hours. An
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
  config.name = 'mmew'
  config.data.dataset = 'mmew'
  config.data.protocol = 'mmew_6class'
  return config
