"""Configurations: `default` holds every key, the others differences."""

import importlib
import pathlib

import ml_collections


def named(name: str) -> ml_collections.ConfigDict:
  """The configuration of a data set, for a study to start from.

  Raises:
    UserError: there is none of this name.
  """
  from dianet_jax.core import errors

  files = pathlib.Path(__file__).parent.glob('[!_]*.py')
  studies = {'ablation', 'nested', 'zoo'}
  known = {path.stem for path in files} - {'default', *studies}
  if name not in known:
    raise errors.UserError(
      f'{name!r} is no configuration that a study can start from. There are: '
      + ', '.join(sorted(known))
    )
  return importlib.import_module(f'configs.{name}').get_config()
