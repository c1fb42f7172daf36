"""The configuration as frozen dataclasses: no key is unknown or mistyped.

Defaults live in `configs/default.py`, where every key has its comment.
"""

from collections.abc import Mapping
import dataclasses
import difflib
import functools
import json
from typing import Any, get_args, get_origin, get_type_hints

from dianet_jax.core import errors
from dianet_jax.experiments import rules


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
  coefficients: str
  frame_order: str
  offset_jitter_frames: int
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
  widths: tuple[int, ...]
  fusion: str
  share_backbone: bool
  pool: str
  heads: int
  dropout: float
  phase_dropout: float


@dataclasses.dataclass(frozen=True)
class Augment:
  """Augmentation; see `augment`."""

  flip_probability: float
  negated_channels: tuple[int, ...]
  shift_pixels: int
  rotation_degrees: float
  mixup_alpha: float


@dataclasses.dataclass(frozen=True)
class Train:
  """Optimisation of one fold."""

  epochs: int
  batch_size: int
  learning_rate: float
  warmup_fraction: float
  weight_decay: float
  label_smoothing: float
  focal_gamma: float
  class_balance: str
  effective_number_beta: float
  ema_decay: float
  augment: Augment


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Which epoch predicts, and what is reported."""

  epochs: str
  validation_share: float
  oracle: bool
  ensemble: int


@dataclasses.dataclass(frozen=True)
class Study:
  """Several configurations in one command; see `study` and `nested`."""

  kind: str
  rows: tuple[str, ...]
  groups: int
  selection_seeds: int


@dataclasses.dataclass(frozen=True)
class Parallel:
  """How folds are laid over devices."""

  devices: int
  strategy: str
  folds_per_device: int
  compute_dtype: str
  checkpoint_minutes: float
  coordinator: str
  processes: int
  process: int


@dataclasses.dataclass(frozen=True)
class Config:
  """A whole run."""

  name: str
  seed: int
  seeds: int
  data: Data
  model: Model
  train: Train
  evaluation: Evaluation
  study: Study
  parallel: Parallel
  profile: bool

  @property
  def training_seeds(self) -> range:
    """The seeds of all trainings: reported seed k stands for `ensemble`."""
    size = self.evaluation.ensemble
    return range(self.seed * size, (self.seed + self.seeds) * size)


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


def _check(config: Config) -> None:
  """Raises UserError for the first value that no run can use."""
  for key, holds, expected in rules.rules(config):
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

  Devices, processes and folds on each change no bit of a result (a test says
  so; by `vmap` and `unroll` folds on each may change the last bits), so a run
  stopped on four devices goes on with one. Nor on the list of an ablation's
  rows: each has a configuration of its own, and more may be added.
  """
  values = to_dict(config)
  del values['data']['cache_dir']
  del values['profile']
  parallel = values['parallel']
  values['parallel'] = {
    key: parallel[key] for key in ('strategy', 'compute_dtype')
  }
  if config.study.kind == 'ablation':
    del values['study']['rows']
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
