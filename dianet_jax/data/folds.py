"""Folds as index tables: each holds out a subject, a group or a data set.

A fold has the indices of its *training clips only*: a held-out clip never
enters its fold's forward pass in training. A mask over a shared batch is not
enough: a batch of masked clips has NaN statistics, and 0 x Inf is NaN.
"""

from collections.abc import Collection, Mapping, Sequence
import dataclasses
import math
import zlib

from jaxtyping import Bool, Float32, Int, Int32, UInt32
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.core import errors
from dianet_jax.data import dataset as dataset_lib


@dataclasses.dataclass(frozen=True)
class Folds:
  """One fold per seed and subject, as arrays with a leading fold axis.

  Attributes:
    subjects: the held-out subject of each fold, or the name of the group.
    seeds: the seed of each fold.
    subject_hash: on which the fold's random numbers depend besides the seed, so
      that they do not depend on the order or the number of folds.
    train_index: indices of training clips, padded with the first of them to
      the largest number of any fold without validation clips.
    train_valid: False where `train_index` is padding.
    validation_index: indices of validation clips, of training subjects that are
      not trained on, padded likewise; of width 0 for none.
    validation_valid: False where `validation_index` is padding.
    test_index: indices of the held-out subject's clips, padded likewise.
    test_valid: False where `test_index` is padding.
    class_weights: from the fold's training clips only, with mean 1 over them; 0
      for a class without training clips.
  """

  subjects: tuple[str, ...]
  seeds: tuple[int, ...]
  subject_hash: UInt32[np.ndarray, ' fold']
  train_index: Int32[np.ndarray, 'fold clip']
  train_valid: Bool[np.ndarray, 'fold clip']
  validation_index: Int32[np.ndarray, 'fold validation_clip']
  validation_valid: Bool[np.ndarray, 'fold validation_clip']
  test_index: Int32[np.ndarray, 'fold test_clip']
  test_valid: Bool[np.ndarray, 'fold test_clip']
  class_weights: Float32[np.ndarray, 'fold class_']

  def __len__(self) -> int:
    return len(self.subjects)

  def select(self, rows: Sequence[int]) -> 'Folds':
    """The folds at `rows`, in that order, with the same padded widths."""
    index = np.asarray(rows, int)
    return Folds(
      subjects=tuple(self.subjects[row] for row in rows),
      seeds=tuple(self.seeds[row] for row in rows),
      **{
        field.name: getattr(self, field.name)[index]
        for field in dataclasses.fields(self)
        if field.name not in ('subjects', 'seeds')
      },
    )

  def absent_classes(self) -> list[tuple[str, int]]:
    """(subject, class index) of folds without a training clip of the class."""
    return sorted(
      {
        (self.subjects[fold], int(class_))
        for fold, class_ in zip(*np.nonzero(self.class_weights == 0))
      }
    )


def stable_hash(subject: str) -> int:
  """A 32-bit hash of a name, the same in every version of Python."""
  return zlib.crc32(subject.encode())


def _pad(
  rows: Sequence[np.ndarray], width: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  width = max(width, *map(len, rows))
  valid = np.arange(width) < np.array([[len(r)] for r in rows])
  if not valid.size:
    return valid.astype(np.int32), valid
  # Padding repeats a clip of the same row, because a held-out clip must not
  # enter the forward pass even with weight 0.
  index = np.repeat([row[:1] for row in rows], valid.shape[1], axis=1)
  index = index.astype(np.int32)
  index[valid] = np.concatenate(rows)
  return index, valid


def class_weights(
  counts: Int[np.ndarray, '*fold class_'],
  balance: str = 'inverse_frequency',
  beta: float = 0.99,
) -> Float32[np.ndarray, '*fold class_']:
  """The weight of a training clip by its class.

  With n clips of the class, inverse_frequency is 1 / n, as scikit-learn's
  'balanced', and effective_number is (1 - beta) / (1 - beta^n).

  Args:
    counts: training clips of each class.
    balance: 'none', 'inverse_frequency' or 'effective_number'.
    beta: 0 to below 1; only for effective_number.

  Returns:
    Weights with mean 1 over the clips; 0 for a class without clips.

  Source: Cui et al., "Class-Balanced Loss Based on Effective Number of
  Samples", CVPR 2019, eq. 4. There the weights of the classes have mean 1.
  """
  present = counts > 0
  if balance == 'none':
    return present.astype(np.float32)
  at_least_one = np.maximum(counts, 1)
  if balance == 'effective_number':
    weights = present * (1 - beta) / (1 - beta**at_least_one)
    total = counts.sum(axis=-1, keepdims=True)
    weights *= total / (weights * counts).sum(axis=-1, keepdims=True)
    return weights.astype(np.float32)
  weights = present.astype(np.float32)
  weights *= counts.sum(axis=-1, keepdims=True) / (
    present.sum(axis=-1, keepdims=True) * at_least_one
  )
  return weights.astype(np.float32)


def set_aside(
  subjects: Collection[str], share: float, seed: int, name: str
) -> list[str]:
  """Selects validation subjects among a fold's training subjects.

  Every data set of a composite ('<data set>/<subject>') is represented. The
  selection depends only on the seed, the fold's name and the subjects' names.

  Args:
    subjects: the training subjects.
    share: share of them, 0..1, rounded; at least one, at most all but one.
    seed: of the training.
    name: of the fold.

  Raises:
    UserError: fewer than two training subjects.
  """
  if len(subjects) < 2:
    raise errors.UserError(
      f'Fold {name} has {len(subjects)} training subject(s);'
      ' --config.evaluation.epochs=inner_split needs two or more. Use fixed.'
    )
  rng = np.random.default_rng([seed, stable_hash(name)])
  shuffled = rng.permutation(sorted(subjects)).tolist()
  # At equal steps in a list sorted by data set, so that all are represented.
  shuffled.sort(key=lambda subject: subject.rpartition('/')[0])
  number = min(max(round(share * len(subjects)), 1), len(subjects) - 1)
  places = (np.arange(number) + rng.random()) * len(subjects) / number
  return sorted(shuffled[math.floor(place)] for place in places)


def _check_classes(labels: Int[np.ndarray, ' clip']) -> None:
  if len(set(labels.tolist())) < 2:
    raise errors.UserError(
      f'All {len(labels)} clips are of one class: nothing can be learned.'
      ' Check --config.data.protocol against the emotions in the data set.'
    )


def hold_out(
  groups: Mapping[str, Collection[str]],
  subjects: Sequence[str],
  labels: Sequence[int] | np.ndarray,
  num_classes: int,
  seeds: Sequence[int] = (0,),
  balance: str = 'inverse_frequency',
  beta: float = 0.99,
  validation_share: float = 0.0,
) -> Folds:
  """Makes one fold for each group of held-out subjects and each seed.

  Args:
    groups: fold name -> held-out subjects; groups may overlap.
    subjects: subject of each clip.
    labels: class index of each clip.
    num_classes: number of classes.
    seeds: seeds of training.
    balance: see `class_weights`.
    beta: see `class_weights`.
    validation_share: share of the training subjects used for validation; 0 for
      none.

  Returns:
    The folds, [seed x group].

  Raises:
    UserError: all clips are of one class, or too few training subjects.
  """
  names, classes = np.asarray(subjects), np.asarray(labels, int)
  _check_classes(classes)
  rows = [(seed, name) for seed in seeds for name in groups]
  tested = [np.isin(names, list(groups[name])) for _, name in rows]
  aside = [np.zeros(len(subjects), bool) for _ in rows]
  if validation_share:
    aside = [
      np.isin(names, set_aside(set(names[~held_out]), validation_share, *row))
      for row, held_out in zip(rows, tested)
    ]
  train = [np.flatnonzero(~(t | a)) for t, a in zip(tested, aside)]
  # Padded as if there were no validation clips: their number varies with the
  # seed, but the number of steps must not.
  width = max(int(np.sum(~held_out)) for held_out in tested)
  train_index, train_valid = _pad(train, width)
  validation_index, validation_valid = _pad([*map(np.flatnonzero, aside)])
  test_index, test_valid = _pad([*map(np.flatnonzero, tested)])
  counts = np.stack(
    [np.bincount(classes[index], minlength=num_classes) for index in train]
  )
  return Folds(
    subjects=tuple(name for _, name in rows),
    seeds=tuple(seed for seed, _ in rows),
    subject_hash=np.array([stable_hash(name) for _, name in rows], np.uint32),
    train_index=train_index,
    train_valid=train_valid,
    validation_index=validation_index,
    validation_valid=validation_valid,
    test_index=test_index,
    test_valid=test_valid,
    class_weights=class_weights(counts, balance, beta),
  )


def leave_one_subject_out(
  subjects: Sequence[str],
  labels: Sequence[int] | np.ndarray,
  num_classes: int,
  **options,
) -> Folds:
  """Makes one fold for each seed and subject; subjects are sorted.

  Args:
    subjects: the subject of each clip.
    labels: class index of each clip.
    num_classes: how many classes there are.
    **options: of `hold_out`.

  Returns:
    The folds, [seed x subject].

  Raises:
    UserError: fewer than two subjects, or fewer than two classes.
  """
  names = sorted(set(subjects))
  if len(names) < 2:
    raise errors.UserError(
      f'Leave-one-subject-out needs at least two subjects, found {names}.'
      ' Check --config.data.manual_dir and --config.data.protocol.'
    )
  groups = {name: (name,) for name in names}
  return hold_out(groups, subjects, labels, num_classes, **options)


def leave_one_dataset_out(
  subjects: Sequence[str],
  labels: Sequence[int] | np.ndarray,
  num_classes: int,
  *,
  datasets: Sequence[str],
  **options,
) -> Folds:
  """Makes one fold for each seed and data set of a composite, sorted.

  Args:
    subjects: the subject of each clip.
    labels: class index of each clip.
    num_classes: how many classes there are.
    datasets: the data set of each clip; no subject is in two of them.
    **options: of `hold_out`.

  Returns:
    The folds, [seed x data set], each trained on all other data sets.

  Raises:
    UserError: there is only one data set, or fewer than two classes.
  """
  groups = {
    name: {s for s, d in zip(subjects, datasets) if d == name}
    for name in sorted(set(datasets))
  }
  if len(groups) < 2:
    raise errors.UserError(
      '--config.evaluation.protocol=cross_dataset needs clips of at least two'
      f' data sets; all are of {", ".join(groups)}. Choose a composite, such as'
      ' configs/megc2019.py, or leave_one_subject_out.'
    )
  return hold_out(groups, subjects, labels, num_classes, **options)


def of(
  config: configuration.Config,
  dataset: dataset_lib.Dataset,
  groups: Mapping[str, Collection[str]] | None = None,
) -> Folds:
  """The folds of a run, as `evaluation.protocol` says, or of groups.

  Args:
    config: of the run.
    dataset: its clips.
    groups: see `hold_out`.
  """
  evaluation = config.evaluation
  options = {
    'subjects': dataset.subjects,
    'labels': dataset.labels,
    'num_classes': len(dataset.classes),
    'seeds': config.training_seeds,
    'balance': config.train.class_balance,
    'beta': config.train.effective_number_beta,
    'validation_share': (
      evaluation.validation_share if evaluation.chooses_epoch else 0.0
    ),
  }
  if groups is not None:
    return hold_out(groups, **options)
  if evaluation.protocol == 'cross_dataset':
    datasets = [clip.dataset for clip in dataset.clips]
    return leave_one_dataset_out(datasets=datasets, **options)
  return leave_one_subject_out(**options)
