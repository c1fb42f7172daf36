r"""Ablation study: one run per row, and a table of differences to the first.

python main.py --config=configs/ablation.py
python main.py --config=configs/ablation.py:megc2019 \
  --config.data.manual_dir=DIR

The name after the colon selects the configuration of a data set in configs/;
the default is the simulated demo. Each row states how it differs from the
default settings. The same command resumes a stopped study.

Measured on two CPU cores: demo, 10 rows, 6 minutes; megc2019, 8 rows, 55
minutes (estimated from timed steps). docs/evaluation.md links both tables.
"""

import dataclasses

import ml_collections

import configs
from dianet_jax.core.config import PHASES
from dianet_jax.experiments import configuration, rules


def get_config(base: str = 'demo') -> ml_collections.ConfigDict:
  """The rows of the study.

  Args:
    base: configuration that determines the data set and all other settings.

  Returns:
    The configuration of the study.
  """
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
    # Both images are made of frames, so that inputs of a data set's own are
    # replaced by dynamic images.
    'TRDI and MIDI, adaptive: model.fusion=adaptive data.inputs=()'
    " data.phases=('onset_offset',) data.frame_order=both",
  )
  return config


def _phases(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """All phases that the data set provides."""
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
