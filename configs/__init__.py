"""Configurations: `default` has all keys; the others change some of them."""

import importlib
import pathlib

import ml_collections


def named(name: str) -> ml_collections.ConfigDict:
  """Gets the configuration that a study is based on.

  Args:
    name: stem of a file in configs/, such as 'megc2019'.

  Returns:
    Its configuration.

  Raises:
    UserError: there is no such configuration, or it is a study.
  """
  from dianet_jax.core import errors

  files = pathlib.Path(__file__).parent.glob('[!_]*.py')
  studies = {'ablation', 'nested', 'zoo'}
  known = {path.stem for path in files} - {'default', *studies}
  if name not in known:
    raise errors.UserError(
      f'{name!r} is not a configuration on which a study can be based.'
      f' Available: {", ".join(sorted(known))}'
    )
  return importlib.import_module(f'configs.{name}').get_config()
