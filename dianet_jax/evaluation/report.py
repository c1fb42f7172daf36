"""The pooled result of a run: files, TensorBoard events and the last table."""

from collections.abc import Sequence
import csv
import dataclasses
import json
import pathlib
import shutil
from typing import Any

from jaxtyping import Float, Int
import numpy as np
import tensorboardX

from dianet_jax.core import progress
from dianet_jax.data import dataset as data_lib
from dianet_jax.evaluation import metrics, tables
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
    shares = result.oracle_probabilities
    right = shares.argmax(axis=-1) == labels[result.test_index]
    best = int(right.sum(axis=1).argmax())
    chosen.append(dataclasses.replace(result, probabilities=shares[best]))
  guesses = pool(ensemble(chosen, ensemble_size), len(labels)).predictions
  num_classes = results[0].probabilities.shape[1]
  confusions = np.stack(
    [metrics.confusion_matrix(labels, g, num_classes) for g in guesses]
  )
  values = {n: metric(confusions) for n, metric in metrics.METRICS.items()}
  return {'label': ORACLE, 'epoch': 'best of each fold'} | {
    name: {'mean': float(v.mean()), 'seeds': v.tolist()}
    for name, v in values.items()
  }


def oracle_line(summary: dict[str, Any]) -> str:
  """The oracle's figures with their label; '' where there are none."""
  figures = summary.get('oracle')
  if not figures:
    return ''
  return f'{figures["label"]}: ' + ', '.join(
    f'{name} {figures[key]["mean"]:.3f}'
    for name, key in (('accuracy', 'accuracy'), ('UF1', 'uf1'), ('UAR', 'uar'))
  )


def summarise(
  name: str,
  dataset: data_lib.Dataset,
  pooled: Pooled,
  absent_classes: Sequence[tuple[str, int]],
) -> dict[str, Any]:
  """What `metrics.json` holds, but for times and versions."""
  parts = {}
  datasets = np.array([clip.dataset for clip in dataset.clips])
  subjects = np.array(dataset.subjects)
  names = sorted(set(datasets.tolist()))
  for part in names if len(names) > 1 else []:
    rows = datasets == part
    parts[part] = metrics.summarise(
      dataset.labels[rows],
      pooled.predictions[:, rows],
      dataset.classes,
      subjects[rows],
    )
    parts[part]['folds'] = len(set(subjects[rows].tolist()))
  overall = metrics.summarise(
    dataset.labels, pooled.predictions, dataset.classes, subjects
  )
  return {
    'name': name,
    'simulated': dataset.simulated,
    'control': dataset.control,
    'classes': list(dataset.classes),
    'folds': len(set(dataset.subjects)),
    'seeds': list(pooled.seeds),
    'overall': overall,
    'by_dataset': parts,
    'classes_absent_in_training': [
      {'subject': subject, 'class': dataset.classes[class_]}
      for subject, class_ in absent_classes
    ],
    'notes': list(dataset.notes),
    'data_fingerprint': dataset.fingerprint,
  }


def write_predictions(
  path: pathlib.Path, dataset: data_lib.Dataset, pooled: Pooled
) -> None:
  """A row a clip and seed: fold, truth, prediction, probabilities."""
  with path.open('w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(
      ['seed', 'fold', 'dataset', 'clip_id', 'truth', 'prediction']
      + [f'p_{name}' for name in dataset.classes]
    )
    for row, seed in enumerate(pooled.seeds):
      for index, clip in enumerate(dataset.clips):
        writer.writerow(
          [
            seed,
            clip.subject,
            clip.dataset,
            clip.clip_id,
            dataset.classes[dataset.labels[index]],
            dataset.classes[pooled.predictions[row, index]],
          ]
          + [f'{p:.6f}' for p in pooled.probabilities[row, index]]
        )


def write_json(path: pathlib.Path, values: Any) -> None:
  """Indented JSON; written aside and renamed, so never half there."""
  aside = path.with_suffix('.tmp')
  aside.write_text(json.dumps(values, indent=2) + '\n', encoding='utf-8')
  aside.replace(path)


def write_events(folder: pathlib.Path, results: Sequence[FoldResult]) -> None:
  """Learning curves for TensorBoard, a run a (seed, subject)."""
  # Events add up: those of a run killed just before its end would be doubled.
  shutil.rmtree(folder, ignore_errors=True)
  for result in results:
    name = result.subject.replace('/', '_')
    place = folder / f'seed{result.seed}' / name
    with tensorboardX.SummaryWriter(str(place), flush_secs=3600) as writer:
      for epoch in range(len(result.loss)):
        writer.add_scalar('train/loss', result.loss[epoch], epoch + 1)
        writer.add_scalar('train/accuracy', result.accuracy[epoch], epoch + 1)
        if result.validation_loss is not None:
          loss = result.validation_loss[epoch]
          writer.add_scalar('validation/loss', loss, epoch + 1)


def rows(summary: dict[str, Any]) -> list[list[str]]:
  """The table of results: header, then a row for all clips and each part.

  A metric has its mean and standard deviation in a first line, its bootstrap
  interval in a second.
  """
  header = ['clips', 'n', 'folds', 'accuracy', 'UF1', 'UAR', 'chance UF1']
  table = [header]
  parts = {'all': summary['overall'] | {'folds': summary['folds']}}
  for name, part in (parts | summary['by_dataset']).items():
    low, high = part['uf1']['chance_95']
    row = [name, str(part['n']), str(part['folds'])]
    for key in ('accuracy', 'uf1', 'uar'):
      value = f'{part[key]["mean"]:.3f}'
      if len(summary['seeds']) > 1:
        value += f' ± {part[key]["std"]:.3f}'
      # Runs that ended before there were intervals are still shown.
      interval = part[key].get('interval_95')
      if interval:
        value += f'\n{interval[0]:.3f} to {interval[1]:.3f}'
      row.append(value)
    table.append([*row, f'{low:.3f} to {high:.3f}'])
  return table


def title(summary: dict[str, Any]) -> str:
  """One line that says what the numbers are of."""
  seeds = len(summary['seeds'])
  return (
    ('SIMULATED DATA, ' if summary['simulated'] else '')
    + ('CONTROL WITH SHUFFLED LABELS, ' if summary['control'] else '')
    + f'{summary["name"]}: pooled over leave-one-subject-out folds,'
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
