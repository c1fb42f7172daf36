"""The pooled result of a run: files, TensorBoard events and the last table."""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import pathlib
import shutil
from typing import Any

from jaxtyping import Float, Int
import numpy as np

from dianet_jax.core import escape, progress
from dianet_jax.data import dataset as data_lib
from dianet_jax.evaluation import metrics, predictions, tables
from dianet_jax.training.results import FoldResult


@dataclasses.dataclass(frozen=True)
class Pooled:
  """Predictions of all folds, in the order of the clips.

  Attributes:
    seeds: the seeds.
    probabilities: of the clip's class when its subject was held out.
    predictions: index of the most probable class.
  """

  seeds: tuple[int, ...]
  probabilities: Float[np.ndarray, 'seed clip class_']
  predictions: Int[np.ndarray, 'seed clip']


def pool(results: Sequence[FoldResult], num_clips: int) -> Pooled:
  """Brings the folds' predictions together; every clip must occur once a seed.

  Raises:
    ValueError: a clip was tested never or twice: a fault of the program.
  """
  seeds = tuple(sorted({result.seed for result in results}))
  num_classes = results[0].probabilities.shape[1]
  probabilities = np.full((len(seeds), num_clips, num_classes), np.nan)
  times = np.zeros((len(seeds), num_clips), int)
  for result in results:
    row = seeds.index(result.seed)
    probabilities[row, result.test_index] = result.probabilities
    times[row, result.test_index] += 1
  if (times != 1).any():
    raise ValueError('A clip was not tested exactly once.')
  return Pooled(seeds, probabilities, probabilities.argmax(axis=-1))


def ensemble(results: Sequence[FoldResult], size: int) -> list[FoldResult]:
  """One result for every `size` trainings of a fold: their mean probability.

  Seeds k size ... (k + 1) size - 1 become seed k.
  """
  if size == 1:
    return list(results)
  members = {}
  for result in sorted(results, key=lambda r: r.seed):
    key = result.seed // size, result.subject
    members.setdefault(key, []).append(result)
  return [
    dataclasses.replace(
      group[0],
      seed=seed,
      probabilities=np.mean([r.probabilities for r in group], axis=0),
    )
    for (seed, _), group in members.items()
  ]


# In words, by `evaluation.epochs`.
EPOCHS = {
  'fixed': 'the number of epochs was fixed beforehand',
  'inner_split': (
    "each fold's epoch was chosen by some of its training subjects, which were"
    ' not trained on'
  ),
}
# What the last column of the table is of.
CHANCE_OF = metrics.METRICS[metrics.MAIN].label
ORACLE = 'oracle (epoch chosen on the test subjects; not a result)'


def oracle(
  results: Sequence[FoldResult],
  labels: Int[np.ndarray, ' clip'],
  ensemble_size: int = 1,
) -> dict[str, Any]:
  """What choosing every fold's epoch by its held-out subject would give.

  Of each training the epoch with most held-out clips right, the earliest of
  equals: what many published scripts report. Its accuracy is not below that of
  the result, unless ensembles are made of the chosen epochs.
  """
  chosen = []
  for result in results:
    of_epochs = result.oracle_probabilities
    assert of_epochs is not None, 'asked for'
    right = of_epochs.argmax(axis=-1) == labels[result.test_index]
    best = int(right.sum(axis=1).argmax())
    chosen.append(dataclasses.replace(result, probabilities=of_epochs[best]))
  pooled = pool(ensemble(chosen, ensemble_size), len(labels))
  num_classes = results[0].probabilities.shape[1]
  confusions = np.stack(
    [
      metrics.confusion_matrix(labels, prediction, num_classes)
      for prediction in pooled.predictions
    ]
  )
  figures: dict[str, Any] = {'label': ORACLE, 'epoch': 'best of each fold'}
  for name, metric in metrics.METRICS.items():
    values = metric(confusions)
    figures[name] = {'mean': float(values.mean()), 'seeds': values.tolist()}
  return figures


def oracle_line(summary: dict[str, Any]) -> str:
  """The oracle's figures with their label; '' where there are none."""
  figures = summary.get('oracle')
  if not figures:
    return ''
  return f'{figures["label"]}: ' + ', '.join(
    f'{metric.label} {figures[key]["mean"]:.3f}'
    for key, metric in _metrics_of(figures)
  )


def _metrics_of(
  figures: Mapping[str, Any],
) -> Iterator[tuple[str, metrics.Metric]]:
  """The metrics that a result holds; one of an older version has fewer."""
  return (row for row in metrics.METRICS.items() if row[0] in figures)


def summarise(
  name: str,
  dataset: data_lib.Dataset,
  pooled: Pooled,
  absent_classes: Sequence[tuple[str, int]],
) -> dict[str, Any]:
  """What `metrics.json` holds, but for times and versions."""
  datasets = np.array([clip.dataset for clip in dataset.clips])
  subjects = np.array(dataset.subjects)

  def of(rows):
    return metrics.summarise(
      dataset.labels[rows],
      pooled.predictions[:, rows],
      dataset.classes,
      subjects[rows],
    )

  parts = {}
  names = sorted(set(datasets.tolist()))
  for part in names if len(names) > 1 else []:
    rows = datasets == part
    parts[part] = of(rows) | {'folds': len(set(subjects[rows].tolist()))}
  return {
    'name': name,
    'simulated': dataset.simulated,
    'control': dataset.control,
    'classes': list(dataset.classes),
    'folds': len(set(dataset.subjects)),
    'seeds': list(pooled.seeds),
    'overall': of(slice(None)),
    'by_dataset': parts,
    'classes_absent_in_training': [
      {'subject': subject, 'class': dataset.classes[class_]}
      for subject, class_ in absent_classes
    ],
    'notes': list(dataset.notes),
    'data_fingerprint': dataset.fingerprint,
  }


def write_events(folder: pathlib.Path, results: Sequence[FoldResult]) -> None:
  """Learning curves for TensorBoard, a run a (seed, subject)."""
  # Late: a TensorBoard that is set up wrongly costs no result.
  import tensorboardX

  # Events add up: those of a run killed just before its end would be doubled.
  # Written aside: the folder's presence says that it is whole.
  aside = folder.with_suffix('.tmp')
  for old in (folder, aside):
    shutil.rmtree(old, ignore_errors=True)
  for result in results:
    name = escape.file_name(result.subject)
    place = aside / f'seed{result.seed}' / name
    with tensorboardX.SummaryWriter(str(place), flush_secs=3600) as writer:
      for epoch in range(len(result.loss)):
        writer.add_scalar('train/loss', result.loss[epoch], epoch + 1)
        writer.add_scalar('train/accuracy', result.accuracy[epoch], epoch + 1)
        if result.validation_loss is not None:
          loss = result.validation_loss[epoch]
          writer.add_scalar('validation/loss', loss, epoch + 1)
  aside.rename(folder)


def rows(summary: dict[str, Any]) -> list[list[str]]:
  """The table of results: header, then one row for all clips and each part.

  A metric has its mean and standard deviation in a first line, its bootstrap
  interval in a second.
  """
  shown = list(_metrics_of(summary['overall']))
  labels = [metric.label for _, metric in shown]
  table = [['clips', 'n', 'folds', *labels, f'chance {CHANCE_OF}']]
  parts = {'all': summary['overall'] | {'folds': summary['folds']}}
  for name, part in (parts | summary['by_dataset']).items():
    row = [name, str(part['n']), str(part['folds'])]
    for key, _ in shown:
      value = f'{part[key]["mean"]:.3f}'
      if len(summary['seeds']) > 1:
        value += f' ± {part[key]["std"]:.3f}'
      # A single subject has none, nor has a run of the first versions.
      if interval := part[key].get('interval_95'):
        value += '\n' + _interval(interval)
      row.append(value)
    table.append([*row, _interval(part[metrics.MAIN]['chance_95'])])
  return table


def _interval(bounds: Sequence[float]) -> str:
  return '{:.3f} to {:.3f}'.format(*bounds)


def title(summary: dict[str, Any]) -> str:
  """One line that says what the numbers are of."""
  seeds = len(summary['seeds'])
  marks = [
    f'{mark}, '
    for key, mark in predictions.MARKS.items()
    # The first runs knew but one protocol.
    if summary.get(key)
  ]
  folds = '' if summary.get('cross_dataset') else 'leave-one-subject-out '
  return (
    ''.join(marks) + f'{summary["name"]}: pooled over {folds}folds,'
    f' {len(summary["classes"])} classes,'
    f' {seeds} seed{"s" if seeds > 1 else ""}'
  )


def print_table(summary: dict[str, Any]) -> None:
  """The one table at the end of a run."""
  header, *body = rows(summary)
  progress.console.print(title(summary))
  progress.console.print(tables.grid(header, body))
  if line := oracle_line(summary):
    progress.console.print(line)
