"""CAS(ME)3 part A, seven classes, whole sheet.

python main.py --config=configs/casme3.py --config.data.manual_dir=DIR

DIR is the data set as licensed, in the layout that
tfds_builders/casme3/README.md shows. The emotions' spellings could
not be checked here: a run lists those that it does not know.
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
  """The default network on this data set, a protocol of its own."""
  config = default.get_config()
  config.name = 'casme3'
  config.data.dataset = 'casme3'
  config.data.emotions = (
    'happy=happiness',
    'happiness=happiness',
    'disgust=disgust',
    'fear=fear',
    'anger=anger',
    'sad=sadness',
    'sadness=sadness',
    'surprise=surprise',
    'others=others',
  )
  return config
