"""Runs whose networks start from a file, `model.pretrained`."""

from collections.abc import Mapping
import pathlib
from typing import Any

import jax

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, paths
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.models import pretrained
from dianet_jax.models import registry as models

_MOST_LISTED = 4
_COUNTER = 'num_batches_tracked'


def load(
  config: configuration.Config, dataset: dataset_lib.Dataset
) -> pretrained.Start | None:
  """What the networks of a run start from; None: from random numbers.

  Args:
    config: of the run.
    dataset: what is read of its clips.

  Raises:
    UserError: see `pretrained.load`.
  """
  if not config.model.pretrained:
    return None
  model = models.MODELS[config.model.name](len(dataset.classes), config.model)
  inputs = {
    name: jax.ShapeDtypeStruct(values.shape[2:], 'float32')
    for name, values in dataset.inputs.items()
  }
  return pretrained.load(_path(config), model, inputs)


def _path(config: configuration.Config) -> pathlib.Path:
  return paths.normal(config.model.pretrained, '--config.model.pretrained')


def find(config: configuration.Config) -> dict[str, str]:
  """Name and SHA-256 of the file, without what is in it; {} for none.

  Raises:
    UserError: it cannot be read.
  """
  if not config.model.pretrained:
    return {}
  path = _path(config)
  return {'file': path.name, 'sha256': pretrained.checksum(path)}


def facts(
  config: configuration.Config, dataset: dataset_lib.Dataset
) -> dict[str, Any]:
  """What `data.json` says of the file; {} where there is none."""
  start = load(config, dataset)
  if start is None:
    return {}
  return {
    'file': start.file,
    'sha256': start.sha256,
    'used': {name: list(here) for name, here in start.used.items()},
    'unused': list(start.unused),
    'new': list(start.new),
  }


def sentence(held: Mapping[str, Any]) -> str:
  """What a report has to say of `facts`; '' where they are empty."""
  if not held:
    return ''
  # Counters last: every normalisation has one, of no use to anybody.
  unused = sorted(held['unused'], key=lambda name: name.endswith(_COUNTER))
  modules = dict.fromkeys(name.split('.')[1] for name in held['new'])
  return (
    f'every network started from {held["file"]} (SHA-256 {held["sha256"]}):'
    f' {len(held["used"])} of its entries are used, not used:'
    f' {_listed(unused)}; drawn at random: {_listed(list(modules))}.'
    ' What the file was trained on is not known here: if that includes subjects'
    ' who are held out, the result is no leave-one-subject-out result'
  )


def _listed(names: list[str]) -> str:
  if len(names) > _MOST_LISTED:
    left = len(names) - _MOST_LISTED
    return ', '.join(names[:_MOST_LISTED]) + f' and {left} more'
  return ', '.join(names) or 'none'


def refuse_other(
  held: Mapping[str, Any], config: configuration.Config, workdir: pathlib.Path
) -> None:
  """Refuses a file that is not the one a run was begun with.

  Args:
    held: `facts` of the run.
    config: with the file as it is now.
    workdir: of the run.

  Raises:
    UserError: they differ.
  """
  now = find(config)
  if held.get('sha256') != now.get('sha256'):
    raise errors.UserError(
      f'The networks of the run in {workdir} started from {_named(held)}, and'
      f' --config.model.pretrained is {_named(now)}. Bring back that file,'
      ' choose another --workdir, or remove that folder.'
    )


def _named(held: Mapping[str, Any]) -> str:
  if not held:
    return 'random numbers'
  return f'{held["file"]} (SHA-256 {held["sha256"]})'
