"""MEGC 2019 composite, three classes, 442 clips, from the raw data sets.

python main.py --config=configs/megc2019_raw.py --config.data.manual_dir=DIR

DIR has one folder for each of CASME II, SAMM and SMIC-HS;
tfds_builders/megc2019/README.md shows the layout.

Estimated time on two CPU cores, from that of CASME II: 22 hours. An
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
  config.name = 'megc2019_raw'
  config.data.dataset = 'megc2019'
  config.data.protocol = 'megc2019_3class'
  return config
