"""Reads `predictions.csv`, and trusts nothing in it."""

from collections.abc import Iterator, Mapping
import csv
import dataclasses
import json
import math
import os
import pathlib

from jaxtyping import Bool, Float, Int, Shaped
import numpy as np

from dianet_jax.core import errors

_COLUMNS = ('seed', 'fold', 'dataset', 'clip_id', 'truth', 'prediction')
_PROBABILITY = 'p_'
# Probabilities are written with six digits; others may have written fewer.
_SUM_TOLERANCE = 1e-3
_TIE = 2e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
  """What a run said of every clip when its subject was held out.

  Attributes:
    seeds: ascending.
    clips: (data set, clip id), ascending, whatever the order of the file.
    subjects: of each clip.
    datasets: of each clip.
    classes: names, in the order of the file's columns.
    truth: class index of each clip.
    predictions: predicted class index.
    probabilities: of the classes, 0 to 1.
    remark: what `metrics.json` beside the file warns of (simulated data,
      shuffled labels), or ''.
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

  def only(self, rows: Bool[np.ndarray, ' clip']) -> 'Predictions':
    """The clips where `rows` is true."""
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
    """The same with the classes in another order."""
    old = [self.classes.index(name) for name in classes]
    new = np.argsort(old)
    return dataclasses.replace(
      self,
      classes=classes,
      truth=new[self.truth],
      predictions=new[self.predictions],
      probabilities=self.probabilities[..., old],
    )


@dataclasses.dataclass(frozen=True)
class _Row:
  line: int
  seed: int
  clip: tuple[str, str]
  subject: str
  truth: int
  prediction: int
  probabilities: tuple[float, ...]


def load(path: str | os.PathLike) -> Predictions:
  """Reads the predictions of a run; columns that it doesn't know are ignored.

  Args:
    path: a run's folder, or the file.

  Raises:
    errors.UserError: the file isn't there, or isn't what a run writes: a
      column is missing, a class unknown, a clip twice in a seed or in one seed
      only, probabilities that aren't, a prediction that isn't the most
      probable class.
  """
  file = pathlib.Path(path)
  if file.is_dir():
    file = file / 'predictions.csv'
  try:
    with file.open(newline='', encoding='utf-8-sig') as lines:
      reader = csv.DictReader(lines, strict=True)
      classes = _classes(file, reader.fieldnames or [])
      rows = list(_rows(file, reader, classes))
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    reason = getattr(error, 'strerror', None) or error
    raise errors.UserError(
      f'{file} cannot be read ({reason}); expected the folder of a finished'
      ' run, or its predictions.csv.'
    ) from error
  if not rows:
    raise errors.UserError(f'{file} has a header and no predictions.')
  return _arrange(file, rows, classes)


def _classes(file: pathlib.Path, columns: list[str]) -> tuple[str, ...]:
  """Class names, from the columns of probabilities."""
  twice = sorted({name for name in columns if columns.count(name) > 1})
  if twice:
    raise errors.UserError(f'{file}, line 1: column {twice[0]!r} occurs twice.')
  missing = [name for name in _COLUMNS if name not in columns]
  classes = tuple(
    name.removeprefix(_PROBABILITY)
    for name in columns
    if name.startswith(_PROBABILITY)
  )
  if not classes:
    missing.append('p_<class>')
  if missing:
    raise errors.UserError(
      f'{file}, line 1: no column {", ".join(missing)}; there are:'
      f' {", ".join(columns) or "none"}.'
    )
  return classes


def _rows(
  file: pathlib.Path, reader: csv.DictReader, classes: tuple[str, ...]
) -> Iterator[_Row]:
  for row in reader:
    where = f'{file}, line {reader.line_num}'
    if None in row or None in row.values():
      raise errors.UserError(
        f'{where}: expected {len(reader.fieldnames)} values, as in the header.'
      )
    try:
      seed = int(row['seed'])
    except ValueError as error:
      raise errors.UserError(
        f'{where}: seed {row["seed"]!r} is no whole number.'
      ) from error
    for key in ('truth', 'prediction'):
      if row[key] not in classes:
        raise errors.UserError(
          f'{where}: {key} {row[key]!r} is none of the classes that have a'
          f' column of probabilities ({", ".join(classes)}).'
        )
    prediction = classes.index(row['prediction'])
    yield _Row(
      line=reader.line_num,
      seed=seed,
      clip=(row['dataset'], row['clip_id']),
      subject=row['fold'],
      truth=classes.index(row['truth']),
      prediction=prediction,
      probabilities=_probabilities(where, row, classes, prediction),
    )


def _probabilities(
  where: str, row: dict[str, str], classes: tuple[str, ...], prediction: int
) -> tuple[float, ...]:
  texts = [row[_PROBABILITY + name] for name in classes]
  try:
    values = tuple(map(float, texts))
  except ValueError:
    values = ()
  # False for NaN, too.
  if not values or not all(0 <= value <= 1 for value in values):
    raise errors.UserError(
      f'{where}: probabilities {", ".join(texts)}; expected numbers from 0 to'
      ' 1.'
    )
  if abs(math.fsum(values) - 1) > _SUM_TOLERANCE:
    raise errors.UserError(
      f'{where}: probabilities {", ".join(texts)} add up to'
      f' {math.fsum(values):.6g}, not to 1.'
    )
  if values[prediction] < max(values) - _TIE:
    likely = classes[values.index(max(values))]
    raise errors.UserError(
      f'{where}: the prediction is {row["prediction"]!r}, but the most probable'
      f' class {likely!r}.'
    )
  return values


def _arrange(
  file: pathlib.Path, rows: list[_Row], classes: tuple[str, ...]
) -> Predictions:
  """One row a clip and seed, in order; every seed has every clip once."""
  first: dict[tuple[str, str], _Row] = {}
  seeds: dict[int, dict[tuple[str, str], _Row]] = {}
  for row in rows:
    other = seeds.setdefault(row.seed, {}).setdefault(row.clip, row)
    if other is not row:
      raise errors.UserError(
        f'{file}, line {row.line}: clip {row.clip[1]!r} was there for seed'
        f' {row.seed} in line {other.line} already.'
      )
    other = first.setdefault(row.clip, row)
    if (row.truth, row.subject) != (other.truth, other.subject):
      raise errors.UserError(
        f'{file}, line {row.line}: clip {row.clip[1]!r} has fold'
        f' {row.subject!r} and truth {classes[row.truth]!r}, but'
        f' {other.subject!r} and {classes[other.truth]!r} in line'
        f' {other.line}.'
      )
  for seed, held in seeds.items():
    missing = sorted(first.keys() - held.keys())
    if missing:
      raise errors.UserError(
        f'{file}: seed {seed} lacks {len(missing)} clip(s) that another seed'
        f' has, the first {missing[0][1]!r}; is the file complete?'
      )
  clips = sorted(first)
  table = [[seeds[seed][clip] for clip in clips] for seed in sorted(seeds)]
  return Predictions(
    seeds=tuple(sorted(seeds)),
    clips=tuple(clips),
    subjects=np.array([first[clip].subject for clip in clips]),
    datasets=np.array([dataset for dataset, _ in clips]),
    classes=classes,
    truth=np.array([first[clip].truth for clip in clips]),
    predictions=np.array([[row.prediction for row in line] for line in table]),
    probabilities=np.array(
      [[row.probabilities for row in line] for line in table]
    ),
    remark=_remark(file.with_name('metrics.json')),
  )


def _remark(path: pathlib.Path) -> str:
  """Simulated data are marked wherever their results appear."""
  try:
    summary = json.loads(path.read_text(encoding='utf-8'))
    marks = {
      'SIMULATED DATA': summary['simulated'],
      'CONTROL WITH SHUFFLED LABELS': summary.get('control', False),
    }
  except (OSError, ValueError, LookupError, AttributeError, TypeError):
    # The file is not needed, and may be of anyone's making.
    return ''
  return ', '.join(name for name, holds in marks.items() if holds is True)


def align(
  runs: Mapping[str, Predictions], common: bool = False
) -> tuple[dict[str, Predictions], list[str]]:
  """The same clips and the same order of classes in every run.

  Args:
    runs: name -> run.
    common: leave out the clips that not every run has.

  Returns:
    The runs, and a sentence for each run that lost clips.

  Raises:
    errors.UserError: what is compared must be the same, and is not.
  """
  if not runs:
    raise errors.UserError('There is no run to compare.')
  (name, first), *others = runs.items()
  kept = set(first.clips).intersection(*(run.clips for _, run in others))
  for other_name, other in others:
    pair = f'{name} and {other_name}'
    if set(other.classes) != set(first.classes):
      raise errors.UserError(
        f'{pair} cannot be compared: classes {", ".join(first.classes)} and'
        f' {", ".join(other.classes)}.'
      )
    if not common:
      _check_clips(pair, first, other)
    _check_same(pair, first, other)
  if not kept:
    raise errors.UserError(f'{", ".join(runs)} have no clip in common.')
  aligned, notes = {}, []
  for name, run in runs.items():
    rows = np.array([clip in kept for clip in run.clips])
    aligned[name] = run.only(rows).with_classes(first.classes)
    if not rows.all():
      notes.append(
        f'{name}: {np.sum(~rows)} of {len(rows)} clips left out, which not'
        ' every run has.'
      )
  return aligned, notes


def _check_clips(pair: str, first: Predictions, other: Predictions) -> None:
  differ = [
    sorted(set(one.clips) - set(two.clips))
    for one, two in ((first, other), (other, first))
  ]
  if not any(differ):
    return
  texts = []
  for clips, which in zip(differ, ('first', 'second')):
    if clips:
      names = ', '.join(repr(clip_id) for _, clip_id in clips[:3])
      more = ', ...' if len(clips) > 3 else ''
      texts.append(f'{len(clips)} only in the {which} ({names}{more})')
  raise errors.UserError(
    f'{pair} have not the same clips: {"; ".join(texts)}. --common compares'
    ' the clips that all runs have.'
  )


def _check_same(pair: str, first: Predictions, other: Predictions) -> None:
  """Truth and subject of the clips that both have."""

  def labels(run):
    truth = (run.classes[index] for index in run.truth)
    return dict(zip(run.clips, zip(truth, run.subjects.tolist())))

  ours, theirs = labels(first), labels(other)
  shared = [clip for clip in first.clips if clip in theirs]
  for what, part in (('truth', 0), ('subject', 1)):
    wrong = [c for c in shared if ours[c][part] != theirs[c][part]]
    if wrong:
      clip = wrong[0]
      raise errors.UserError(
        f'{pair} cannot be compared: the {what} of {len(wrong)} clip(s)'
        f' differs, the first {clip[1]!r} ({ours[clip][part]!r} and'
        f' {theirs[clip][part]!r}).'
      )
