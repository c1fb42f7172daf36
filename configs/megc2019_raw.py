"""MEGC 2019 composite, three classes, 442 clips, from the raw data sets.

python main.py --config=configs/megc2019_raw.py --config.data.manual_dir=DIR

DIR holds CASME II, SAMM and SMIC-HS as licensed, each in a folder of its own;
tfds_builders/megc2019/README.md shows the layout.

Estimate for two CPU cores, by the size of CASME II's: 22 hours; made for an
accelerator. No score: the data are licensed and were not at hand.
"""

import ml_collections

from configs import default


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """The model, by default DIANet, on this data set."""
  config = default.get_config(model)
  config.name = 'megc2019_raw'
  config.data.dataset = 'megc2019'
  config.data.protocol = 'megc2019_3class'
  return config
