"""A configuration for every subject, chosen without looking at it.

python main.py --config=configs/nested.py:megc2019 --config.data.manual_dir=DIR

What follows the colon names a data set's file in configs/; the demo's simulated
clips if nothing does. dianet_jax/experiments/nested.py describes the procedure.

Measured on two CPU cores, megc2019 with --config.seeds=5 (278 clips, 52 folds):
34 minutes with other work on them, UF1 .738 +- .007.
"""

import ml_collections

import configs


def get_config(base: str = 'demo') -> ml_collections.ConfigDict:
  """The candidates, on the data set and with the settings of `base`."""
  config = configs.named(base)
  config.name = f'nested-{base}'
  config.study.kind = 'nested'
  # Laid down before any of them was scored. The earlier wins a tie.
  config.study.rows = (
    # The paper's fusion with this project's defaults.
    'default:',
    # A gate can close a phase that says nothing, attention cannot.
    'gated: model.fusion=gated',
    # The fewest parameters that see both phases apart: few clips, less to fit.
    'concat: model.fusion=concat',
    # If the second phase is noise, the first alone must win.
    "onset-apex only: data.phases=('onset_apex',) model.fusion=concat",
    # Forces each phase to be of use by itself.
    'phase dropout: model.phase_dropout=0.3',
    # Whether the small network is too small.
    'wider: model.widths=(32,64,96)',
    # Regularises at the decision boundary; made for few samples.
    'mixup: train.augment.mixup_alpha=0.2',
    # Takes the noise of the last steps out of the parameters.
    'averaged: train.ema_decay=0.99',
  )
  return config
