"""MEGC 2019 composite, three classes, from optical flow images of each phase.

python main.py --config=configs/megc2019.py --config.data.manual_dir=DIR

DIR is the folder of flow images of the repository tony19980810/CausalNet.
Measured on two CPU cores, CASME II and SAMM parts (278 clips, 52 folds, three
seeds): 9 minutes, UF1 .747 +- .009. Memory: 1 GB.
"""

import ml_collections

from configs import default
from dianet_jax.models.zoo import causalnet, cots


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """Flow images of both phases, 28 x 28 pixels, a small network, three seeds.

  Args:
    model: name in `models.registry.MODELS`.
  """
  config = default.get_config(model)
  config.name = 'megc2019'
  config.seeds = 3
  config.data.dataset = 'megc2019_flow'
  config.data.protocol = 'megc2019_3class'
  config.data.inputs = ('phase_flow',)
  config.data.frame_size = 28
  config.data.image_size = 28
  if config.data.scaling not in ('minmax', 'grey_levels'):
    # The grey value of no motion is unknown and differs between images.
    config.data.scaling = 'standardize'
  if 'backbone' in config.model:
    config.model.backbone = 'compact'
    config.model.pool = 'flatten'
  # There are no frames to search.
  config.data.key_frame_search, config.data.train_on_annotated = 0.0, True
  # As they are stored, whatever is recommended for flow of frames.
  config.data.flow.coding = 'grey_levels'
  if model == 'cots':
    config.update_from_flattened_dict(cots.ON_FLOW)
  if model == 'causalnet':
    config.update_from_flattened_dict(causalnet.STORED)
  if model == 'slstt':
    config.model.normalise, config.model.enlarge = 'none', 112
  if model == 'fmanet':
    config.model.flow, config.model.stem = 'images', '3x3'
    config.train.augment.rotation_degrees = 0.0
  if model == 'dianet':
    config.train.epochs = 30
    config.train.augment.shift_pixels = 2
  return config
