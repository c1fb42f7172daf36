"""Cost of each row of configs/zoo.py: a step, a fold, all of its folds.

python -m benchmarks.zoo megc2019                       # 15 minutes
python -m benchmarks.zoo megc2019 --quick               # the first row alone
python -m benchmarks.zoo demo --clips=50 --folds=6      # the same

It trains on noise in the shapes of the row's inputs, one fold at a time, as on
a CPU, and takes the fastest of a few steps; compilation is timed separately.
The time of a fold is its number of steps times the time of a step. Other work
on the machine makes it slower. *step MB* is what a step needs besides its
arguments, *fold MB* the parameters, the optimiser and the statistics of a fold,
which one device holds at a time.

Where PyTorch is installed, its eager step of the networks of `peers.zoo_torch`
is timed as well, with the same clips and parameters. Everything runs on one
core (on Linux), since a run trains a fold on each. Ours includes scaling and
augmentation, PyTorch's does not.
"""

import argparse
import dataclasses
import datetime
import importlib
import importlib.util
import os
import platform
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import rank_pooling
from dianet_jax.core import errors, limits, runtime
from dianet_jax.core.config import Config
from dianet_jax.experiments import configuration, rows, rules
from dianet_jax.motion import registry as motion
from dianet_jax.training import build
from dianet_jax.training.state import Batch, Data, Fold

_CLASSES = 3


@dataclasses.dataclass(frozen=True)
class Cost:
  """What a row costs on one device.

  Attributes:
    clips: of a step.
    parameters: of the network.
    compiling: seconds to compile a step.
    step: seconds of a step.
    temporary: bytes that a step needs besides its arguments.
    state: bytes of a fold's parameters, optimiser and statistics.
  """

  clips: int
  parameters: int
  compiling: float
  step: float
  temporary: int
  state: int


def measured(config: Config, clips: int) -> Cost:
  """Compiles and times the steps of a row.

  A step is the mean over pretraining, if there is any, and what follows it.

  Args:
    config: configuration of a row whose inputs its data set provides.
    clips: number of training clips of a fold.
  """
  feed = rules.feed(config)
  stored = rules.stored(config.data.dataset)
  trainer = build.make_trainer(
    config,
    _CLASSES,
    motion.channels(feed, config.data, stored),
    clips,
    jnp.dtype('float32'),
  )
  rng = np.random.default_rng(0)
  inputs = {
    name: rng.normal(size=(trainer.slots, *spec.shape)).astype(np.float32)
    for name, spec in motion.specs(feed, config.data).items()
  }
  none = jnp.zeros(0, jnp.int32)
  fold = Fold(
    seed=jnp.uint32(0),
    subject_hash=jnp.uint32(0),
    train_index=none,
    train_valid=none.astype(bool),
    validation_index=none,
    validation_valid=none.astype(bool),
    test_index=none,
    class_weights=jnp.ones(_CLASSES),
  )
  labels = jnp.arange(trainer.slots) % _CLASSES
  clips = jnp.arange(trainer.slots)
  batch = Batch(inputs, labels, jnp.ones(trainer.slots, bool), clips)
  one_variant = {name: values[None] for name, values in inputs.items()}
  state = trainer.init(Data(one_variant, labels), fold)
  compiling, seconds, memory = 0.0, 0.0, 0
  for pretrains, epochs in trainer.stages.items():
    stage = dataclasses.replace(trainer, pretrains=pretrains)
    began = time.perf_counter()
    step = jax.jit(stage.step).lower(state, fold, batch).compile()
    compiling += time.perf_counter() - began
    seconds_of_step = rank_pooling.best_seconds(
      lambda step=step: jax.block_until_ready(step(state, fold, batch))
    )
    seconds += epochs / config.train.epochs * seconds_of_step
    memory = max(memory, step.memory_analysis().temp_size_in_bytes)
  return Cost(
    clips=trainer.slots,
    parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
    compiling=compiling,
    step=seconds,
    temporary=memory,
    state=sum(leaf.nbytes for leaf in jax.tree.leaves(state)),
  )


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks.zoo',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('base', help="a data set's file in configs/")
  parser.add_argument(
    '--clips', type=int, default=273, help='training clips of a fold'
  )
  parser.add_argument('--folds', type=int, default=52, help='folds of a seed')
  parser.add_argument('--quick', action='store_true', help='the first row')
  options = parser.parse_args()
  for name in ('clips', 'folds'):
    if (number := getattr(options, name)) < 1:
      parser.error(f'--{name}={number}: expected 1 or more.')
  zoo = importlib.import_module('configs.zoo')
  try:
    values = zoo.get_config(options.base)
  except errors.UserError as error:
    parser.error(str(error))
  if hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
  runtime.configure(runtime.cache_dir(''))
  found = rows.parse(configuration.from_mapping(values.to_dict()))
  fed = [row for row in found if not row.unsupported]
  print(
    f'{datetime.date.today()}, {platform.machine()}, {limits.cores()}'
    f' core(s), jax {jax.__version__} on {jax.devices()[0].device_kind!r};'
    f' {options.clips} clips a fold, {options.folds} folds',
    flush=True,
  )
  print(
    '| row | parameters | compile s | step ms | step MB | fold s | fold MB |'
    ' all h | PyTorch ms | times as fast |'
  )
  print('|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|')
  for row in fed[:1] if options.quick else fed:
    print(_line(row, options.clips, options.folds), flush=True)


def _line(row: rows.Row, clips: int, folds: int) -> str:
  cost, train = measured(row.config, clips), row.config.train
  fold = cost.step * train.epochs * -(-clips // train.batch_size)
  cells = [
    row.name, f'{cost.parameters:,}', f'{cost.compiling:.0f}',
    f'{1000 * cost.step:.1f}', f'{cost.temporary / 1e6:.0f}',
    f'{fold:.1f}', f'{cost.state / 1e6:.1f}', f'{fold * folds / 3600:.2f}',
    _peer(row.config, cost),
  ]  # fmt: skip
  return f'| {" | ".join(cells)} |'


def _peer(config: Config, cost: Cost) -> str:
  """Milliseconds of PyTorch's step, and how many times as fast ours is."""
  if not importlib.util.find_spec('torch'):
    return '|'
  from benchmarks.peers import zoo_torch

  step = zoo_torch.step_of(
    config.model,
    config.objective.name,
    motion.specs(rules.feed(config), config.data),
    cost.clips,
    _CLASSES,
    cost.parameters,
  )
  if not step:
    return '|'
  found = rank_pooling.best_seconds(step)
  return f'{1000 * found:.1f} | {found / cost.step:.2f}'


if __name__ == '__main__':
  main()
