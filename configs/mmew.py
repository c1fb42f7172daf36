"""MMEW, six classes, 234 clips.

python main.py --config=configs/mmew.py --config.data.manual_dir=DIR

DIR is the data set as licensed, in the layout that
tfds_builders/mmew/README.md shows.
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
  """The default network on this data set."""
  config = default.get_config()
  config.name = 'mmew'
  config.data.dataset = 'mmew'
  config.data.protocol = 'mmew_6class'
  return config
