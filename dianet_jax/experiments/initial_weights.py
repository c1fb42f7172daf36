"""Initial weights of a run's networks from a file, `model.pretrained`."""

from collections.abc import Mapping
import pathlib
from typing import Any

import jax

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, paths
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.experiments import rules
from dianet_jax.models import pretrained
from dianet_jax.models import registry as models
from dianet_jax.motion import registry as motion

_MOST_LISTED = 4
_COUNTER = 'num_batches_tracked'


def load(
  config: configuration.Config, dataset: dataset_lib.Dataset
) -> pretrained.InitialWeights | None:
  """Loads the initial weights of a run; None for random ones.

  Args:
    config: of the run.
    dataset: of the run, for the shapes of inputs.

  Raises:
    UserError: see `pretrained.load`.
  """
  if not config.model.pretrained:
    return None
  phases = motion.phases(rules.feed(config), config.data)
  model = models.build(len(dataset.classes), config.model, phases)
  inputs = {
    name: jax.ShapeDtypeStruct(values.shape[2:], 'float32')
    for name, values in dataset.inputs.items()
  }
  return pretrained.load(_path(config), model, inputs)


def _path(config: configuration.Config) -> pathlib.Path:
  return paths.normal(config.model.pretrained, '--config.model.pretrained')


def find(config: configuration.Config) -> dict[str, str]:
  """Name and SHA-256 of the file; {} for none.

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
  """The entry of the file in `data.json`; {} if there is none."""
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


def sentence(recorded: Mapping[str, Any]) -> str:
  """Describes `facts` for a report; '' if they are empty."""
  if not recorded:
    return ''
  # Counters last: every normalisation has one, and none is relevant.
  unused = sorted(recorded['unused'], key=lambda name: name.endswith(_COUNTER))
  modules = dict.fromkeys(name.split('.')[1] for name in recorded['new'])
  return (
    f'every network started from {_named(recorded)}:'
    f' {len(recorded["used"])} of its entries are used; unused:'
    f' {_listed(unused)}; randomly initialised: {_listed(list(modules))}.'
    ' The training data of the file are unknown: if they include held-out'
    ' subjects, the result is not a leave-one-subject-out result'
  )


def _listed(names: list[str]) -> str:
  if len(names) > _MOST_LISTED:
    left = len(names) - _MOST_LISTED
    return ', '.join(names[:_MOST_LISTED]) + f' and {left} more'
  return ', '.join(names) or 'none'


def refuse_other(
  recorded: Mapping[str, Any],
  config: configuration.Config,
  workdir: pathlib.Path,
) -> None:
  """Refuses a file that is not the one a run was started with.

  Args:
    recorded: `facts` of the run.
    config: with the file as it is now.
    workdir: of the run.

  Raises:
    UserError: they differ.
  """
  now = find(config)
  if recorded.get('sha256') != now.get('sha256'):
    raise errors.UserError(
      f'The networks of the run in {workdir} started from {_named(recorded)},'
      f' but --config.model.pretrained is {_named(now)}. Restore that file,'
      ' choose another --workdir, or remove that folder.'
    )


def _named(recorded: Mapping[str, Any]) -> str:
  if not recorded:
    return 'random weights'
  return f'{recorded["file"]} (SHA-256 {recorded["sha256"]})'
