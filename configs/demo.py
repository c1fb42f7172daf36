"""Demo: a complete run on simulated clips. No data or accelerator needed.

python main.py --config=configs/demo.py

Measured on two CPU cores: 30 seconds with empty caches, 18 with full ones; 60
clips, 6 folds, one seed, UF1 .983. This shows that the program works, and
nothing about real faces.
"""

import ml_collections

from configs import default


def get_config(model: str = 'dianet') -> ml_collections.ConfigDict:
  """Layout and protocol of CASME II, six simulated subjects, a small network.

  Args:
    model: name in `models.registry.MODELS`.
  """
  config = default.get_config(model)
  config.name = 'demo'
  config.data.dataset = 'casme2'
  config.data.protocol = 'casme2_5class'
  config.data.simulation.enabled = True
  config.data.frame_size = 96
  # Small, or as small as the model's authors have it.
  config.data.image_size = min(config.data.image_size, 48)
  if 'backbone' in config.model:
    config.model.backbone = 'compact'
    config.model.pool = 'flatten'
  config.train.epochs = 40
  config.train.batch_size = 25
  augment = config.train.augment
  augment.shift_pixels = min(augment.shift_pixels, 2)
  return config
