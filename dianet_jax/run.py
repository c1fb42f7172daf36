"""A whole run, top to bottom: data, folds, training, results."""

from collections.abc import Sequence
import datetime
import importlib.metadata
import json
import pathlib
import platform as python_platform
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dianet_jax import (
  checkpoints,
  errors,
  fold_parallel,
  platform,
  progress,
  report,
  report_page,
  train,
)
from dianet_jax import config as configuration
from dianet_jax import data as data_lib
from dianet_jax import folds as folds_lib
from dianet_jax.models.dianet import DIANet

_PACKAGES = (
  'dianet-jax', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint',
  'tensorflow-datasets', 'numpy', 'opencv-python-headless',
)  # fmt: skip


def versions() -> dict[str, str]:
  """Python, platform and the packages that a result may depend on."""
  found = {
    'python': sys.version.split()[0],
    'machine': python_platform.platform(),
    'device': f'{jax.device_count()} x {jax.devices()[0].device_kind}',
  }
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      found[package] = 'not installed by pip'
  return found


def open_workdir(workdir: pathlib.Path, config: configuration.Config) -> None:
  """Refuses a workdir that belongs to another configuration.

  Raises:
    UserError: the folder cannot be written, or holds another run.
  """
  path = workdir / 'config.json'
  wanted = configuration.to_dict(config)
  if path.exists():
    held = json.loads(path.read_text(encoding='utf-8'))['config']
    if held != wanted:
      raise errors.UserError(
        f'{workdir} holds a run of another configuration:\n'
        + '\n'.join(configuration.differences(held, wanted))
        + '\nChoose another --workdir, or remove that folder.'
      )
    return
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    report.write_json(path, {'config': wanted, 'versions': versions()})
  except OSError as error:
    raise errors.UserError(
      f'The workdir {workdir} cannot be written ({error.strerror}).'
      ' Choose another --workdir.'
    ) from error


def _check_fingerprint(workdir: pathlib.Path, fingerprint: str) -> None:
  """Refuses to go on with finished folds of other raw data."""
  path = workdir / 'data.json'
  if not path.exists():
    report.write_json(path, {'fingerprint': fingerprint})
  elif json.loads(path.read_text())['fingerprint'] != fingerprint:
    raise errors.UserError(
      f'The raw data have changed since the run in {workdir} was begun.'
      ' Choose another --workdir, or remove that folder.'
    )


def build(
  config: configuration.Config,
  dataset: data_lib.Dataset,
) -> tuple[folds_lib.Folds, fold_parallel.FoldParallel]:
  """Folds of a data set and the program that trains them."""
  folds = folds_lib.leave_one_subject_out(
    dataset.subjects,
    dataset.labels,
    len(dataset.classes),
    range(config.seed, config.seed + config.seeds),
    config.train.balance_classes,
  )
  device = fold_parallel.choose_devices(config.parallel.devices)[0]
  dtype = platform.compute_dtype(config.parallel.compute_dtype, device.platform)
  model = DIANet(
    num_classes=len(dataset.classes),
    dtype=jnp.dtype(dtype),
    **vars(config.model),
  )
  trainer = train.Trainer(
    model, config.train, config.data.scaling, folds.train_index.shape[1]
  )
  return folds, fold_parallel.FoldParallel(
    trainer, dataset.images, dataset.labels, config.parallel
  )


def train_folds(
  config: configuration.Config,
  workdir: pathlib.Path,
  folds: folds_lib.Folds,
  parallel: fold_parallel.FoldParallel,
) -> list[fold_parallel.FoldResult]:
  """Trains the folds that `workdir` does not hold yet; returns all."""
  saved = checkpoints.Checkpoints(workdir)
  results = [
    saved.load(seed, subject)
    for seed, subject in zip(folds.seeds, folds.subjects)
  ]
  left = [row for row, result in enumerate(results) if result is None]
  if len(left) < len(folds):
    progress.console.print(
      f'{len(folds) - len(left)} of {len(folds)} trainings were done before.'
    )
  results = [result for result in results if result is not None]
  if not left:
    return results
  folds = folds.select(left)
  epochs = config.train.epochs
  with progress.waiting('Compiling'):
    seconds = parallel.seconds_per_epoch(folds)
  size = parallel.group_size(len(folds))
  seconds *= epochs * -(-len(folds) // size)
  progress.console.print(
    f'{len(folds)} trainings of {epochs} epochs, {size} at once: about'
    f' {datetime.timedelta(seconds=round(seconds))} (from a timed step).'
  )
  with progress.bar('Training', len(folds) * epochs) as bar:
    for group in parallel.train(folds, lambda n: bar.advance(0, n)):
      _check_finite(group)
      for result in group:
        saved.save(result)
      results += group
  saved.close()
  return results


def _check_finite(group: Sequence[fold_parallel.FoldResult]) -> None:
  for result in group:
    if not np.isfinite(result.probabilities).all():
      raise errors.UserError(
        f'Training diverged in fold {result.subject} (seed {result.seed}): its'
        ' predictions are not finite. Lower --config.train.learning_rate.'
        ' Finished folds are kept.'
      )


def run(config: configuration.Config, workdir: pathlib.Path) -> dict[str, Any]:
  """Runs `config`, or goes on with it, and writes the results to `workdir`.

  Args:
    config: the whole configuration.
    workdir: results and finished folds; re-running resumes.

  Returns:
    What `metrics.json` holds.

  Raises:
    UserError: anything that the user can mend.
  """
  start = time.perf_counter()
  platform.configure(platform.cache_dir(config.data.cache_dir))
  open_workdir(workdir, config)
  metrics_path = workdir / 'metrics.json'
  if metrics_path.exists():
    progress.console.print('This run is finished; its result:')
    summary = json.loads(metrics_path.read_text(encoding='utf-8'))
    report.print_table(summary)
    return summary
  dataset = data_lib.load(config.data, config.seed)
  _check_fingerprint(workdir, dataset.fingerprint)
  folds, parallel = build(config, dataset)
  _describe(config, dataset, folds)
  results = train_folds(config, workdir, folds, parallel)
  pooled = report.pool(results, len(dataset.clips))
  summary = report.summarise(
    config.name, dataset, pooled, folds.absent_classes()
  )
  summary['seconds'] = round(time.perf_counter() - start, 1)
  report.write_predictions(workdir / 'predictions.csv', dataset, pooled)
  report.write_events(workdir / 'tensorboard', results)
  report_page.write(
    workdir / 'report.html', config, dataset, pooled, results, summary
  )
  # Last: its presence says that the run is finished.
  report.write_json(metrics_path, summary)
  report.print_table(summary)
  return summary


def _describe(
  config: configuration.Config,
  dataset: data_lib.Dataset,
  folds: folds_lib.Folds,
) -> None:
  """What is about to be trained on, and all that is odd about it."""
  say = progress.console.print
  if dataset.simulated:
    say('The data are SIMULATED: the numbers say nothing of real faces.')
  counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
  say(
    f'{len(dataset.clips)} clips ('
    + ', '.join(f'{n} {c}' for c, n in zip(dataset.classes, counts))
    + f'), {len(set(dataset.subjects))} folds, {config.seeds} seed(s).'
  )
  notes = list(dataset.notes)
  for subject, class_ in folds.absent_classes():
    notes.append(
      f'fold {subject}: no training clip of {dataset.classes[class_]}'
    )
  for note in notes[:10]:
    say(f'  note: {note}')
  if len(notes) > 10:
    say(f'  {len(notes) - 10} more notes in metrics.json')
