"""All that an accelerator can tell, in parts of under nine minutes each.

    python -m benchmarks.accelerator             # all parts, one after another
    python -m benchmarks.accelerator --part=2    # one; from a bare start
    python -m benchmarks.accelerator --miniature # to try the program anywhere

What matters most comes first, and every row is in the file when it is printed.

1. What the device can do: copies, products of matrices; rank pooling beside the
   copy; TV-L1 optical flow.
2. Training by every strategy: the compact network and ResNet-18.
3. The same of a transformer of the zoo; one device to all; float32 against
   bfloat16.
4. PyTorch on the same device, where it is installed.
5. A whole run of configs/casme2.py on simulated clips, from raw folder to
   report, with a time line, and resumed.

Needs what the package needs. Where packages are missing: `pip install -e .`,
with [cuda] or [tpu]; for part 4 PyTorch besides. A part begins no row after
`--minutes`. MFU is of the product of matrices measured here.
"""

import argparse
from collections.abc import Callable, Iterator
import contextlib
import datetime
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax

from benchmarks import accelerator_parts as parts
from configs import casme2
from dianet_jax.core import faults, progress, runtime
from dianet_jax.experiments import configuration, run
from dianet_jax.training import parallel as parallel_lib

Measurement = Callable[[], Iterator[parts.Row]]


def pytorch(size: parts.Size) -> Iterator[parts.Row]:
  """What a user would write instead, on the same device."""
  try:
    import torch
  except ImportError:
    yield 'PyTorch', {'failed': 'not installed'}
    return
  from benchmarks.peers import training_torch

  if not torch.cuda.is_available() and size is parts.FULL:
    yield 'PyTorch', {'failed': 'it sees no GPU'}
    return
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  shapes = (('compact', 'flatten', 28), ('resnet18', 'mean', 112))
  for backbone, pool, pixels in shapes if size is parts.FULL else shapes[:1]:
    for name, row in training_torch.rows(backbone, pool, pixels, 30, device):
      yield f'{backbone}, {pixels} px, {name}', row


def whole_run(size: parts.Size) -> Iterator[parts.Row]:
  """From a raw folder to the report, and again after a fold was lost."""
  changes: dict[str, Any] = {'data.simulation.enabled': True}
  changes['data.simulation.subjects'] = size.subjects
  changes['data.simulation.clips_per_subject'] = size.clips_per_subject
  if size is not parts.FULL:
    changes |= {'train.epochs': 1, 'data.image_size': 12, 'data.frame_size': 32}
    changes |= {'model.backbone': 'compact', 'model.widths': (4,)}
  with tempfile.TemporaryDirectory() as folder:
    changes['data.cache_dir'] = f'{folder}/cache'
    values = casme2.get_config().to_dict()
    config = configuration.from_mapping(configuration.changed(values, changes))
    workdir = pathlib.Path(folder) / 'run'
    with _time_line() as line:
      run.run(config, workdir)
    yield 'whole run, first time', dict(line)
    predicted = (workdir / 'predictions.csv').read_bytes()
    (workdir / 'metrics.json').unlink()
    lost = next((workdir / 'checkpoints' / 'seed0').iterdir())
    shutil.rmtree(lost)
    with _time_line() as line:
      run.run(config, workdir)
    same = predicted == (workdir / 'predictions.csv').read_bytes()
    yield 'resumed, one fold left', {'same bits': same} | dict(line)


@contextlib.contextmanager
def _time_line() -> Iterator[dict[str, float]]:
  """Seconds of everything that the program says it does, and of all of it.

  'devices at work' are the training's programs alone: as long as one epoch was
  timed to take, times epochs and groups.
  """
  line: dict[str, float] = {}
  plain, timed = (progress.bar, progress.waiting), {}

  def clocked(function):
    @contextlib.contextmanager
    def around(description, *arguments, **options):
      start = time.perf_counter()
      with function(description, *arguments, **options) as shown:
        yield shown
      seconds = line.get(description, 0) + time.perf_counter() - start
      line[description] = round(seconds, 2)

    return around

  measure = parallel_lib.FoldParallel.seconds_per_epoch

  def seconds_per_epoch(program, folds):
    timed['epoch'] = measure(program, folds)
    groups = -(-len(folds) // program.group_size)
    epochs = program.epochs
    timed['devices at work'] = timed['epoch'] * groups * epochs
    return timed['epoch']

  progress.bar, progress.waiting = map(clocked, plain)
  parallel_lib.FoldParallel.seconds_per_epoch = seconds_per_epoch
  start = time.perf_counter()
  try:
    yield line
  finally:
    progress.bar, progress.waiting = plain
    parallel_lib.FoldParallel.seconds_per_epoch = measure
  line['all'] = round(time.perf_counter() - start, 2)
  if 'devices at work' in timed:
    line['devices at work'] = round(timed['devices at work'], 2)
    line['share of training'] = round(
      timed['devices at work'] / max(line['Training'], 1e-9), 3
    )


def measurements(size: parts.Size, part: int) -> list[Measurement]:
  """Of a part, in their order."""
  names = list(size.networks)
  zoo = [name for name in names if size.networks[name][0] != 'dianet']
  plain = [name for name in names if name not in zoo]
  table: dict[int, list[Measurement]] = {
    1: [
      lambda: parts.ceilings(size),
      lambda: parts.pooling(size),
      lambda: parts.flow(size),
    ],
    2: [lambda name=name: parts.strategies(size, name) for name in plain],
    3: [
      *(lambda name=name: parts.strategies(size, name) for name in zoo),
      lambda: parts.scaling(size),
      lambda: parts.types(size),
    ],
    4: [lambda: pytorch(size)],
    5: [lambda: whole_run(size)],
  }
  return table[part]


def measure(
  size: parts.Size, part: int, out: pathlib.Path, minutes: float
) -> None:
  """Writes and prints the rows of a part; one that fails is a row as well."""
  end = time.monotonic() + 60 * minutes
  head = {
    'part': part,
    'device': jax.devices()[0].device_kind,
    'devices': len(jax.devices()),
    'jax': jax.__version__,
    'date': datetime.date.today().isoformat(),
  }
  out.parent.mkdir(parents=True, exist_ok=True)

  def keep(name: str, figures: dict[str, Any]) -> None:
    with out.open('a', encoding='utf-8') as file:
      file.write(json.dumps(head | {'name': name} | figures) + '\n')
    shown = ', '.join(f'{key} {value}' for key, value in figures.items())
    print(f'{name:<36} {shown}', flush=True)

  for number, measurement in enumerate(measurements(size, part), 1):
    try:
      for name, figures in measurement():
        keep(name, figures)
        if time.monotonic() > end:
          keep(f'part {part}', {'failed': f'no time after {minutes} minutes'})
          return
    except Exception as error:  # The rest may work: none is to be lost.
      text = f'{faults.one_line(error)}'[:300]
      keep(f'part {part}, measurement {number}', {'failed': text})


def main() -> None:
  """Measures."""
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks.accelerator',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--part', type=int, choices=range(1, 6))
  parser.add_argument('--minutes', type=float, default=8)
  parser.add_argument('--miniature', action='store_true')
  parser.add_argument(
    '--out', type=pathlib.Path, default=pathlib.Path('accelerator.jsonl')
  )
  options = parser.parse_args()
  if options.part is None:
    # Each from a bare start: a program that holds the device keeps its memory.
    for part in range(1, 6):
      print(f'\nPart {part}', flush=True)
      subprocess.run(
        [sys.executable, '-m', 'benchmarks.accelerator', f'--part={part}']
        + sys.argv[1:],
        check=False,
      )
    return
  runtime.configure(runtime.cache_dir(''))
  size = parts.MINIATURE if options.miniature else parts.FULL
  measure(size, options.part, options.out, options.minutes)


if __name__ == '__main__':
  main()
