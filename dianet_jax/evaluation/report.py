"""The pooled result of a run: summary, TensorBoard events, final table."""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import pathlib
import shutil
import sys
import types
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
    seeds: seeds of training, ascending.
    probabilities: class probabilities, 0..1, with the clip's subject held out.
    predictions: index of the most probable class.
  """

  seeds: tuple[int, ...]
  probabilities: Float[np.ndarray, 'seed clip class_']
  predictions: Int[np.ndarray, 'seed clip']


def pool(results: Sequence[FoldResult], num_clips: int) -> Pooled:
  """Collects the predictions of all folds.

  Args:
    results: of every fold and seed.
    num_clips: number of clips in the data set.

  Returns:
    Predictions of each clip for each seed.

  Raises:
    ValueError: for a seed, a clip was tested not exactly once, which is an
      error of the program.

  Two folds of one clip each:

  >>> loss = accuracy = np.zeros(1, np.float32)
  >>> shares = np.array([[0.25, 0.75]])
  >>> folds = [
  ...   FoldResult(name, 0, {}, loss, accuracy, np.array([clip]), shares)
  ...   for clip, name in enumerate(['s1', 's2'])
  ... ]
  >>> pool(folds, num_clips=2).predictions.tolist()
  [[1, 1]]
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
  """Averages the probabilities of every `size` trainings of a fold.

  Args:
    results: of every fold and seed.
    size: number of members; seeds k size ... (k + 1) size - 1 become seed k.

  Returns:
    One result for each fold and ensemble.

  >>> loss = accuracy = np.zeros(1, np.float32)
  >>> shares = np.array([[0.25, 0.75]])
  >>> folds = [
  ...   FoldResult('s1', seed, {}, loss, accuracy, np.array([0]), values)
  ...   for seed, values in enumerate([shares, 1 - shares])
  ... ]
  >>> [one] = ensemble(folds, size=2)
  >>> one.seed, one.probabilities.tolist()
  (0, [[0.5, 0.5]])
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


# `evaluation.epochs` -> how the number of epochs was chosen, in words.
EPOCHS = {
  'fixed': 'the number of epochs was fixed in advance',
  'inner_split': (
    "each fold's epoch was chosen on some of its training subjects, which were"
    ' left out of training'
  ),
}
# Metric of the last column of the table.
CHANCE_OF = metrics.METRICS[metrics.MAIN].label
ORACLE = 'oracle (epoch chosen on the test subjects; not a result)'


def oracle(
  results: Sequence[FoldResult],
  labels: Int[np.ndarray, ' clip'],
  ensemble_size: int = 1,
) -> dict[str, Any]:
  """The metrics if every fold's epoch were chosen on its held-out subject.

  For each training it takes the epoch with the most correct held-out clips, of
  ties the earliest, as many published scripts do. Its accuracy is at least that
  of the result, unless the chosen epochs are ensembled.

  Args:
    results: of every fold and seed, with `oracle_probabilities`.
    labels: true class index of each clip.
    ensemble_size: see `ensemble`.

  Returns:
    `label`, `epoch`, and for each key of `metrics.METRICS` its `mean` and the
    values of the `seeds`.

  A clip of class 0, predicted correctly only after the second of two epochs:

  >>> loss = accuracy = np.zeros(2, np.float32)
  >>> epochs = np.array([[[0.4, 0.6]], [[0.7, 0.3]]])
  >>> fold = FoldResult(
  ...   's1', 0, {}, loss, accuracy, np.array([0]), epochs[0],
  ...   oracle_probabilities=epochs,
  ... )
  >>> oracle([fold], np.array([0]))['accuracy']
  {'mean': 1.0, 'seeds': [1.0]}
  """
  chosen = []
  for result in results:
    of_epochs = result.oracle_probabilities
    assert of_epochs is not None, 'the configuration requests them'
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
  """The oracle's metrics with their label, as text; '' if there are none.

  >>> figures = {'label': 'oracle', 'accuracy': {'mean': 0.75}}
  >>> oracle_line({'oracle': figures}), oracle_line({})
  ('oracle: accuracy 0.750', '')
  """
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
  """The metrics that a result has; older versions wrote fewer."""
  return (row for row in metrics.METRICS.items() if row[0] in figures)


def summarise(
  name: str,
  dataset: data_lib.Dataset,
  pooled: Pooled,
  absent_classes: Sequence[tuple[str, int]],
) -> dict[str, Any]:
  """The content of `metrics.json` without times and versions.

  Args:
    name: of the run.
    dataset: its clips.
    pooled: predictions of all folds.
    absent_classes: (subject, class index) of folds without a training clip of
      that class.

  Returns:
    Values that JSON can hold; `overall` and `by_dataset` are those of
    `metrics.summarise`.

  Two clips of two subjects, of which the first is predicted correctly:

  >>> clips = tuple(
  ...   data_lib.Clip(f'c{n}', f's{n}', 'lab', '', '') for n in range(2)
  ... )
  >>> dataset = data_lib.Dataset(
  ...   clips, {}, {}, {}, {}, np.array([0, 1], np.int32), ('happy', 'sad'),
  ...   False, False, '', (),
  ... )
  >>> shares = np.array([[[0.9, 0.1], [0.8, 0.2]]])
  >>> pooled = Pooled((0,), shares, shares.argmax(axis=-1))
  >>> summary = summarise('demo', dataset, pooled, absent_classes=[])
  >>> summary['folds'], summary['overall']['accuracy']['mean']
  (2, 0.5)
  """
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


def _import_tensorboard() -> types.ModuleType:
  """Imports tensorboardX without PyTorch.

  tensorboardX imports PyTorch wherever it is installed, which takes seconds,
  and uses it for tensors only. While `sys.modules` holds None for a name, its
  import raises ImportError.
  """
  torch_is_there = 'torch' in sys.modules
  if not torch_is_there:
    sys.modules['torch'] = None  # pyright: ignore[reportArgumentType]
  try:
    import tensorboardX
  finally:
    if not torch_is_there:
      del sys.modules['torch']
  return tensorboardX


def write_events(folder: pathlib.Path, results: Sequence[FoldResult]) -> None:
  """Writes learning curves for TensorBoard, one run per seed and subject.

  Args:
    folder: is replaced.
    results: of every fold and seed.

  Raises:
    OSError: the folder cannot be written.
  """
  # Imported late, so that a broken TensorBoard installation costs no result.
  tensorboard = _import_tensorboard()

  # TensorBoard appends events, so events of a run that was killed just before
  # its end must be removed. Renaming at the end makes the folder complete
  # whenever it exists.
  aside = folder.with_suffix('.tmp')
  for old in (folder, aside):
    shutil.rmtree(old, ignore_errors=True)
  for result in results:
    name = escape.file_name(result.subject)
    place = aside / f'seed{result.seed}' / name
    with tensorboard.SummaryWriter(str(place), flush_secs=3600) as writer:
      for epoch in range(len(result.loss)):
        writer.add_scalar('train/loss', result.loss[epoch], epoch + 1)
        writer.add_scalar('train/accuracy', result.accuracy[epoch], epoch + 1)
        if result.validation_loss is not None:
          loss = result.validation_loss[epoch]
          writer.add_scalar('validation/loss', loss, epoch + 1)
  aside.rename(folder)


def rows(summary: dict[str, Any]) -> list[list[str]]:
  r"""The table of results: a header, then all clips and each data set.

  The first line of a metric's cell is its mean and standard deviation, the
  second its bootstrap interval.

  Args:
    summary: what `summarise` returned.

  >>> overall = metrics.summarise(
  ...   np.array([0, 1, 1]), np.array([[0, 1, 0]]), ('happy', 'sad'),
  ...   np.array(['s1', 's1', 's2']),
  ... )
  >>> parts = {'overall': overall, 'by_dataset': {}}
  >>> header, row = rows(parts | {'folds': 2, 'seeds': [0]})
  >>> dict(zip(header[:4], row))
  {'clips': 'all', 'n': '3', 'folds': '2', 'accuracy': '0.667\n0.000 to 1.000'}
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
      # Missing for a single subject, and in runs of the first versions.
      if interval := part[key].get('interval_95'):
        value += '\n' + _interval(interval)
      row.append(value)
    table.append([*row, _interval(part[metrics.MAIN]['chance_95'])])
  return table


def _interval(bounds: Sequence[float]) -> str:
  return '{:.3f} to {:.3f}'.format(*bounds)


def title(summary: dict[str, Any]) -> str:
  """A title for the metrics: warnings, name, protocol, classes, seeds.

  >>> title({'name': 'demo', 'classes': ['happy', 'sad'], 'seeds': [0, 1]})
  'demo: pooled over leave-one-subject-out folds, 2 classes, 2 seeds'
  """
  seeds = len(summary['seeds'])
  marks = [
    f'{mark}, '
    for key, mark in predictions.MARKS.items()
    # Runs of the first versions do not have every key.
    if summary.get(key)
  ]
  folds = '' if summary.get('cross_dataset') else 'leave-one-subject-out '
  return (
    ''.join(marks) + f'{summary["name"]}: pooled over {folds}folds,'
    f' {len(summary["classes"])} classes,'
    f' {seeds} seed{"s" if seeds > 1 else ""}'
  )


def print_table(summary: dict[str, Any]) -> None:
  """Prints the table at the end of a run."""
  header, *body = rows(summary)
  progress.console.print(title(summary))
  progress.console.print(tables.grid(header, body))
  if line := oracle_line(summary):
    progress.console.print(line)
