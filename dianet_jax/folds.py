"""Leave-one-subject-out folds as index tables.

A fold holds the indices of its *training clips only*: a held-out clip never
enters its fold's forward pass. A mask over a shared batch would not do: a
batch of masked clips has NaN statistics, and 0 x Inf is NaN.
"""

from collections.abc import Sequence
import dataclasses
import zlib

from jaxtyping import Bool, Float32, Int32, UInt32
import numpy as np

from dianet_jax import errors


@dataclasses.dataclass(frozen=True)
class Folds:
  """Folds, one a (seed, subject), as arrays with `fold` leading.

  Attributes:
    subjects: the held-out subject of each fold.
    seeds: the seed of each fold.
    subject_hash: what the fold's random numbers depend on besides the seed, so
      that they do not depend on the order or the number of folds.
    train_index: indices of training clips, padded with the first of them.
    train_valid: False where `train_index` is padding.
    test_index: indices of the held-out subject's clips, padded likewise.
    test_valid: False where `test_index` is padding.
    class_weights: from the fold's training clips alone, mean 1 over them; 0
      for a class that is absent there.
  """

  subjects: tuple[str, ...]
  seeds: tuple[int, ...]
  subject_hash: UInt32[np.ndarray, ' fold']
  train_index: Int32[np.ndarray, 'fold clip']
  train_valid: Bool[np.ndarray, 'fold clip']
  test_index: Int32[np.ndarray, 'fold test_clip']
  test_valid: Bool[np.ndarray, 'fold test_clip']
  class_weights: Float32[np.ndarray, 'fold class_']

  def __len__(self) -> int:
    return len(self.subjects)

  def select(self, rows: Sequence[int]) -> 'Folds':
    """The folds at `rows`, in that order; padding widths stay as they are."""
    rows = np.asarray(rows, int)
    return Folds(
      subjects=tuple(self.subjects[row] for row in rows),
      seeds=tuple(self.seeds[row] for row in rows),
      **{
        field.name: getattr(self, field.name)[rows]
        for field in dataclasses.fields(self)
        if field.name not in ('subjects', 'seeds')
      },
    )

  def absent_classes(self) -> list[tuple[str, int]]:
    """(subject, class) where a fold has no training clip of the class."""
    return sorted(
      {
        (self.subjects[fold], int(class_))
        for fold, class_ in zip(*np.nonzero(self.class_weights == 0))
      }
    )


def stable_hash(subject: str) -> int:
  """32 bits of `subject` that no version of Python changes."""
  return zlib.crc32(subject.encode())


def _pad(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  valid = np.arange(max(map(len, rows))) < np.array([[len(r)] for r in rows])
  # Padding repeats a clip of the row itself: a held-out clip must not enter
  # the forward pass even with weight 0.
  index = np.repeat([row[:1] for row in rows], valid.shape[1], axis=1)
  index = index.astype(np.int32)
  index[valid] = np.concatenate(rows)
  return index, valid


def leave_one_subject_out(
  subjects: Sequence[str],
  labels: Sequence[int],
  num_classes: int,
  seeds: Sequence[int] = (0,),
  balance_classes: bool = True,
) -> Folds:
  """One fold a subject and seed; subjects in sorted order within a seed.

  Args:
    subjects: the subject of each clip.
    labels: class index of each clip.
    num_classes: how many classes there are.
    seeds: one training of every fold for each.
    balance_classes: weigh clips inversely to their class's frequency among the
      fold's training clips, as scikit-learn's 'balanced' does.

  Returns:
    The folds, [seed x subject].

  Raises:
    UserError: fewer than two subjects, or fewer than two classes.
  """
  subjects, labels = np.asarray(subjects), np.asarray(labels, int)
  names = sorted(set(subjects.tolist()))
  if len(names) < 2:
    raise errors.UserError(
      f'Leave-one-subject-out needs two subjects or more, found {names}.'
      ' Check --config.data.manual_dir and --config.data.protocol.'
    )
  if len(set(labels.tolist())) < 2:
    raise errors.UserError(
      f'All {len(labels)} clips are of one class: nothing can be learned.'
      ' Check --config.data.protocol against the emotions in the data set.'
    )
  train = [np.flatnonzero(subjects != name) for name in names]
  train_index, train_valid = _pad(train)
  test_index, test_valid = _pad([np.flatnonzero(subjects == n) for n in names])
  counts = np.stack(
    [np.bincount(labels[index], minlength=num_classes) for index in train]
  )
  weights = (counts > 0).astype(np.float32)
  if balance_classes:
    present = weights.sum(axis=1, keepdims=True)
    total = counts.sum(axis=1, keepdims=True)
    weights *= total / (present * np.maximum(counts, 1))
  one_seed = Folds(
    subjects=tuple(names),
    seeds=(0,) * len(names),
    subject_hash=np.array([stable_hash(n) for n in names], np.uint32),
    train_index=train_index,
    train_valid=train_valid,
    test_index=test_index,
    test_valid=test_valid,
    class_weights=weights.astype(np.float32),
  )
  folds = one_seed.select(list(range(len(names))) * len(seeds))
  return dataclasses.replace(
    folds, seeds=tuple(s for s in seeds for _ in names)
  )
