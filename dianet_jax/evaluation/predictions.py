"""Writes and reads `predictions.csv`; reading validates every cell."""

from collections.abc import Iterator, Mapping, Sequence
import csv
import dataclasses
import json
import math
import os
import pathlib
import re
from typing import Any, NamedTuple

from jaxtyping import Bool, Float, Int, Shaped
import numpy as np

from dianet_jax.core import errors, escape

_COLUMNS = ('seed', 'fold', 'dataset', 'clip_id', 'truth', 'prediction')
_PROBABILITY = 'p_'
_NAMES = _COLUMNS[1:]
# Flag in `metrics.json` -> its warning in titles.
MARKS = {
  'simulated': 'SIMULATED DATA',
  'control': 'CONTROL WITH SHUFFLED LABELS',
  'cross_dataset': 'trained on the other data sets',
}
# Probabilities are written with six digits; other programs may write fewer.
_SUM_TOLERANCE = 1e-3
_TIE = 2e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
  """The predictions of a run for every clip, each with its subject held out.

  Attributes:
    seeds: seeds of training, ascending.
    clips: (data set, clip id), ascending, whatever the order in the file.
    subjects: subject of each clip.
    datasets: data set of each clip.
    classes: class names, in the order of the file's columns.
    truth: class index of each clip.
    predictions: index of the most probable class.
    probabilities: class probabilities, 0..1.
    remark: warnings of `metrics.json` beside the file (simulated data,
      shuffled labels, another protocol), or ''.
    cross_dataset: whether a fold holds out a data set instead of a subject.
  """

  seeds: tuple[int, ...]
  clips: tuple[tuple[str, str], ...]
  subjects: Shaped[np.ndarray, ' clip']
  datasets: Shaped[np.ndarray, ' clip']
  classes: tuple[str, ...]
  truth: Int[np.ndarray, ' clip']
  predictions: Int[np.ndarray, 'seed clip']
  probabilities: Float[np.ndarray, 'seed clip class_']
  remark: str = ''
  cross_dataset: bool = False

  def only(self, rows: Bool[np.ndarray, ' clip']) -> 'Predictions':
    """The same for the clips where `rows` is true."""
    return dataclasses.replace(
      self,
      clips=tuple(self.clips[index] for index in np.flatnonzero(rows)),
      subjects=self.subjects[rows],
      datasets=self.datasets[rows],
      truth=self.truth[rows],
      predictions=self.predictions[:, rows],
      probabilities=self.probabilities[:, rows],
    )

  def with_classes(self, classes: tuple[str, ...]) -> 'Predictions':
    """The same with the classes in the order of `classes`."""
    old = [self.classes.index(name) for name in classes]
    new = np.argsort(old)
    return dataclasses.replace(
      self,
      classes=classes,
      truth=new[self.truth],
      predictions=new[self.predictions],
      probabilities=self.probabilities[..., old],
    )


def write(path: pathlib.Path, dataset: Any, pooled: Any) -> None:
  """Writes one row per seed and clip: fold, truth, prediction, probabilities.

  Names that a spreadsheet program would take for formulas are prefixed with an
  apostrophe, which `load` removes.

  Args:
    path: the file; it is replaced only when it is complete.
    dataset: a `data.dataset.Dataset`, for clips, labels and classes. Its type
      is not imported, because that imports jax, which `compare` does not need.
    pooled: predictions of all folds, a `report.Pooled`.

  Raises:
    OSError: the file cannot be written.
  """
  names = dataset.classes
  aside = path.with_suffix('.tmp')
  with aside.open('w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow([*_COLUMNS, *(_PROBABILITY + name for name in names)])
    for row, seed in enumerate(pooled.seeds):
      for index, clip in enumerate(dataset.clips):
        truth = names[dataset.labels[index]]
        prediction = names[pooled.predictions[row, index]]
        texts = clip.subject, clip.dataset, clip.clip_id, truth, prediction
        writer.writerow(
          [seed, *map(escape.cell, texts)]
          + [f'{p:.6f}' for p in pooled.probabilities[row, index]]
        )
  aside.replace(path)


class _Row(NamedTuple):
  line: int
  seed: int
  clip: tuple[str, str]
  subject: str
  truth: int
  prediction: int
  probabilities: tuple[float, ...]


def load(path: str | os.PathLike) -> Predictions:
  r"""Reads the predictions of a run; unknown columns are ignored.

  Args:
    path: folder of a run, or a file.

  Raises:
    UserError: the file cannot be read or is invalid: a missing column, an
      unknown class, a clip that occurs twice in a seed or is missing in
      another, invalid probabilities, or a prediction that is not the most
      probable class.

  >>> import tempfile
  >>> text = (
  ...   'seed,fold,dataset,clip_id,truth,prediction,p_happy,p_sad\n'
  ...   '0,s1,lab,c1,sad,happy,0.6,0.4\n'
  ... )
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   _ = (pathlib.Path(folder) / 'predictions.csv').write_text(text)
  ...   run = load(folder)
  >>> run.classes, run.truth.tolist(), run.predictions.tolist()
  (('happy', 'sad'), [1], [[0]])
  """
  file = pathlib.Path(path)
  if file.is_dir():
    file = file / 'predictions.csv'
  try:
    with file.open(newline='', encoding='utf-8-sig') as lines:
      reader = csv.DictReader(lines, strict=True)
      columns = reader.fieldnames or []
      classes = tuple(
        name.removeprefix(_PROBABILITY)
        for name in columns
        if name.startswith(_PROBABILITY)
      )
      _refuse(f'{file}, line 1: ', _header_faults(columns, classes))
      rows = []
      for row in reader:
        where = f'{file}, line {reader.line_num}: '
        _refuse(where, _length_faults(row, columns))
        row |= {key: escape.from_cell(row[key]) for key in _NAMES}
        _refuse(where, _row_faults(row, classes))
        rows.append(_parse(reader.line_num, row, classes))
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    reason = getattr(error, 'strerror', None) or error
    raise errors.UserError(
      f'{file} cannot be read ({reason}); expected the folder of a finished'
      ' run, or its predictions.csv.'
    ) from error
  if not rows:
    raise errors.UserError(f'{file} has a header and no predictions.')
  return _arrange(file, rows, classes)


def _refuse(where: str, faults: Iterator[str]) -> None:
  """Raises the first fault; checking for later ones may assume its absence."""
  for fault in faults:
    raise errors.UserError(where + fault)


def _header_faults(
  columns: Sequence[str], classes: Sequence[str]
) -> Iterator[str]:
  for name in columns:
    if columns.count(name) > 1:
      yield f'column {name!r} occurs twice.'
    if not escape.is_plain(name):
      yield f'the name of column {name!r} holds a control character.'
  missing = [name for name in _COLUMNS if name not in columns]
  if missing or not classes:
    missing += [] if classes else [f'{_PROBABILITY}<class>']
    yield (
      f'missing column(s) {", ".join(missing)}; the file has:'
      f' {", ".join(columns) or "none"}.'
    )


def _length_faults(
  row: dict[str, str], columns: Sequence[str]
) -> Iterator[str]:
  if None in row or None in row.values():
    yield f'expected {len(columns)} values, as in the header.'


def _row_faults(row: dict[str, str], classes: Sequence[str]) -> Iterator[str]:
  if not re.fullmatch(r'\s*[+-]?\d{1,18}\s*', row['seed']):
    yield f'seed {row["seed"]!r} is not a whole number.'
  for key in _NAMES:
    if not escape.is_plain(row[key]):
      yield f'{key} {row[key]!r} holds a control character.'
  for key in ('truth', 'prediction'):
    if row[key] not in classes:
      yield (
        f'{key} {row[key]!r} is none of the classes that have a column of'
        f' probabilities ({", ".join(classes)}).'
      )
  texts = ', '.join(row[_PROBABILITY + name] for name in classes)
  values = _probabilities(row, classes)
  # This comparison is also False for NaN.
  if not all(0 <= value <= 1 for value in values):
    yield f'probabilities {texts}; expected numbers from 0 to 1.'
  total = math.fsum(values)
  if abs(total - 1) > _SUM_TOLERANCE:
    yield f'probabilities {texts} add up to {total:.6g}, not to 1.'
  if values[classes.index(row['prediction'])] < max(values) - _TIE:
    likely = classes[values.index(max(values))]
    yield (
      f'the prediction is {row["prediction"]!r}, but the most probable class'
      f' is {likely!r}.'
    )


def _probabilities(
  row: dict[str, str], classes: Sequence[str]
) -> tuple[float, ...]:
  """The probabilities of a row; one NaN if a cell is not a number."""
  try:
    return tuple(float(row[_PROBABILITY + name]) for name in classes)
  except ValueError:
    return (math.nan,)


def _parse(line: int, row: dict[str, str], classes: Sequence[str]) -> _Row:
  """A row without faults."""
  return _Row(
    line=line,
    seed=int(row['seed']),
    clip=(row['dataset'], row['clip_id']),
    subject=row['fold'],
    truth=classes.index(row['truth']),
    prediction=classes.index(row['prediction']),
    probabilities=_probabilities(row, classes),
  )


def _arrange(
  file: pathlib.Path, rows: Sequence[_Row], classes: tuple[str, ...]
) -> Predictions:
  """One row per seed and clip, in order; every seed has every clip once."""
  first: dict[tuple[str, str], _Row] = {}
  table: dict[tuple[int, tuple[str, str]], _Row] = {}
  for row in rows:
    where = f'{file}, line {row.line}: clip {row.clip[1]!r}'
    other = table.setdefault((row.seed, row.clip), row)
    if other is not row:
      raise errors.UserError(
        f'{where} occurs a second time for seed {row.seed}; the first is in'
        f' line {other.line}.'
      )
    other = first.setdefault(row.clip, row)
    if (row.truth, row.subject) != (other.truth, other.subject):
      raise errors.UserError(
        f'{where} has fold {row.subject!r} and truth {classes[row.truth]!r},'
        f' but {other.subject!r} and {classes[other.truth]!r} in line'
        f' {other.line}.'
      )
  seeds, clips = sorted({seed for seed, _ in table}), sorted(first)
  for seed in seeds:
    missing = [clip_id for clip_id in clips if (seed, clip_id) not in table]
    if missing:
      raise errors.UserError(
        f'{file}: seed {seed} has no row for {len(missing)} clip(s) of other'
        f' seeds, the first {missing[0][1]!r}; is the file complete?'
      )
  cells = [[table[seed, clip] for clip in clips] for seed in seeds]
  warned = _warned(file.with_name('metrics.json'))
  return Predictions(
    seeds=tuple(seeds),
    clips=tuple(clips),
    subjects=np.array([first[clip].subject for clip in clips]),
    datasets=np.array([dataset for dataset, _ in clips]),
    classes=classes,
    truth=np.array([first[clip].truth for clip in clips]),
    predictions=np.array([[row.prediction for row in line] for line in cells]),
    probabilities=np.array(
      [[row.probabilities for row in line] for line in cells]
    ),
    remark=', '.join(MARKS[key] for key in warned),
    cross_dataset='cross_dataset' in warned,
  )


def _warned(path: pathlib.Path) -> list[str]:
  """Keys of `MARKS` that are set: all results of such data are marked."""
  try:
    summary = json.loads(path.read_text(encoding='utf-8'))
    return [key for key in MARKS if summary.get(key) is True]
  except (OSError, ValueError, AttributeError, RecursionError):
    # The file is optional, and may come from another program.
    return []


def align(
  runs: Mapping[str, Predictions], common: bool = False
) -> tuple[dict[str, Predictions], list[str]]:
  """Brings runs to the same clips and the same order of classes.

  Args:
    runs: name -> run.
    common: leave out clips that are not in every run.

  Returns:
    The runs, and a sentence for each run of which clips were left out.

  Raises:
    UserError: there is no run; classes, clips, truth or subjects differ; or no
      clip is common to all.
  """
  if not runs:
    raise errors.UserError('There is no run to compare.')
  (name, first), *others = runs.items()
  kept = set(first.clips).intersection(*(run.clips for _, run in others))
  for other_name, other in others:
    where = f'{name} and {other_name} cannot be compared: '
    _refuse(where, _pair_faults(first, other, common))
  if not kept:
    raise errors.UserError(f'{", ".join(runs)} have no clip in common.')
  aligned, notes = {}, []
  for name, run in runs.items():
    rows = np.array([clip in kept for clip in run.clips])
    aligned[name] = run.only(rows).with_classes(first.classes)
    if not rows.all():
      notes.append(
        f'{name}: {np.sum(~rows)} of {len(rows)} clips are left out, because'
        ' other runs do not have them.'
      )
  return aligned, notes


def _pair_faults(
  first: Predictions, second: Predictions, common: bool
) -> Iterator[str]:
  if set(first.classes) != set(second.classes):
    yield (
      f'classes {", ".join(first.classes)} and {", ".join(second.classes)}.'
    )
  ours, theirs = (
    {
      clip: (run.classes[truth], subject)
      for clip, truth, subject in zip(
        run.clips, run.truth, run.subjects.tolist()
      )
    }
    for run in (first, second)
  )
  texts = []
  for which, one, other in (('first', ours, theirs), ('second', theirs, ours)):
    if alone := sorted(one.keys() - other.keys()):
      names = ', '.join(repr(clip_id) for _, clip_id in alone[:3])
      more = ', ...' if len(alone) > 3 else ''
      texts.append(f'{len(alone)} only in the {which} ({names}{more})')
  if texts and not common:
    yield (
      f'their clips differ: {"; ".join(texts)}. --common compares the clips'
      ' that all runs have.'
    )
  shared = [clip for clip in first.clips if clip in theirs]
  for part, what in enumerate(('truth', 'subject')):
    wrong = [clip for clip in shared if ours[clip][part] != theirs[clip][part]]
    if wrong:
      values = ours[wrong[0]][part], theirs[wrong[0]][part]
      yield (
        f'the {what} of {len(wrong)} clip(s) differs, the first'
        f' {wrong[0][1]!r} ({values[0]!r} and {values[1]!r}).'
      )
