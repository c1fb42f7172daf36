"""Converts nested values to a checked `Config`; identifies configurations."""

from collections.abc import Mapping
import copy
import dataclasses
import functools
import hashlib
import json
import operator
import pathlib
import re
from typing import Any

import ml_collections

from dianet_jax.core import errors, schema
from dianet_jax.core.config import Config
from dianet_jax.experiments import rules
from dianet_jax.models.registry import MODELS
from dianet_jax.training.objectives import OBJECTIVES

# Sections whose keys depend on their `name`.
SECTIONS: schema.Sections = {
  'model': lambda name: MODELS[name or 'dianet'].Settings,
  'objective': lambda name: OBJECTIVES[name or 'cross_entropy'].Settings,
}


def parse(values: Mapping[str, Any]) -> Config:
  """Converts values like `from_mapping`, but without checking `rules`.

  For configurations of older versions, which did not have all rules.

  Args:
    values: nested values; missing keys get their defaults.
  """
  return schema.parse(values, Config, SECTIONS)


def from_mapping(values: Mapping[str, Any]) -> Config:
  """Converts values (a ConfigDict or nested dict) to a configuration.

  Args:
    values: nested values; missing keys get their defaults.

  Returns:
    A valid configuration.

  Raises:
    UserError: a key is unknown (the message has the nearest valid one), or a
      value has the wrong type, is out of range or contradicts another one.
  """
  config = parse(values)
  for key, holds, expected in rules.rules(config):
    if not holds:
      value = schema.value_of(config, key)
      raise errors.UserError(schema.out_of_range(key, value, expected))
  return config


def changed(
  values: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
  """Sets some keys in nested values.

  Args:
    values: with every section.
    settings: dotted key -> value. If it changes the model or the objective, the
      section gets the defaults of the new one.

  Returns:
    New values.

  Raises:
    UserError: an unknown key.
  """
  values = copy.deepcopy(dict(values))
  for section in SECTIONS:
    name = settings.get(f'{section}.name', values[section].get('name'))
    if name != values[section].get('name'):
      values[section] = {'name': name}
  known = schema.known_keys(Config, schema.choose(values, SECTIONS))
  for key, value in settings.items():
    if key not in known:
      raise errors.UserError(schema.unknown_key(key, known))
    *sections, last = key.split('.')
    functools.reduce(operator.getitem, sections, values)[last] = value
  return values


def default(model: str = 'dianet') -> ml_collections.ConfigDict:
  """All keys with their defaults and the recommended settings of a model.

  Args:
    model: name in `models.registry.MODELS`.
  """
  values = dataclasses.asdict(parse({'model': {'name': model}}))
  config = parse(changed(values, MODELS[model].recommended))
  return ml_collections.ConfigDict(dataclasses.asdict(config))


def all_keys(config: Config) -> dict[str, schema.Key]:
  """Every key of a configuration, as after `--config.`."""
  return schema.all_keys(config)


def identity(config: Config) -> dict[str, Any]:
  """The part of a configuration on which a result depends.

  Paths and devices are not part of it. Data are identified by the fingerprint
  of their content, see `workdirs`, and so is a file of initial weights, of
  which only the name is included. The rows of an ablation are not included
  either: each has its own configuration, and rows may be added.
  `parallel.strategy` and `compute_dtype` are as configured; the values chosen
  for 'auto' are stored with each fold.
  """
  values = schema.to_dict(config)
  del values['data']['manual_dir'], values['data']['cache_dir']
  values['model']['pretrained'] = pathlib.Path(config.model.pretrained).name
  del values['profile']
  parallel = values['parallel']
  values['parallel'] = {
    key: parallel[key] for key in ('strategy', 'compute_dtype')
  }
  del values['study']['only']
  if config.study.kind == 'ablation':
    del values['study']['rows']
  return values


def default_workdir(config: Config) -> str:
  """The default folder of results.

  Raises:
    UserError: the name of the run cannot be part of a path. Rows of a study may
      have such names, because their folders are inside the study's.
  """
  if not re.fullmatch(r'[\w-][\w.-]{0,99}', config.name):
    expected = 'up to 100 letters, digits, -, _ and ., not starting with .'
    raise errors.UserError(schema.out_of_range('name', config.name, expected))
  return f'runs/{config.name}-{digest(config)}'


def digest(config: Config) -> str:
  """Eight hexadecimal digits for the name of the default workdir.

  Keys at their defaults are excluded, so that a new key changes no name.
  """
  names = {key: {'name': getattr(config, key).name} for key in SECTIONS}
  differing = {'sections': names}
  differing |= _differing(identity(config), schema.to_dict(parse(names)))
  text = json.dumps(differing, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:8]


def _differing(
  values: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
  """The values that differ from the defaults."""
  found = {}
  for key, value in values.items():
    if isinstance(value, dict):
      value = _differing(value, defaults[key])
    if value not in (defaults[key], {}):
      found[key] = value
  return found
