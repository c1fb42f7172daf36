"""Prepares a data set, trains a model leave-one-subject-out, writes results.

python main.py --config=configs/demo.py [--workdir=DIR] [--config.KEY=VALUE]
"""

import os
import pathlib
import re

from absl import app, flags
from ml_collections import config_flags

# Nothing that takes long is imported before signals are handled.
from dianet_jax.core import entry, errors, faults, paths, stopping
from dianet_jax.training import saved_folds

_CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'A file of configs/, such as configs/demo.py. A model may follow a colon.',
  # An unknown key gets this program's message, and a model or an objective that
  # is named on the command line has keys of its own.
  lock_config=False,
  accept_new_attributes=True,
)
_WORKDIR = flags.DEFINE_string(
  'workdir', '', 'Results; by default runs/<name>-<hash of the configuration>.'
)


def parse_flags(argv: list[str]) -> list[str]:
  """Parses as absl does, with a readable message for a wrong flag."""
  try:
    arguments = flags.FLAGS(argv)
  except errors.UserError:
    raise
  except Exception as error:  # A file of configs/ may raise anything.
    raise errors.UserError(_flag_message(argv, error)) from error
  if len(arguments) > 1:
    raise errors.UserError(
      f'{arguments[1]!r} is not an option; options begin with --.'
    )
  flag = flags.FLAGS['config']
  path = flag.config_filename if flag.present else None
  if path is None or not pathlib.Path(path.split(':')[0]).is_file():
    known = sorted(pathlib.Path(__file__).parent.glob('configs/[!_]*.py'))
    names = ', '.join(
      os.path.relpath(file) for file in known if file.stem != 'default'
    )
    raise errors.UserError(
      ('--config=FILE is missing.' if path is None else f'{path} is no file.')
      + f' There are: {names}'
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
    return f'--config.{key}={value!r}: it is a section; its keys are {keys}.'
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
  """Runs the configuration that the flags name."""
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
  """Runs a `Config`: one run or a study, in `workdir`."""
  # After the flags are known to be good: these imports take seconds.
  from dianet_jax.core import hosts
  from dianet_jax.experiments import ablation, nested, run

  faults.keep_in(workdir)
  kinds = {'': run.run, 'ablation': ablation.run, 'nested': nested.run}
  try:
    # A signal that came while modules were imported ends it here.
    with stopping.immediate(), hosts.fail_together():
      kinds[config.study.kind](config, workdir)
  except errors.Stopped as stopped:
    raise stopped.with_kept(saved_folds.sentence(workdir)) from stopped
  if hosts.is_main():
    print(f'Results: {workdir}')


def start() -> None:
  """What this program does with its command line."""
  try:
    app.run(main, flags_parser=parse_flags)
  except errors.Stopped as stopped:
    raise stopped.with_kept('it had not begun') from stopped


if __name__ == '__main__':
  # TensorFlow, where it is installed, has nothing to say here.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  entry.leave(entry.run(start))
