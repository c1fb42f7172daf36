"""Nested selection: a configuration for each subject, chosen on the others.

python main.py --config=configs/nested.py:megc2019 --config.data.manual_dir=DIR

The name after the colon selects the configuration of a data set in configs/;
the default is the simulated demo. dianet_jax/experiments/nested.py describes
the procedure.

Measured on two CPU cores shared with other programs, megc2019 with
--config.seeds=5 (278 clips, 52 folds): 34 minutes, UF1 .738 +- .007.
"""

import ml_collections

import configs


def get_config(base: str = 'demo') -> ml_collections.ConfigDict:
  """The candidates of the selection.

  Args:
    base: configuration that determines the data set and all other settings.

  Returns:
    The configuration of the study.
  """
  config = configs.named(base)
  config.name = f'nested-{base}'
  config.study.kind = 'nested'
  # Chosen before any of them was evaluated. In a tie, the first one wins.
  config.study.rows = (
    # The paper's fusion with this project's defaults.
    'default:',
    # Unlike attention, a gate can ignore an uninformative phase.
    'gated: model.fusion=gated',
    # The fewest parameters with both phases separate; there are few clips.
    'concat: model.fusion=concat',
    # Better if the second phase is only noise.
    "onset-apex only: data.phases=('onset_apex',) model.fusion=concat",
    # Forces the network to use each phase on its own.
    'phase dropout: model.phase_dropout=0.3',
    # Better if the small network underfits.
    'wider: model.widths=(32,64,96)',
    # Regularises the decision boundary; useful with few samples.
    'mixup: train.augment.mixup_alpha=0.2',
    # Averages out the noise of the last steps.
    'averaged: train.ema_decay=0.99',
  )
  return config
