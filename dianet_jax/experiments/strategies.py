"""Chooses the strategy of training on an accelerator, once per workdir."""

from collections.abc import Callable
import dataclasses
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp

from dianet_jax.core import config as configuration
from dianet_jax.core import hosts, progress, runtime
from dianet_jax.data import folds as folds_lib
from dianet_jax.experiments import workdirs
from dianet_jax.training import memory, programs, tuning
from dianet_jax.training import parallel as parallel_lib
from dianet_jax.training.state import Data
from dianet_jax.training.trainer import Trainer

# The `parallel` section -> the program that trains by it.
Make = Callable[[configuration.Parallel], parallel_lib.FoldParallel]


def choose(
  config: configuration.Config,
  trainer: Trainer,
  data: Data,
  folds: folds_lib.Folds,
  make: Make,
  workdir: pathlib.Path | None,
) -> configuration.Parallel:
  """The `parallel` section with `auto` and 0 replaced by the fastest choice.

  On a CPU, and for settings of the user, it is unchanged. The choice of an
  existing workdir is kept, so that all its folds are trained alike.

  Args:
    config: of the run.
    trainer: of the run.
    data: of all clips.
    folds: all of the run.
    make: makes the program to measure.
    workdir: of the run; None to use only the cache.
  """
  settings = config.parallel
  devices = programs.choose_devices(settings.devices)
  if settings.strategy != 'auto' or devices[0].platform == 'cpu':
    return settings
  recorded = workdirs.load_choice(workdir) if workdir else None
  if recorded is not None:
    return tuning.applied(settings, tuning.Choice.from_dict(recorded))
  own = -(-len(folds) // (jax.process_count() * len(devices)))

  def measure(strategy: str, number: int) -> tuple[float, float]:
    return _seconds(
      make(
        dataclasses.replace(
          settings, strategy=strategy, folds_per_device=number
        )
      ),
      folds,
      number,
    )

  def measured() -> tuning.Choice:
    with progress.waiting(
      'Measuring strategies; none is started after'
      f' {tuning.BUDGET_SECONDS} seconds'
    ):
      return tuning.measured(measure, own, settings.folds_per_device)

  cache = runtime.cache_dir(config.data.cache_dir) / 'compiled' / 'strategies'
  key = _key(config, trainer, data, own, devices)
  # All processes use the choice of the first one.
  choice = hosts.of_main(tuning.cached(cache, key, measured))
  for line in tuning.sentences(choice):
    progress.console.print(line)
  if workdir:
    workdirs.note_choice(workdir, choice.to_dict())
  return tuning.applied(settings, choice)


def _key(
  config: configuration.Config,
  trainer: Trainer,
  data: Data,
  own_folds: int,
  devices: memory.Devices,
) -> dict[str, Any]:
  """Everything that affects the measured times."""
  shapes = jax.tree.map(lambda leaf: f'{leaf.dtype}{leaf.shape}', data)
  return {
    'device': devices[0].device_kind,
    'devices': len(devices),
    'jax': jax.__version__,
    'model': repr(config.model),
    'objective': repr(config.objective),
    'train': repr(dataclasses.replace(config.train, epochs=0)),
    'dtype': jnp.dtype(trainer.model.dtype or jnp.float32).name,
    'clips': [trainer.steps_per_epoch, trainer.slots],
    'data': sorted(map(str, jax.tree.leaves(shapes))),
    'folds': [own_folds, config.parallel.folds_per_device],
  }


def _seconds(
  program: parallel_lib.FoldParallel, folds: folds_lib.Folds, number: int
) -> tuple[float, float]:
  """Seconds of an epoch of one fold, and of compiling the programs."""
  start = time.perf_counter()
  with memory.report_exhaustion(program.devices):
    program.compile(folds)
    compiled = time.perf_counter() - start
    seconds = program.seconds_per_epoch(folds)
  return seconds / number, compiled
