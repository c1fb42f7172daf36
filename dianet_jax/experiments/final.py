"""Trains the configuration of a run once more, on all subjects."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import pathlib
from typing import Any

import numpy as np

from dianet_jax.core import errors, progress, runtime
from dianet_jax.core.config import Config
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.data import folds as folds_lib
from dianet_jax.experiments import frozen, initial_weights, run
from dianet_jax.training import parallel
from dianet_jax.training.results import Diverged, FoldResult

# Name of a fold that holds out no subject; its random keys depend on it.
NAME = 'all subjects'


def epochs_of(config: Config, chosen: Sequence[int]) -> int:
  """Number of epochs for a training without validation clips.

  Args:
    config: of the networks.
    chosen: epochs that its folds chose, if they choose.

  Returns:
    The fixed number of the run, or the median of the chosen ones.

  Raises:
    UserError: folds choose their epochs, but none was trained with `config`.
  """
  if not config.evaluation.chooses_epoch:
    return config.train.epochs
  if not len(chosen):
    raise errors.UserError(
      f'No fold was trained with {config.name!r}, so its number of epochs is'
      ' unknown. Train it as a separate run and export that.'
    )
  return max(1, round(float(np.median(chosen))))


def everything(
  config: Config, dataset: dataset_lib.Dataset, seeds: range
) -> folds_lib.Folds:
  """Folds that train on all clips, one for each seed.

  Every fold predicts clips at its end; here it is the first training clip,
  whose prediction is not used.
  """
  folds = folds_lib.hold_out(
    {NAME: ()},
    dataset.subjects,
    dataset.labels,
    len(dataset.classes),
    seeds,
    config.train.class_balance,
    config.train.effective_number_beta,
  )
  return dataclasses.replace(
    folds,
    test_index=folds.train_index[:, :1],
    test_valid=folds.train_valid[:, :1],
  )


def train(
  config: Config,
  recorded: Mapping[str, Any],
  epochs: int,
  workdir: pathlib.Path,
) -> list[dict[str, Any]]:
  """Trains on all clips, `evaluation.ensemble` times.

  Args:
    config: of a finished run; its first reported seed is trained.
    recorded: the run's `data.json`.
    epochs: number of epochs.
    workdir: of the run, for messages.

  Returns:
    The variables of each network.

  Raises:
    UserError: the data cannot be read or are not those of the run, or a
      training diverged.
  """
  runtime.configure(runtime.cache_dir(config.data.cache_dir))
  evaluation = dataclasses.replace(
    config.evaluation, epochs='fixed', oracle=False
  )
  config = dataclasses.replace(
    config,
    train=dataclasses.replace(config.train, epochs=epochs),
    evaluation=evaluation,
  )
  dataset = run.read_dataset(config)
  if dataset.fingerprint != recorded['fingerprint']:
    raise errors.UserError(
      f'The data now have the fingerprint {dataset.fingerprint}, but the run'
      f' was trained on {recorded["fingerprint"]}. Restore those data, or train'
      ' the run again.'
    )
  initial_weights.refuse_other(recorded.get('pretrained', {}), config, workdir)
  seeds = config.training_seeds[: evaluation.ensemble]
  folds = everything(config, dataset, seeds)
  program = run.make_program(config, dataset, folds)
  own = frozen.variables(config, dataset)
  return [
    frozen.merged(result.variables, own)
    for result in train_all(
      program,
      folds,
      'Training on all',
      lambda result: (
        f'Training on all subjects diverged in epoch {result.epoch}, as no fold'
        ' of the run did. Lower --config.train.learning_rate and train the run'
        ' again.'
      ),
    )
  ]


def train_all(
  program: parallel.FoldParallel,
  folds: folds_lib.Folds,
  title: str,
  explain: Callable[[Diverged], str],
) -> list[FoldResult]:
  """Trains folds with a progress bar; nothing is saved.

  Args:
    program: trains them.
    folds: to be trained.
    title: of the bar.
    explain: the message if a fold diverged.

  Returns:
    The results, in the order in which they were trained.

  Raises:
    UserError: a fold diverged.
  """
  found = []
  with progress.bar(title, len(folds) * program.epochs) as bar:

    def on_epoch(number, snapshot):
      del snapshot
      bar.advance(number)

    for group in program.train(folds, on_epoch):
      for result in group:
        if isinstance(result, Diverged):
          raise errors.UserError(explain(result))
        found.append(result)
  return found
