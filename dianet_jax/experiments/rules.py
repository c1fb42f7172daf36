"""Which values of the configuration a run can use."""

from collections.abc import Iterable, Iterator
import re
from typing import Any

KINDS = ('', 'ablation', 'nested')


def _among(known: Iterable[str]) -> str:
  return 'one of ' + ', '.join(known)


def _pooling_rules(data: Any) -> Iterator[tuple[str, bool, str]]:
  """(key, whether it holds, what is expected)."""
  from dianet_jax.motion import rank_pooling

  yield (
    'coefficients',
    data.coefficients in rank_pooling.COEFFICIENTS,
    _among(rank_pooling.COEFFICIENTS),
  )
  yield (
    'frame_order',
    data.frame_order in rank_pooling.ORDERS,
    _among(rank_pooling.ORDERS),
  )
  rank_pooled = (data.coefficients, data.frame_order) == ('rank', 'time')
  for key in ('coefficients', 'frame_order'):
    yield (
      key,
      rank_pooled or not data.dataset.endswith('_flow'),
      'the default: flow images are not pooled from frames',
    )
  jitter = data.offset_jitter_frames
  yield 'offset_jitter_frames', jitter >= 0, 'at least 0'
  yield (
    'offset_jitter_frames',
    not jitter or not data.dataset.endswith('_flow'),
    '0: flow images are not pooled from frames',
  )
  yield (
    'offset_jitter_frames',
    not jitter or any(phase.endswith('_offset') for phase in data.phases),
    '0, or a phase among data.phases that ends at the offset',
  )


def _data_rules(data: Any, fusion: str) -> Iterator[tuple[str, bool, str]]:
  """(key, whether it holds, what is expected)."""
  from dianet_jax.models import fusions as fusions
  from dianet_jax.motion import rank_pooling, scaling

  phases = data.phases
  known = set(rank_pooling.PHASES)
  yield (
    'phases',
    0 < len(phases) == len(set(phases)) and known.issuperset(phases),
    'one or more, each once, of ' + ', '.join(rank_pooling.PHASES),
  )
  known_fusion = fusions.FUSIONS.get(fusion)
  wanted = known_fusion and known_fusion.views
  yield (
    'phases',
    wanted in (None, len(phases)),
    f'{wanted} phases for --config.model.fusion={fusion}; a single phase goes'
    ' with --config.model.fusion=concat',
  )
  yield from _pooling_rules(data)
  yield 'scaling', data.scaling in scaling.SCALINGS, _among(scaling.SCALINGS)
  yield 'image_size', data.image_size >= 8, 'at least 8 pixels'
  yield (
    'frame_size',
    data.frame_size >= data.image_size or data.dataset.endswith('_flow'),
    f'at least data.image_size={data.image_size}',
  )
  yield (
    'align',
    not data.align or not data.dataset.endswith('_flow'),
    'false: flow images show no face',
  )
  yield (
    'emotions',
    all('=' in pair for pair in data.emotions),
    "'raw emotion=class' for each emotion",
  )
  corners = len(data.crop) == 4 and all(
    0 <= low < high <= 1 for low, high in zip(data.crop[:2], data.crop[2:])
  )
  yield 'crop', corners, '(top, left, bottom, right), shares of the frame, 0..1'
  yield (
    'crop',
    not data.align or data.crop == (0, 0, 1, 1),
    'the whole frame, (0.0, 0.0, 1.0, 1.0), with --config.data.align=true',
  )


def _model_rules(model: Any) -> Iterator[tuple[str, bool, str]]:
  """(key, whether it holds, what is expected)."""
  from dianet_jax.models import dianet, fusions

  backbones = dianet.BACKBONES
  yield 'backbone', model.backbone in backbones, _among(backbones)
  yield 'fusion', model.fusion in fusions.FUSIONS, _among(fusions.FUSIONS)
  yield 'pool', model.pool in fusions.POOLS, _among(fusions.POOLS)
  yield 'widths', all(w >= 1 for w in model.widths), 'widths of at least 1'
  width = dianet.feature_width(model.backbone, model.widths)
  yield (
    'heads',
    model.heads >= 1 and width % model.heads == 0,
    f'a divisor of {width}, the features of {model.backbone}',
  )
  yield 'dropout', 0 <= model.dropout < 1, '0 to below 1'
  yield 'phase_dropout', 0 <= model.phase_dropout < 1, '0 to below 1'
  yield (
    'share_backbone',
    model.share_backbone or model.fusion != 'each_phase',
    'true with --config.model.fusion=each_phase: one network sees all phases',
  )


def _train_rules(train: Any, data: Any) -> Iterator[tuple[str, bool, str]]:
  """(key, whether it holds, what is expected)."""
  from dianet_jax.data import folds

  yield 'epochs', train.epochs >= 1, 'at least 1'
  yield 'batch_size', train.batch_size >= 1, 'at least 1'
  yield 'learning_rate', train.learning_rate > 0, '> 0'
  yield 'warmup_fraction', 0 <= train.warmup_fraction < 1, '0 to below 1'
  yield 'weight_decay', train.weight_decay >= 0, 'at least 0'
  yield 'label_smoothing', 0 <= train.label_smoothing < 1, '0 to below 1'
  yield 'focal_gamma', train.focal_gamma >= 0, 'at least 0'
  yield (
    'class_balance',
    train.class_balance in folds.CLASS_BALANCES,
    _among(folds.CLASS_BALANCES),
  )
  yield (
    'effective_number_beta',
    0 <= train.effective_number_beta < 1,
    '0 to below 1',
  )
  yield 'ema_decay', 0 <= train.ema_decay < 1, '0 to below 1'
  yield from (
    (f'augment.{key}', holds, expected)
    for key, holds, expected in _augment_rules(train.augment, data)
  )


def _augment_rules(augment: Any, data: Any) -> Iterator[tuple[str, bool, str]]:
  """(key, whether it holds, what is expected)."""
  yield 'mixup_alpha', augment.mixup_alpha >= 0, 'at least 0'
  yield 'flip_probability', 0 <= augment.flip_probability <= 1, '0 to 1'
  negated = augment.negated_channels
  yield (
    'negated_channels',
    {0, 1, 2}.issuperset(negated),
    'channels 0, 1 or 2',
  )
  yield (
    'shift_pixels',
    0 <= augment.shift_pixels < data.image_size,
    f'0 to below data.image_size={data.image_size}',
  )
  degrees = augment.rotation_degrees
  yield 'rotation_degrees', 0 <= degrees <= 180, '0 to 180'
  yield (
    'rotation_degrees',
    not degrees or not (negated or data.dataset.endswith('_flow')),
    '0: the vectors of optical flow would have to turn with the face, and'
    ' their components are scaled apart',
  )


def _evaluation_rules(evaluation: Any) -> Iterator[tuple[str, bool, str]]:
  """(key, whether it holds, what is expected)."""
  choices = ('fixed', 'inner_split')
  yield 'epochs', evaluation.epochs in choices, _among(choices)
  share = evaluation.validation_share
  yield 'validation_share', 0 < share < 1, 'above 0 and below 1'
  yield 'ensemble', evaluation.ensemble >= 1, 'at least 1'


def _study_rules(study: Any) -> Iterator[tuple[str, bool, str]]:
  """(key, whether it holds, what is expected)."""
  yield 'kind', study.kind in KINDS, "'', ablation or nested"
  yield (
    'kind',
    bool(study.kind) or not study.rows,
    'ablation or nested, as there are study.rows',
  )
  yield (
    'rows',
    bool(study.rows) or not study.kind,
    f"'name: key=value ...', one or more, with study.kind={study.kind!r}",
  )
  yield 'groups', study.groups >= 3, 'at least 3'
  yield 'selection_seeds', study.selection_seeds >= 1, 'at least 1'


def rules(config: Any) -> Iterator[tuple[str, bool, str]]:
  """What must hold of a `config.Config` whose types are right.

  Yields:
    (dotted key, whether its value holds, what is expected).
  """
  yield 'seeds', config.seeds >= 1, 'at least 1'
  simulation = config.data.simulation
  for key in ('subjects', 'clips_per_subject'):
    number = getattr(simulation, key)
    yield f'data.simulation.{key}', number >= 1, 'at least 1'
  sections = {
    'model': _model_rules(config.model),
    'data': _data_rules(config.data, config.model.fusion),
    'train': _train_rules(config.train, config.data),
    'evaluation': _evaluation_rules(config.evaluation),
    'study': _study_rules(config.study),
  }
  for section, rules in sections.items():
    for key, holds, expected in rules:
      yield f'{section}.{key}', holds, expected
  largest = 2**31 // config.evaluation.ensemble - config.seeds - 1
  yield 'seed', 0 <= config.seed <= largest, f'0 to {largest}'
  strategies = ('auto', 'loop', 'unroll', 'map', 'vmap')
  parallel = config.parallel
  yield (
    'parallel.strategy',
    parallel.strategy in strategies,
    _among(strategies),
  )
  dtypes = ('auto', 'float32', 'bfloat16')
  yield (
    'parallel.compute_dtype',
    parallel.compute_dtype in dtypes,
    _among(dtypes),
  )
  yield 'parallel.devices', parallel.devices >= 0, '0 (all) or more'
  number = parallel.folds_per_device
  yield 'parallel.folds_per_device', number >= 0, '0 (as many as fit) or more'
  minutes = parallel.checkpoint_minutes
  yield 'parallel.checkpoint_minutes', minutes >= 0, '0 (every epoch) or more'
  alone = parallel.coordinator in ('', 'auto')
  yield (
    'parallel.coordinator',
    alone or re.fullmatch(r'.+:\d+', parallel.coordinator) is not None,
    "'' (one process), auto, or the address of process 0 as host:port",
  )
  processes = parallel.processes
  yield 'parallel.processes', processes >= 1, '1 or more'
  yield (
    'parallel.process',
    0 <= parallel.process < processes,
    f'0 to {processes - 1}, by --config.parallel.processes={processes}',
  )
