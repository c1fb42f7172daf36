"""Leave-one-subject-out training against eager PyTorch on this processor.

    pip install -e '.[bench]'
    python -m benchmarks.loso            # 10 to 20 minutes
    python -m benchmarks.loso --quick    # 2 to 6, two of three networks

Both train the same dual-stream network (the number of parameters is checked) in
float32 with the same batches, AdamW, all cores and random images. PyTorch
trains fold after fold, from images in memory that are scaled already and not
augmented. Ours is what `main.py` runs, with scaling and augmentation in the
step, as many folds at once as there are devices. A fold comprises a new
network, its steps, and the prediction of the held-out clips. Times are medians
of runs in pairs, ours and PyTorch's alternating, after a first run that is not
counted; how many times as fast ours is, is the median of the pairs, with the
least and the largest. A separate column shows our compilation in the first run.
Memory is the peak of a separate process for each (Linux).
"""

import argparse
from collections.abc import Callable, Sequence
import dataclasses
import importlib.metadata
import importlib.util
import os
import pathlib
import platform as machine
import re
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
import rich.box
import rich.console
import rich.table

from dianet_jax.core import config as configuration
from dianet_jax.core import runtime
from dianet_jax.data import folds as folds_lib
from dianet_jax.models.dianet import DIANet
from dianet_jax.motion.dynamic_images import DYNAMIC_IMAGES
from dianet_jax.training import objectives, programs
from dianet_jax.training import parallel as parallel_lib
from dianet_jax.training import trainer as trainer_lib
from dianet_jax.training.results import FoldResult
from dianet_jax.training.state import Data


@dataclasses.dataclass(frozen=True)
class Case:
  """A network and the shape of a data set.

  Attributes:
    backbone: a key of `dianet.BACKBONES`.
    pool: 'mean' or 'flatten'.
    size: side of the images, pixels.
    clips: number of clips of all subjects.
    subjects: number of subjects, and so of folds.
    epochs: epochs of each training.
    classes: number of classes.
  """

  backbone: str
  pool: str
  size: int
  clips: int
  subjects: int
  epochs: int
  classes: int = 3

  @property
  def subject_of(self) -> np.ndarray:
    """Subject of each clip, int [clip]; subjects differ by one clip at most."""
    return np.arange(self.clips) % self.subjects

  def held_out(self, fold: int) -> np.ndarray:
    """Which clips a fold holds out, bool [clip]."""
    return self.subject_of == fold

  @property
  def steps_per_epoch(self) -> int:
    """Number of batches of at most 32 clips in an epoch."""
    return -(-(self.clips - self.clips // self.subjects) // 32)

  @property
  def steps(self) -> int:
    """Number of steps of each training."""
    return self.epochs * self.steps_per_epoch

  def data(self) -> tuple[np.ndarray, np.ndarray]:
    """Images [clip, phase, height, width, channel] and labels [clip]."""
    rng = np.random.default_rng(0)
    shape = (self.clips, 2, self.size, self.size, 3)
    images = rng.normal(size=shape).astype(np.float32)
    return images, rng.integers(self.classes, size=self.clips).astype(np.int32)


CASES = {
  'ResNet-18, 64 px': Case('resnet18', 'mean', 64, 144, 9, 1),
  'ResNet-18, 112 px': Case('resnet18', 'mean', 112, 144, 9, 1),
  # The shape of the MEGC 2019 composite's CASME II and SAMM parts.
  'compact, 28 px': Case('compact', 'flatten', 28, 278, 52, 3),
}
_QUICK = ('ResNet-18, 64 px', 'compact, 28 px')


class Ours:
  """This project on a case, through `FoldParallel`."""

  def __init__(self, case: Case, devices: int):
    [name], data = DIANet.reads, configuration.Data()
    images, labels = case.data()
    self._inputs = {name: images}
    self.folds = folds_lib.leave_one_subject_out(
      [f'{subject:02}' for subject in case.subject_of], labels, case.classes
    )
    settings = DIANet.Settings(backbone=case.backbone, pool=case.pool)
    self.trainer = trainer_lib.Trainer(
      DIANet(case.classes, settings),
      objectives.CrossEntropy(),
      configuration.Train(epochs=case.epochs),
      data.scaling,
      {name: DYNAMIC_IMAGES.channels(data)},
      self.folds.train_index.shape[1],
    )
    assert self.trainer.steps_per_epoch == case.steps_per_epoch
    self._parallel = parallel_lib.FoldParallel(
      self.trainer,
      Data({name: images[None]}, labels),
      self.folds,
      configuration.Parallel(devices=devices),
      configuration.Evaluation(),
    )
    self.at_once = self._parallel.group_size

  def count(self) -> int:
    """Number of parameters."""
    shapes = jax.eval_shape(
      self.trainer.model.init, jax.random.key(0), self._inputs
    )
    return sum(leaf.size for leaf in jax.tree.leaves(shapes['params']))

  def train(self, folds: int) -> int:
    """Trains the first `folds` folds; returns how many have a result."""
    groups = self._parallel.train(self.folds.select(range(folds)))
    return sum(
      isinstance(result, FoldResult) for group in groups for result in group
    )


class PyTorch:
  """The peer on a case."""

  def __init__(self, case: Case):
    # Imported here, so that a process without PyTorch shows only our memory.
    import torch

    from benchmarks.peers import loso_torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    images, labels = case.data()
    images = np.ascontiguousarray(images.transpose(0, 1, 4, 2, 3))
    self._data = torch.from_numpy(images), torch.from_numpy(labels).long()
    self._case, self._torch = case, loso_torch

  def count(self) -> int:
    """Number of parameters."""
    case = self._case
    return self._torch.count(
      self._torch.Dual(case.backbone, case.pool, case.size, case.classes)
    )

  def train(self, folds: int) -> None:
    """Trains the first `folds` folds, one after another."""
    for fold in range(folds):
      self._torch.train_fold(self._case, *self._data, fold)


def seconds_of(run: Callable[[int], object], folds: int) -> float:
  """Seconds to train this many folds."""
  start = time.perf_counter()
  run(folds)
  return time.perf_counter() - start


def peak_megabytes(name: str, side: str, devices: int) -> float:
  """Peak memory of a process that only trains one group of folds."""
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'benchmarks.loso', '--memory_of', name),
      *('--side', side, '--devices', str(devices)),
    ],
    capture_output=True,
    text=True,
    check=True,
  )
  return float(done.stdout.split()[-1])


def _own_peak() -> float:
  """Peak in megabytes; `getrusage` would include the parent process."""
  status = pathlib.Path('/proc/self/status').read_text()
  return int(re.search(r'VmHWM:\s+(\d+) kB', status)[1]) * 1024 / 1e6


def measure(
  name: str, devices: int, repeats: int, console: rich.console.Console
) -> list[str]:
  """The row of a case; with many folds, prints their cost, too."""
  case = CASES[name]
  ours, peer = Ours(case, devices), PyTorch(case)
  if ours.count() != peer.count():
    raise SystemExit(
      f'{name}: {ours.count():,} parameters here, {peer.count():,} in PyTorch.'
    )
  at_once = ours.at_once
  first = seconds_of(ours.train, at_once)
  peer.train(1)
  pairs = [
    (seconds_of(ours.train, at_once), seconds_of(peer.train, at_once))
    for _ in range(repeats)
  ]
  again, theirs = map(statistics.median, zip(*pairs))
  if case.subjects > 50:
    console.print(growth(name, ours, first))
  steps = at_once * case.steps
  clips = at_once * case.epochs * (case.clips - case.clips // case.subjects)
  return [
    name,
    f'{ours.count():,}',
    *(f'{1e3 * seconds / steps:.1f}' for seconds in (theirs, again)),
    *(f'{clips / seconds:.0f}' for seconds in (theirs, again)),
    spread([theirs / again for again, theirs in pairs]),
    f'{first - again:.0f}',
    *(f'{peak_megabytes(name, s, devices):.0f}' for s in ('peer', 'ours')),
  ]


def spread(ratios: Sequence[float]) -> str:
  """The median, the least and the largest, as text."""
  median = statistics.median(ratios)
  return f'{median:.2f} ({min(ratios):.2f} to {max(ratios):.2f})'


def growth(name: str, ours: Ours, first: float) -> rich.table.Table:
  """Seconds against the number of folds."""
  table = rich.table.Table(
    title=f'{name}: ours by the number of folds, {ours.at_once} at once',
    box=rich.box.MARKDOWN,
  )
  for column in ('folds', 's', 's a fold', 's with compilation'):
    table.add_column(column, justify='right')
  # A process compiles once, whatever the number of folds.
  compilation = first - seconds_of(ours.train, ours.at_once)
  for folds in (1, 2, 4, 8, 16, 32, 52):
    seconds = seconds_of(ours.train, folds)
    table.add_row(
      str(folds),
      f'{seconds:.2f}',
      f'{seconds / folds:.2f}',
      f'{seconds + compilation:.1f}',
    )
  return table


def describe(devices: int) -> str:
  """Date, machine and versions, in one line."""
  versions = ', '.join(
    f'{package} {importlib.metadata.version(package)}'
    for package in ('jax', 'torch')
  )
  used = len(programs.choose_devices(devices))
  return (
    f'{time.strftime("%Y-%m-%d")}, {machine.machine()},'
    f' {len(os.sched_getaffinity(0))} cores, {used} device(s) of jax, Python'
    f' {machine.python_version()}, {versions}'
  )


def main() -> None:
  """Prints everything."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--quick', action='store_true', help=', '.join(_QUICK))
  parser.add_argument('--only', choices=CASES, help='one network')
  parser.add_argument(
    '--devices', type=int, default=0, help='of jax; 0, the default: all'
  )
  parser.add_argument('--memory_of', choices=CASES, help=argparse.SUPPRESS)
  parser.add_argument('--side', help=argparse.SUPPRESS)
  options = parser.parse_args()
  if not importlib.util.find_spec('torch'):
    parser.error("PyTorch is not installed: pip install -e '.[bench]'")
  with tempfile.TemporaryDirectory() as empty:
    # An empty cache, so that compilation is timed.
    runtime.configure(pathlib.Path(empty))
    if options.memory_of:
      case = CASES[options.memory_of]
      if options.side == 'peer':
        PyTorch(case).train(1)
      else:
        ours = Ours(case, options.devices)
        ours.train(ours.at_once)
      print(_own_peak())
      return
    console = rich.console.Console(width=200, highlight=False)
    console.print(describe(options.devices))
    names = (
      [options.only] if options.only else _QUICK if options.quick else CASES
    )
    rows = [
      measure(name, options.devices, 5 if options.quick else 7, console)
      for name in names
    ]
    console.print(_table(rows))


def _table(rows: list[list[str]]) -> rich.table.Table:
  table = rich.table.Table(
    title='a step of a fold, PyTorch | ours', box=rich.box.MARKDOWN
  )
  for column in (
    *('network', 'parameters', 'ms', 'ms', 'clips/s', 'clips/s'),
    *('times as fast', 'compile s', 'peak MB', 'peak MB'),
  ):
    table.add_column(column, justify='right', no_wrap=True)
  for row in rows:
    table.add_row(*row)
  return table


if __name__ == '__main__':
  main()
