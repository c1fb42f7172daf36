r"""Which design is better: one run a row, one table of differences.

python main.py --config=configs/ablation.py
python main.py --config=configs/ablation.py:megc2019 \
  --config.data.manual_dir=DIR

What follows the colon names a data set's file in configs/; the demo's simulated
clips if nothing does. Every row differs from the first, the default, in what it
says. It resumes when stopped.

Measured on two CPU cores: demo, 9 rows, 5 minutes; megc2019, 8 rows, 55 minutes
(by timed steps). README.md has both tables.
"""

import ml_collections

import configs


def get_config(base: str = 'demo') -> ml_collections.ConfigDict:
  """The rows, on the data set and with the settings of `base`."""
  config = configs.named(base)
  config.name = f'ablation-{base}'
  config.study.kind = 'ablation'
  # All phases that the data have.
  phases = "('onset_apex','apex_offset')"
  if not config.data.dataset.endswith('_flow'):
    phases = "('onset_apex','apex_offset','onset_offset')"
  config.study.rows = (
    'dual cross-attention: model.fusion=cross_attention',
    "whole clip: data.phases=('onset_offset',) model.fusion=first_phase",
    'onset-apex only: model.fusion=first_phase',
    'apex-offset only: model.fusion=second_phase',
    'dual concat: model.fusion=concat',
    'dual add: model.fusion=add',
    'dual gated: model.fusion=gated',
    'dual cross-attention shared: model.fusion=cross_attention'
    ' model.share_backbone=true',
    'phase-aware augmentation: model.fusion=each_phase'
    f' model.share_backbone=true data.phases={phases}',
  )
  return config
