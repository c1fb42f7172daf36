"""Trains and evaluates a model leave-one-subject-out.

python main.py --config=configs/demo.py [--workdir=DIR] [--config.KEY=VALUE ...]
"""

import os
import pathlib
import re

from absl import app, flags
from ml_collections import config_flags

# Slow modules are imported later, after signal handlers are installed.
from dianet_jax.core import entry, errors, faults, paths, stopping
from dianet_jax.training import saved_folds

_CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'Configuration file, such as configs/demo.py; configs/demo.py:ststnet selects'
  ' another model. docs/configuration.md lists all keys.',
  # Keys are checked later, because a model or an objective that is selected on
  # the command line adds keys, and for clearer messages.
  lock_config=False,
  accept_new_attributes=True,
)
_WORKDIR = flags.DEFINE_string(
  'workdir',
  '',
  'Folder of the results; by default runs/<name>-<hash of the configuration>.',
)


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line, with clear messages for invalid flags.

  Args:
    argv: the command line, beginning with the program.

  Returns:
    The remaining arguments: the program.

  Raises:
    UserError: a flag is unknown or invalid, or there is no configuration file.
  """
  try:
    arguments = flags.FLAGS(argv)
  except errors.UserError:
    raise
  except Exception as error:  # A file of configs/ may raise anything.
    raise errors.UserError(_flag_message(argv, error)) from error
  if len(arguments) > 1:
    raise errors.UserError(
      f'{arguments[1]!r} is not an option: options begin with --.'
    )
  flag = flags.FLAGS['config']
  path = flag.config_filename if flag.present else None
  if path is None or not pathlib.Path(path.split(':')[0]).is_file():
    known = sorted(pathlib.Path(__file__).parent.glob('configs/[!_]*.py'))
    names = ', '.join(
      os.path.relpath(file) for file in known if file.stem != 'default'
    )
    raise errors.UserError(
      (
        '--config=FILE is missing.'
        if path is None
        else f'--config={path}: there is no such file.'
      )
      + f' Available: {names}'
    )
  return arguments


def _flag_message(argv: list[str], error: Exception) -> str:
  from dianet_jax.core import schema
  from dianet_jax.experiments import configuration

  known = configuration.all_keys(configuration.parse({}))
  wrong = re.match(r'flag --config\.([\w.]+)=(.*?): ', str(error))
  if wrong and wrong.group(1) in known:
    key, value = wrong.groups()
    return f'--config.{key}={value!r}: expected {known[key].takes}.'
  sections = {key.rpartition('.')[0] for key in known}
  if wrong and wrong.group(1) in sections:
    key, value = wrong.groups()
    keys = ', '.join(k for k in known if k.startswith(f'{key}.'))
    return f'--config.{key}={value!r}: this is a section with the keys {keys}.'
  for argument in argv:
    key = argument.split('=', 1)[0].lstrip('-')
    if key.startswith('config.') and key[7:].rpartition('.')[0] not in sections:
      return schema.unknown_key(key[7:], known)
  if isinstance(error, flags.Error):
    return str(error)
  return (
    f'the configuration cannot be read: {faults.one_line(error)};'
    f' {faults.report(error)}'
  )


def main(argv: list[str]) -> None:
  """Runs the configuration selected by the flags.

  Args:
    argv: not used; absl passes it.

  Raises:
    UserError: the configuration or the data are invalid.
    Stopped: a signal stopped the run.
  """
  del argv
  from dianet_jax.experiments import configuration

  overrides = config_flags.get_override_values(flags.FLAGS['config'])
  config = configuration.from_mapping(
    configuration.changed(_CONFIG.value.to_dict(), overrides)
  )
  default = configuration.default_workdir(config)
  workdir = paths.normal(_WORKDIR.value or default, '--workdir')
  train(config, workdir)


def train(config, workdir: pathlib.Path) -> None:
  """Performs a run or a study.

  Args:
    config: a `core.config.Config`.
    workdir: folder of the results.

  Raises:
    UserError: the data are invalid, or the workdir cannot be used.
    Stopped: a signal stopped the run; the message says what was saved.
  """
  # Imported after the flags were checked, because this takes seconds.
  from dianet_jax.core import hosts
  from dianet_jax.experiments import ablation, nested, run

  faults.keep_in(workdir)
  kinds = {'': run.run, 'ablation': ablation.run, 'nested': nested.run}
  try:
    # Raises if a signal arrived during the imports.
    with stopping.immediate(), hosts.fail_together():
      kinds[config.study.kind](config, workdir)
  except errors.Stopped as stopped:
    raise stopped.with_kept(saved_folds.sentence(workdir)) from stopped
  if hosts.is_main():
    print(f'Results: {workdir}')


def start() -> None:
  """Parses the command line and runs `main`."""
  try:
    app.run(main, flags_parser=parse_flags)
  except errors.Stopped as stopped:
    raise stopped.with_kept('the run had not begun') from stopped


if __name__ == '__main__':
  # Silences TensorFlow, if it is installed.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  entry.leave(entry.run(start))
