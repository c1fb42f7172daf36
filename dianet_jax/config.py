"""The configuration as frozen dataclasses: no key is unknown or mistyped.

Defaults live in `configs/default.py`, where every key has its comment.
"""

from collections.abc import Iterable, Iterator, Mapping
import dataclasses
import difflib
import functools
import json
from typing import Any, get_args, get_origin, get_type_hints

from dianet_jax import errors


@dataclasses.dataclass(frozen=True)
class Simulation:
  """The simulated data set; see `tfds_builders.simulate`."""

  enabled: bool
  subjects: int
  clips_per_subject: int
  seed: int


@dataclasses.dataclass(frozen=True)
class Data:
  """Which clips, and how they become phase images."""

  dataset: str
  variant: str
  protocol: str
  emotions: tuple[str, ...]
  manual_dir: str
  cache_dir: str
  skip_bad_clips: bool
  annotation_policy: str
  phases: tuple[str, ...]
  crop: tuple[float, ...]
  align: bool
  frame_size: int
  image_size: int
  scaling: str
  permute_labels: bool
  simulation: Simulation


@dataclasses.dataclass(frozen=True)
class Model:
  """The network; see `models.dianet.DIANet`."""

  backbone: str
  fusion: str
  share_backbone: bool
  pool: str
  heads: int
  dropout: float


@dataclasses.dataclass(frozen=True)
class Augment:
  """Augmentation; see `augment.augment`."""

  flip_probability: float
  negated_channels: tuple[int, ...]
  shift_pixels: int


@dataclasses.dataclass(frozen=True)
class Train:
  """Optimisation of one fold."""

  epochs: int
  batch_size: int
  learning_rate: float
  warmup_fraction: float
  weight_decay: float
  label_smoothing: float
  balance_classes: bool
  augment: Augment


@dataclasses.dataclass(frozen=True)
class Parallel:
  """How folds are laid over devices."""

  devices: int
  strategy: str
  folds_per_device: int
  compute_dtype: str


@dataclasses.dataclass(frozen=True)
class Config:
  """A whole run."""

  name: str
  seed: int
  seeds: int
  data: Data
  model: Model
  train: Train
  parallel: Parallel


def _convert(value: Any, wanted: Any, key: str) -> Any:
  """`value` as type `wanted`, or a UserError naming `key`."""
  if dataclasses.is_dataclass(wanted):
    return _section(value, wanted, key)
  if get_origin(wanted) is tuple:
    item = get_args(wanted)[0]
    if isinstance(value, (list, tuple)):
      return tuple(
        _convert(v, item, f'{key}[{i}]') for i, v in enumerate(value)
      )
  elif wanted is float and isinstance(value, int) and value is not True:
    return float(value)
  elif type(value) is wanted:
    return value
  name = getattr(wanted, '__name__', None) if not get_args(wanted) else 'tuple'
  raise errors.UserError(
    f'--config.{key}={value!r} is of type {type(value).__name__},'
    f' expected {name}.'
  )


def _section(values: Any, cls: type, prefix: str = '') -> Any:
  if not isinstance(values, Mapping):
    raise errors.UserError(
      f'--config.{prefix}={values!r} must be a section with the keys '
      + ', '.join(field.name for field in dataclasses.fields(cls))
    )
  dot = f'{prefix}.' if prefix else ''
  types = get_type_hints(cls)
  for key in values:
    if key not in types:
      raise errors.UserError(unknown_key(f'{dot}{key}'))
  missing = [key for key in types if key not in values]
  if missing:
    raise errors.UserError(
      f'The configuration lacks {dot}{missing[0]}. Start from'
      ' configs/default.py, which holds every key.'
    )
  return cls(
    **{key: _convert(values[key], types[key], f'{dot}{key}') for key in types}
  )


_IN_WORDS = {int: 'a whole number', float: 'a number', bool: 'true or false'}


def all_keys(cls: type = Config, prefix: str = '') -> dict[str, str]:
  """Every key, as typed after `--config.`, and what it takes, in words."""
  found = {}
  for key, type_ in get_type_hints(cls).items():
    if dataclasses.is_dataclass(type_):
      found |= all_keys(type_, f'{prefix}{key}.')
    elif get_origin(type_) is tuple:
      found[prefix + key] = 'a tuple, such as "(1,)"'
    else:
      found[prefix + key] = _IN_WORDS.get(type_, 'a text')
  return found


def unknown_key(key: str) -> str:
  """The message for a key that is not in the configuration."""
  known = all_keys()
  # The right name in the wrong section is as common as a misspelling.
  last = key.rsplit('.', 1)[-1]
  near = [k for k in known if k.rsplit('.', 1)[-1] == last]
  near = near or difflib.get_close_matches(key, known, 1, 0.0)
  return (
    f'--config.{key} is not a configuration key. The nearest is'
    f' --config.{near[0]}; configs/default.py lists them all.'
  )


def _among(known: Iterable[str]) -> str:
  return 'one of ' + ', '.join(known)


def _data_rules(data: Data, fusion: str) -> Iterator[tuple[str, bool, str]]:
  """(key, whether it holds, what is expected)."""
  from dianet_jax import rank_pooling, scaling
  from dianet_jax.models import fusion as fusions

  phases = data.phases
  known = set(rank_pooling.PHASES)
  yield (
    'phases',
    0 < len(phases) == len(set(phases)) and known.issuperset(phases),
    'one or more, each once, of ' + ', '.join(rank_pooling.PHASES),
  )
  wanted = fusions.NUM_PHASES.get(fusion)
  yield (
    'phases',
    wanted in (None, len(phases)),
    f'{wanted} phases for --config.model.fusion={fusion}; a single phase goes'
    ' with --config.model.fusion=first_phase',
  )
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


def _model_rules(model: Model) -> Iterator[tuple[str, bool, str]]:
  """(key, whether it holds, what is expected)."""
  from dianet_jax.models import dianet, fusion

  backbones = dianet.BACKBONES
  yield 'backbone', model.backbone in backbones, _among(backbones)
  yield 'fusion', model.fusion in fusion.FUSIONS, _among(fusion.FUSIONS)
  yield 'pool', model.pool in fusion.POOLS, _among(fusion.POOLS)
  width = dianet.FEATURES[model.backbone]
  yield (
    'heads',
    model.heads >= 1 and width % model.heads == 0,
    f'a divisor of {width}, the features of {model.backbone}',
  )
  yield 'dropout', 0 <= model.dropout < 1, '0 to below 1'


def _train_rules(
  train: Train, image_size: int
) -> Iterator[tuple[str, bool, str]]:
  """(key, whether it holds, what is expected)."""
  yield 'epochs', train.epochs >= 1, 'at least 1'
  yield 'batch_size', train.batch_size >= 1, 'at least 1'
  yield 'learning_rate', train.learning_rate > 0, '> 0'
  yield 'warmup_fraction', 0 <= train.warmup_fraction < 1, '0 to below 1'
  yield 'weight_decay', train.weight_decay >= 0, 'at least 0'
  yield 'label_smoothing', 0 <= train.label_smoothing < 1, '0 to below 1'
  augment = train.augment
  yield (
    'augment.flip_probability',
    0 <= augment.flip_probability <= 1,
    '0 to 1',
  )
  yield (
    'augment.negated_channels',
    {0, 1, 2}.issuperset(augment.negated_channels),
    'channels 0, 1 or 2',
  )
  yield (
    'augment.shift_pixels',
    0 <= augment.shift_pixels < image_size,
    f'0 to below data.image_size={image_size}',
  )


def _rules(config: Config) -> Iterator[tuple[str, bool, str]]:
  yield 'seed', 0 <= config.seed < 2**31, '0 to 2147483647'
  yield 'seeds', config.seeds >= 1, 'at least 1'
  simulation = config.data.simulation
  for key in ('subjects', 'clips_per_subject'):
    number = getattr(simulation, key)
    yield f'data.simulation.{key}', number >= 1, 'at least 1'
  sections = {
    'model': _model_rules(config.model),
    'data': _data_rules(config.data, config.model.fusion),
    'train': _train_rules(config.train, config.data.image_size),
  }
  for section, rules in sections.items():
    for key, holds, expected in rules:
      yield f'{section}.{key}', holds, expected
  strategies = ('auto', 'loop', 'map', 'vmap')
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
  yield 'parallel.folds_per_device', number >= 0, '0 (all) or more'


def _check(config: Config) -> None:
  """Raises UserError for the first value that no run can use."""
  for key, holds, expected in _rules(config):
    if not holds:
      value = functools.reduce(getattr, key.split('.'), config)
      raise errors.UserError(
        f'--config.{key}={value!r} is out of range: expected {expected}.'
      )


def from_mapping(values: Mapping[str, Any]) -> Config:
  """The configuration that `values` (a ConfigDict or nested dict) spells.

  Raises:
    UserError: an unknown key (with the nearest valid one), a missing key, a
      value of the wrong type or out of range.
  """
  config = _section(values, Config)
  _check(config)
  return config


def to_dict(config: Config) -> dict[str, Any]:
  """Nested plain values, as JSON gives them back."""
  return json.loads(json.dumps(dataclasses.asdict(config)))


def identity(config: Config) -> dict[str, Any]:
  """What a result depends on: not where the cache lies, nor on which devices.

  Devices and folds on each change no bit of a result (a test says so), so a
  run stopped on four devices goes on with one.
  """
  values = to_dict(config)
  del values['data']['cache_dir']
  del values['parallel']['devices']
  del values['parallel']['folds_per_device']
  return values


def differences(held: Any, wanted: Any, prefix: str = '') -> list[str]:
  """Keys whose values differ between two nested dicts, a line each."""
  lines = []
  for key in sorted(held.keys() | wanted.keys()):
    old, new = held.get(key), wanted.get(key)
    if isinstance(old, dict) and isinstance(new, dict):
      lines += differences(old, new, f'{prefix}{key}.')
    elif old != new:
      lines.append(f'  {prefix}{key}: {old!r} there, {new!r} here')
  return lines
