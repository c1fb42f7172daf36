"""Converts `config.json` of older versions to the current keys.

The file has the version of its schema. New keys need no migration, because
missing keys get defaults. Renamed or removed keys and values need a new version
and a function here.
"""

import ast
import copy
import pathlib
import re
from typing import Any

from dianet_jax.core import errors

SCHEMA = 2


def migrate(recorded: dict[str, Any], path: pathlib.Path) -> dict[str, Any]:
  """Converts the content of a `config.json` to the current `SCHEMA`.

  Args:
    recorded: content of the file.
    path: of the file, for messages.

  Raises:
    UserError: it was written by a newer version.
  """
  version = recorded.get('schema', 1)
  if version > SCHEMA:
    raise errors.UserError(
      f'{path} has schema {version}, but this version of dianet-jax reads at'
      f' most {SCHEMA}. Update dianet-jax, or choose another --workdir.'
    )
  recorded = copy.deepcopy(recorded)
  for migration in _MIGRATIONS[version - 1 :]:
    migration(recorded)
  return recorded | {'schema': SCHEMA}


def _name_model_and_objective(recorded: dict[str, Any]) -> None:
  """From 1, which had no version number, to 2.

  Models and objectives are chosen by name. The effect of mirroring is declared
  by the representation instead of `negated_channels`. A single phase is chosen
  by `data.phases` instead of the fusion. Sessions are a list.
  """
  config = recorded['config']
  data, model, train = config['data'], config['model'], config['train']
  if data['dataset'] == 'megc2019_flow':
    data['inputs'] = ['phase_flow']
  train['augment'].pop('negated_channels', None)
  model['name'] = 'dianet'
  config['objective'] = {'name': 'cross_entropy'} | {
    key: train.pop(key)
    for key in ('label_smoothing', 'focal_gamma')
    if key in train
  }
  study = config['study']
  single = _single_phase(model['fusion'], data['phases'])
  study['rows'] = [
    _row(row, data['phases'], bool(single)) for row in study['rows']
  ]
  if single:
    data['phases'], model['fusion'] = single, 'concat'
  recorded['sessions'] = [recorded.pop('versions')]


def _single_phase(fusion: str, phases: list[str]) -> list[str]:
  """The phase of a fusion that reads one phase; [] for other fusions."""
  first = {'first_phase': 0, 'second_phase': 1}.get(fusion)
  return [] if first is None else [phases[first]]


def _row(row: str, phases: list[str], base_single: bool) -> str:
  """A study's row of schema 1.

  `phases` are the study's, `base_single` whether its fusion reads one of them.
  """
  name, colon, text = row.partition(':')
  settings = dict(
    setting.split('=', 1)
    for setting in re.split(r'\s+(?=[\w.]+=)', text.strip())
    if setting
  )
  settings.pop('train.augment.negated_channels', None)
  if 'data.phases' in settings:
    phases = list(ast.literal_eval(settings['data.phases']))
  elif base_single and settings.get('model.fusion'):
    # The study's one phase goes into `data.phases`; this row has them all.
    settings['data.phases'] = f'{tuple(phases)}'
  single = _single_phase(settings.get('model.fusion', ''), phases)
  if single:
    phase = {'data.phases': f'{tuple(single)}'}
    settings = phase | settings | phase | {'model.fusion': 'concat'}
  words = [f'{_RENAMED.get(key, key)}={settings[key]}' for key in settings]
  return ' '.join([name + colon, *words])


_RENAMED = {
  'train.label_smoothing': 'objective.label_smoothing',
  'train.focal_gamma': 'objective.focal_gamma',
}

# From schema 1 to 2, from 2 to 3, ...
_MIGRATIONS = (_name_model_and_objective,)
