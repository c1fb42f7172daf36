"""Writes the files of a result from trained folds: numbers, then pictures.

`predictions.csv` and `metrics.json` are written before anything is drawn.
Drawing depends on the user's libraries and settings, and its failure must not
affect the result: it is reported, and the same command tries again.
"""

import collections
from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
import pathlib
import shutil
import time
from typing import Any

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, faults, files, hosts, progress
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.data import folds as folds_lib
from dianet_jax.evaluation import page, predictions, report
from dianet_jax.experiments import explained, origin, workdirs
from dianet_jax.training import checkpoints
from dianet_jax.training.results import FoldResult

Read = Callable[[configuration.Config], dataset_lib.Dataset]


@dataclasses.dataclass(frozen=True)
class Trained:
  """The trained folds of a run or a study.

  Attributes:
    config: of the run or study.
    workdir: of the run or study.
    dataset: the clips.
    results: one for each seed and subject, in any order.
  """

  config: configuration.Config
  workdir: pathlib.Path
  dataset: dataset_lib.Dataset
  results: Sequence[FoldResult]

  @property
  def pooled(self) -> report.Pooled:
    """The predictions of all folds, averaged over ensembles."""
    size = self.config.evaluation.ensemble
    reported = report.ensemble(self.results, size)
    return report.pool(reported, len(self.dataset.clips))


def conclude(
  trained: Trained,
  folds: folds_lib.Folds,
  start: float,
  more: Mapping[str, Any],
) -> dict[str, Any]:
  """Writes all files, pictures last.

  Args:
    trained: all folds.
    folds: their index tables.
    start: `time.perf_counter` at the start of the run.
    more: further content of `metrics.json`.

  Returns:
    The content of `metrics.json`; if that file exists, the run is finished.
  """
  # Folds of a resumed run have another order.
  results = sorted(trained.results, key=lambda r: (r.seed, r.subject))
  trained = dataclasses.replace(trained, results=results)
  summary = _summarise(trained, folds) | dict(more)
  # The time of this session only, if the run was resumed.
  summary['seconds'] = round(time.perf_counter() - start, 1)
  if not hosts.is_main():
    return summary
  workdir = trained.workdir
  summary['data'] = workdirs.load_data(workdir)
  summary['sessions'] = workdirs.sessions(workdir)
  if text := workdirs.version_note(summary['sessions']):
    summary['notes'].append(text)
  # Remove pictures of an earlier result.
  (workdir / 'report.html').unlink(missing_ok=True)
  shutil.rmtree(workdir / 'tensorboard', ignore_errors=True)
  predictions.write(
    workdir / 'predictions.csv', trained.dataset, trained.pooled
  )
  files.write_json(workdir / 'metrics.json', summary)
  draw(trained, summary)
  return summary


def _summarise(trained: Trained, folds: folds_lib.Folds) -> dict[str, Any]:
  config, dataset = trained.config, trained.dataset
  evaluation, results = config.evaluation, trained.results
  cross_dataset = evaluation.protocol == 'cross_dataset'
  summary = report.summarise(
    config.name, dataset, trained.pooled, folds.absent_classes()
  )
  summary['cross_dataset'] = cross_dataset
  if cross_dataset:
    summary['folds'] = len(set(folds.subjects))
    for part in summary['by_dataset'].values():
      part['folds'] = 1
  summary['evaluation'] = {
    'epochs': report.EPOCHS[evaluation.epochs],
    'trainings_of_a_seed': evaluation.ensemble,
  }
  if evaluation.chooses_epoch:
    summary['evaluation']['chosen'] = [
      {'seed': r.seed, 'subject': r.subject, 'epoch': r.epoch} for r in results
    ]
  if evaluation.oracle:
    summary['oracle'] = report.oracle(
      results, dataset.labels, evaluation.ensemble
    )
  summary['trainings'] = [
    {'seed': result.seed, 'subject': result.subject} for result in results
  ]
  # More than one entry only if `parallel.allow_mixed` is set.
  summary['trained_by'] = dict(
    collections.Counter('; '.join(result.made_by) for result in results)
  )
  return summary


def _page(trained: Trained, summary: dict[str, Any]) -> None:
  versions = workdirs.merged_versions(workdirs.sessions(trained.workdir))
  recorded = workdirs.load_data(trained.workdir)
  if recorded is not None:
    versions = {'data': origin.sentence(recorded)} | versions
  pooled = trained.pooled
  try:
    explanations = explained.explain(
      trained.workdir,
      trained.dataset,
      trained.results,
      pooled,
      trained.config.evaluation.ensemble,
      page.choose(trained.dataset.labels, pooled.probabilities[0]),
    )
  except errors.UserError as error:
    # Weights may be missing; the rest of the page does not need them.
    progress.console.print(f'No clip is explained: {error}')
    explanations = {}
  page.write(
    trained.workdir / 'report.html',
    trained.config,
    trained.dataset,
    pooled,
    trained.results,
    summary,
    versions,
    explanations,
  )


def _events(trained: Trained, summary: dict[str, Any]) -> None:
  del summary
  report.write_events(trained.workdir / 'tensorboard', trained.results)


# Name in the workdir -> function that draws it.
_DRAWINGS = {'report.html': _page, 'tensorboard': _events}


def draw(trained: Trained, summary: dict[str, Any]) -> None:
  """Draws missing pictures; a failure is reported, and the result is kept.

  Args:
    trained: all folds.
    summary: the content of `metrics.json`.
  """
  for name, function in _DRAWINGS.items():
    if (trained.workdir / name).exists():
      continue
    try:
      function(trained, summary)
    except Exception as error:  # From libraries and their settings.
      progress.console.print(
        f'{name} could not be drawn ({faults.one_line(error)}). The result is'
        f' complete, and the same command tries to draw it again;'
        f' {faults.report(error)}'
      )


def show(
  config: configuration.Config,
  workdir: pathlib.Path,
  summary: dict[str, Any],
  read: Read,
  places: Mapping[str, pathlib.Path],
) -> None:
  """Describes the data of a finished result, and draws missing pictures.

  Args:
    config: of the run or study.
    workdir: of the run or study.
    summary: its `metrics.json`.
    read: `run.read_dataset`.
    places: subject -> the workdir of its folds.

  Raises:
    UserError: the raw data have changed.
  """
  say = progress.console.print
  recorded = workdirs.load_data(workdir)
  if recorded is None:
    say('Its data are unknown: it was made by an older version.')
    return
  say(f'Data: {origin.sentence(recorded)}.')
  say(origin.compare(workdir, config, recorded, read))
  if text := workdirs.version_note(summary.get('sessions', ())):
    say(f'note: {text}')
  if all((workdir / name).exists() for name in _DRAWINGS):
    return
  try:
    dataset = read(config)
    results = [
      _load(places[one['subject']], one['seed'], one['subject'])
      for one in summary['trainings']
    ]
  except (KeyError, errors.UserError) as error:
    say(f'Missing files in {workdir} cannot be drawn: {error}')
    return
  draw(Trained(config, workdir, dataset, results), summary)


def _load(workdir: pathlib.Path, seed: int, subject: str) -> FoldResult:
  with contextlib.closing(checkpoints.Checkpoints(workdir)) as saved:
    result = saved.load(seed, subject)
  if result is None:
    raise errors.UserError(f'there is no fold {subject} (seed {seed}).')
  return result
