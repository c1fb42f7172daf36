"""Performs a run: data, folds, training, results."""

from collections.abc import Callable
import functools
import pathlib
import shutil
import textwrap
import time
from typing import Any

import jax.numpy as jnp
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.core import hosts, progress, runtime
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.data import folds as folds_lib
from dianet_jax.evaluation import report
from dianet_jax.experiments import (
  frozen,
  initial_weights,
  strategies,
  workdirs,
)
from dianet_jax.experiments import results as results_lib
from dianet_jax.models import registry as models
from dianet_jax.training import build, programs, saved_folds
from dianet_jax.training import parallel as parallel_lib
from dianet_jax.training import resume as resume_lib
from dianet_jax.training.state import Data

# `dataset.load`, or one that keeps what it has loaded.
Load = Callable[..., dataset_lib.Dataset]


def read_dataset(
  config: configuration.Config, load: Load = dataset_lib.load
) -> dataset_lib.Dataset:
  """Loads the clips of a configuration, with the inputs of its model."""
  reads = models.MODELS[config.model.name].reads
  return load(config.data, config.seed, reads)


def make_program(
  config: configuration.Config,
  dataset: dataset_lib.Dataset,
  folds: folds_lib.Folds,
  workdir: pathlib.Path | None = None,
) -> parallel_lib.FoldParallel:
  """Makes the program that trains folds of a data set.

  Args:
    config: of these folds.
    dataset: what is trained on.
    folds: all of the run.
    workdir: that keeps what `strategies.choose` chose, and the part of the
      network that is not trained; begun before.
  """
  device = programs.choose_devices(config.parallel.devices)[0]
  dtype = runtime.compute_dtype(config.parallel.compute_dtype, device.platform)
  trainer = build.make_trainer(
    config,
    len(dataset.classes),
    dataset.channels,
    folds.train_index.shape[1],
    jnp.dtype(dtype),
  )
  start = initial_weights.load(config, dataset)
  data = Data(
    dict(dataset.inputs), dataset.labels, start.variables if start else {}
  )
  if part := models.frozen_part(config.model):
    trainer, data = frozen.applied(trainer, data, part, workdir)

  def make(settings: configuration.Parallel) -> parallel_lib.FoldParallel:
    return parallel_lib.FoldParallel(
      trainer, data, folds, settings, config.evaluation
    )

  return make(strategies.choose(config, trainer, data, folds, make, workdir))


def run(
  config: configuration.Config,
  workdir: pathlib.Path,
  load: Load = dataset_lib.load,
  describe_rest: Callable[[float], str] | None = None,
) -> dict[str, Any]:
  """Starts or resumes a run, and writes the results to `workdir`.

  Args:
    config: of the run.
    workdir: results and finished folds; re-running resumes.
    load: see `Load`.
    describe_rest: see `resume.train_folds`.

  Returns:
    What `metrics.json` holds.

  Raises:
    UserError: anything that the user can mend.
  """
  runtime.configure(runtime.cache_dir(config.data.cache_dir))
  hosts.start(config.parallel)
  with workdirs.exclusive(workdir):
    workdirs.check_config(workdir, config)
    finished = workdirs.is_finished(workdir, config)
    summary = workdirs.load_summary(workdir) if finished else None
    summary = hosts.of_main(summary)
    if summary is None:
      summary = _run(config, workdir, load, describe_rest)
      shutil.rmtree(workdir / 'unfinished', ignore_errors=True)
    elif hosts.is_main():
      progress.console.print(f'This run is finished: {workdir}')
      subjects = {one['subject'] for one in summary.get('trainings', ())}
      results_lib.show(
        config,
        workdir,
        summary,
        functools.partial(read_dataset, load=load),
        dict.fromkeys(subjects, workdir),
      )
  report.print_table(summary)
  return summary


def _run(
  config: configuration.Config,
  workdir: pathlib.Path,
  load: Load,
  describe_rest: Callable[[float], str] | None,
) -> dict[str, Any]:
  start = time.perf_counter()
  initial_weights.find(config)
  dataset = read_dataset(config, load)
  folds = folds_lib.of(config, dataset)
  workdirs.begin(workdir, config, dataset)
  dataset = workdirs.with_note(dataset, [workdir])
  describe(config, dataset, folds)
  program = make_program(config, dataset, folds, workdir)
  missing = len(folds) - saved_folds.finished(workdir)
  began = time.perf_counter()
  trained = resume_lib.train_folds(
    config, workdir, folds, program, describe_rest
  )
  seconds = time.perf_counter() - began
  size = {
    'parameters': program.parameters,
    # Of this session; None where all were trained before.
    'seconds_a_training': round(seconds / missing, 2) if missing else None,
  }
  return results_lib.conclude(
    results_lib.Trained(config, workdir, dataset, trained), folds, start, size
  )


def describe(
  config: configuration.Config,
  dataset: dataset_lib.Dataset,
  folds: folds_lib.Folds,
) -> None:
  """Prints the clips, folds and inputs of a run, and notes on the data."""
  say = progress.console.print
  if dataset.simulated:
    say('The data are SIMULATED: the numbers do not apply to real faces.')
  counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
  say(
    f'{len(dataset.clips)} clips ('
    + ', '.join(f'{n} {c}' for c, n in zip(dataset.classes, counts))
    + f'), {len(set(folds.subjects))} folds, {config.seeds} seed(s).'
  )
  notes = list(dataset.notes)
  for subject, class_ in folds.absent_classes():
    notes.append(
      f'fold {subject}: no training clip of {dataset.classes[class_]}'
    )
  for note in notes[:10]:
    # Some notes list clips; report.html has them whole.
    say(f'  note: {textwrap.shorten(note, 200, placeholder=" ...")}')
  if len(notes) > 10:
    say(f'  {len(notes) - 10} more notes in report.html')
