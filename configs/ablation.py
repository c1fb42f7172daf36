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

import dataclasses

import ml_collections

import configs
from dianet_jax.core.config import PHASES
from dianet_jax.experiments import configuration, rules


def get_config(base: str = 'demo') -> ml_collections.ConfigDict:
  """The rows, on the data set and with the settings of `base`."""
  config = configs.named(base)
  phases = _phases(config)
  config.name = f'ablation-{base}'
  config.study.kind = 'ablation'
  config.study.rows = (
    'dual cross-attention: model.fusion=cross_attention',
    "whole clip: data.phases=('onset_offset',) model.fusion=concat",
    "onset-apex only: data.phases=('onset_apex',) model.fusion=concat",
    "apex-offset only: data.phases=('apex_offset',) model.fusion=concat",
    'dual concat: model.fusion=concat',
    'dual add: model.fusion=add',
    'dual gated: model.fusion=gated',
    'dual cross-attention shared: model.fusion=cross_attention'
    ' model.share_backbone=true',
    'phase-aware augmentation: model.fusion=each_phase'
    f' model.share_backbone=true data.phases={phases}',
  )
  return config


def _phases(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """All phases that the data set has."""
  parsed = configuration.parse(config.to_dict())
  return tuple(
    phase
    for phase in PHASES
    if not rules.unsupported(
      dataclasses.replace(
        parsed, data=dataclasses.replace(parsed.data, phases=(phase,))
      )
    )
  )
