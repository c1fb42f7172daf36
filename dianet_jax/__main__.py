"""The command `dianet`: everything except training, which is main.py.

A command is one row of `COMMANDS`; its module is imported on use.
"""

from collections.abc import Sequence
import difflib
import importlib
import sys

from dianet_jax.core import entry, stopping

# Name -> the function that takes its arguments, and what it does.
COMMANDS = {
  'compare': (
    'dianet_jax.evaluation.compare:main',
    'compare runs, with intervals and tests',
  ),
  'check': (
    'tfds_builders.check:main',
    'check whether a raw data set can be used, in seconds',
  ),
  'simulate': (
    'tfds_builders.simulate:main',
    'simulate a raw data set in the layout of a real one',
  ),
  'simulate-videos': (
    'tfds_builders.simulation.spotting_sets:main',
    'simulate long videos with annotated expressions',
  ),
  'align': (
    'tfds_builders.align:main',
    'draw a sheet of aligned faces for inspection',
  ),
  'picture': (
    'dianet_jax.evaluation.picture:main',
    'draw one clip and its representations',
  ),
  'export': (
    'dianet_jax.experiments.export:main',
    'export a finished run as a bundle for prediction',
  ),
  'predict': (
    'dianet_jax.experiments.predict:main',
    'predict the expressions in videos with a bundle',
  ),
  'spot': (
    'dianet_jax.experiments.spot:main',
    'spot expressions in long videos',
  ),
  'train-spotter': (
    'dianet_jax.experiments.train_spotter:main',
    'train a spotter on long videos with annotated expressions',
  ),
  'evaluate-spotting': (
    'dianet_jax.evaluation.evaluate_spotting:main',
    'evaluate spotted expressions in long videos',
  ),
  'app': (
    'dianet_jax.experiments.app:main',
    'serve a page in the browser that predicts videos',
  ),
  'cache': (
    'dianet_jax.data.caches:main',
    'list or remove cached records, inputs and programs',
  ),
}


def _help() -> str:
  return '\n'.join(
    [
      'usage: dianet COMMAND ...',
      '',
      *(f'  {name:<17} {text}' for name, (_, text) in COMMANDS.items()),
      '',
      'dianet COMMAND --help lists the options of a command.',
      'Training: python main.py --config=FILE, in a clone of the repository.',
    ]
  )


def main(argv: Sequence[str] | None = None) -> int:
  """Runs a command.

  Args:
    argv: name and arguments of the command; None for those of the process.

  Returns:
    The exit status: that of the command or 0, 2 for an invalid command line;
    for errors see `entry.run`.
  """
  arguments = list(sys.argv[1:] if argv is None else argv)
  return entry.run(lambda: _command(*(arguments or ['--help'])))


def _command(name: str, *rest: str) -> int:
  if name in ('-h', '--help'):
    print(_help())
    return 0
  if name not in COMMANDS:
    [near] = difflib.get_close_matches(name, COMMANDS, 1, 0.0)
    print(
      f'error: {name!r} is not a command of dianet. Did you mean {near!r}?'
      f' Commands: {", ".join(COMMANDS)}.',
      file=sys.stderr,
    )
    return 2
  module, _, function = COMMANDS[name][0].partition(':')
  command = getattr(importlib.import_module(module), function)
  with stopping.immediate():
    return command(list(rest)) or 0


if __name__ == '__main__':
  entry.leave(main())
