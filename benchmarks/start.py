"""What it costs to start: the imports of a run and of the commands.

    python -m benchmarks.start

Each is imported in processes of its own, the files being in the page cache.
Printed are processor seconds, the least of several, and by package what its
modules took themselves. What comes late (TFDS, matplotlib, TensorBoard's
writer) is not in it; PyTorch and TensorFlow are never imported.
"""

import argparse
import collections
import re
import resource
import subprocess
import sys

STARTS = {
  'main.py': 'import main; from dianet_jax.experiments import ablation, nested',
  'dianet predict': 'import dianet_jax.experiments.predict',
  'dianet spot': 'import dianet_jax.experiments.spot',
  'dianet compare': 'import dianet_jax.evaluation.compare',
  'dianet check': 'import tfds_builders.check',
}
_REPEATS = 3
_SHOWN = 6
_LINE = re.compile(r'import time: +(\d+) \| +\d+ \| +([\w]+)')


def imports(code: str) -> tuple[float, dict[str, float]]:
  """Processor seconds of a process, and of each package in it."""
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  done = subprocess.run(
    [sys.executable, '-X', 'importtime', '-c', code],
    capture_output=True,
    text=True,
    check=True,
  )
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  own = collections.Counter()
  for microseconds, package in _LINE.findall(done.stderr):
    own[package] += int(microseconds) / 1e6
  spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
  return spent, dict(own.most_common())


def main() -> None:
  """Prints a line for each start."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.parse_args()
  for name, code in STARTS.items():
    spent, packages = min(
      (imports(code) for _ in range(_REPEATS)), key=lambda found: found[0]
    )
    most = list(packages.items())[:_SHOWN]
    print(
      f'{name:<16}{spent:6.2f} s  '
      + ', '.join(f'{package} {seconds:.2f}' for package, seconds in most),
      flush=True,
    )


if __name__ == '__main__':
  main()
