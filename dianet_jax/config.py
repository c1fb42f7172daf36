"""The configuration as frozen dataclasses: no key is unknown or mistyped.

Defaults live in `configs/default.py`, where every key has its comment.
"""

from collections.abc import Mapping
import dataclasses
import difflib
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
  manual_dir: str
  cache_dir: str
  skip_bad_clips: bool
  phases: tuple[str, ...]
  crop: tuple[float, ...]
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


def keys(cls: type = Config, prefix: str = '') -> list[str]:
  """Every key with its sections, as typed after `--config.`."""
  found = []
  for key, type_ in get_type_hints(cls).items():
    if dataclasses.is_dataclass(type_):
      found += keys(type_, f'{prefix}{key}.')
    else:
      found.append(prefix + key)
  return found


def unknown_key(key: str) -> str:
  """The message for a key that is not in the configuration."""
  known = keys()
  # The right name in the wrong section is as common as a misspelling.
  last = key.rsplit('.', 1)[-1]
  near = [k for k in known if k.rsplit('.', 1)[-1] == last]
  near = near or difflib.get_close_matches(key, known, 1, 0.0)
  return (
    f'--config.{key} is not a configuration key. The nearest is'
    f' --config.{near[0]}; configs/default.py lists them all.'
  )


def _require(condition: bool, key: str, value: Any, expected: str) -> None:
  if not condition:
    raise errors.UserError(
      f'--config.{key}={value!r} is out of range: expected {expected}.'
    )


def _one_of(key: str, value: str, known: Any) -> None:
  _require(value in known, key, value, 'one of ' + ', '.join(known))


def _check(config: Config) -> None:
  """Raises UserError for a value that no run can use."""
  # Imported here: these pull in Flax, and only the check needs their names.
  from dianet_jax import rank_pooling, scaling
  from dianet_jax.models import dianet, fusion

  data, model, train = config.data, config.model, config.train
  _require(config.seeds >= 1, 'seeds', config.seeds, 'at least 1')
  for phase in data.phases:
    _one_of('data.phases', phase, rank_pooling.PHASES)
  _require(len(data.phases) > 0, 'data.phases', data.phases, 'at least one')
  _one_of('data.scaling', data.scaling, scaling.SCALINGS)
  _require(
    data.image_size >= 8, 'data.image_size', data.image_size, '8 or more'
  )
  _require(
    data.frame_size >= data.image_size,
    'data.frame_size',
    data.frame_size,
    f'at least data.image_size={data.image_size}',
  )
  crop = data.crop
  _require(
    len(crop) == 4
    and 0 <= crop[0] < crop[2] <= 1
    and 0 <= crop[1] < crop[3] <= 1,
    'data.crop',
    crop,
    '(top, left, bottom, right) as shares of the frame, 0..1',
  )
  _one_of('model.backbone', model.backbone, dianet.BACKBONES)
  _one_of('model.fusion', model.fusion, fusion.FUSIONS)
  _one_of('model.pool', model.pool, ('mean', 'flatten'))
  _require(
    0 <= model.dropout < 1, 'model.dropout', model.dropout, '0 to below 1'
  )
  _require(
    len(data.phases) >= fusion.NUM_PHASES.get(model.fusion, 1)
    and not (
      model.fusion in ('cross_attention', 'gated') and len(data.phases) > 2
    ),
    'data.phases',
    data.phases,
    f'two phases for model.fusion={model.fusion}; a single phase goes with'
    ' model.fusion=first_phase',
  )
  for key in ('epochs', 'batch_size'):
    value = getattr(train, key)
    _require(value >= 1, f'train.{key}', value, 'at least 1')
  _require(
    train.learning_rate > 0, 'train.learning_rate', train.learning_rate, '> 0'
  )
  warmup = train.warmup_fraction
  _require(0 <= warmup < 1, 'train.warmup_fraction', warmup, '0 to below 1')
  smoothing = train.label_smoothing
  _require(
    0 <= smoothing < 1, 'train.label_smoothing', smoothing, '0 to below 1'
  )
  flip = train.augment.flip_probability
  _require(0 <= flip <= 1, 'train.augment.flip_probability', flip, '0 to 1')
  pixels = train.augment.shift_pixels
  _require(
    0 <= pixels < data.image_size,
    'train.augment.shift_pixels',
    pixels,
    f'0 to below data.image_size={data.image_size}',
  )
  parallel = config.parallel
  _one_of(
    'parallel.strategy', parallel.strategy, ('auto', 'loop', 'map', 'vmap')
  )
  _one_of(
    'parallel.compute_dtype',
    parallel.compute_dtype,
    ('auto', 'float32', 'bfloat16'),
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
