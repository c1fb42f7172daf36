"""The command `dianet`: everything but training, which is main.py.

A command is one row of `COMMANDS`; nothing is imported before it is asked for.
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
    'runs side by side, with intervals and tests',
  ),
  'check': (
    'tfds_builders.check:main',
    'whether a raw data set can be used, in seconds',
  ),
  'simulate': (
    'tfds_builders.simulate:main',
    "a simulated raw data set in a real one's layout",
  ),
  'simulate-videos': (
    'tfds_builders.simulation.spotting_sets:main',
    'long simulated videos with known expressions',
  ),
  'align': (
    'tfds_builders.align:main',
    'a sheet of aligned faces to look at',
  ),
  'picture': (
    'dianet_jax.evaluation.picture:main',
    'how one clip becomes what a model reads',
  ),
  'export': (
    'dianet_jax.experiments.export:main',
    'a bundle of a finished run, to predict with',
  ),
  'predict': (
    'dianet_jax.experiments.predict:main',
    'the expression in a video, by a bundle',
  ),
  'spot': (
    'dianet_jax.experiments.spot:main',
    'expressions in long videos, and when they are',
  ),
  'train-spotter': (
    'dianet_jax.experiments.train_spotter:main',
    'a spotter, on long videos with known expressions',
  ),
  'evaluate-spotting': (
    'dianet_jax.evaluation.evaluate_spotting:main',
    'how well expressions were spotted in long videos',
  ),
  'app': (
    'dianet_jax.experiments.app:main',
    'a page in the browser that predicts videos',
  ),
  'cache': (
    'dianet_jax.data.caches:main',
    'what is kept to be made only once: sizes, ages, pruning',
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
    argv: its name and its arguments; those of the process by default.

  Returns:
    The exit status: of a command that returns none 0, of a wrong command line
    2, else see `entry.run`.
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
      f'error: {name!r} is no command of dianet. Did you mean {near!r}? There'
      f' are: {", ".join(COMMANDS)}.',
      file=sys.stderr,
    )
    return 2
  module, _, function = COMMANDS[name][0].partition(':')
  command = getattr(importlib.import_module(module), function)
  with stopping.immediate():
    return command(list(rest)) or 0


if __name__ == '__main__':
  entry.leave(main())
