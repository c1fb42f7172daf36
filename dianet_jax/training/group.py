"""Folds that train at once: converts between devices and single folds.

Arrays on devices are [device, fold_on_device, ...], on the host [fold, ...].
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from dianet_jax.data import folds as folds_lib
from dianet_jax.training.results import (
  Diverged,
  FoldResult,
  History,
  Training,
  Unfinished,
)
from dianet_jax.training.state import Best, Fold, State, Sums


@dataclasses.dataclass
class Group:
  """Folds that train at once.

  Attributes:
    folds: `FoldParallel.group_size` folds.
    real: how many are not padding; those come first.
    fold: the same on the devices.
    state: on the devices.
    best: on the devices; None if no epoch is chosen.
    sums: a `Sums` for each finished step of the current epoch, on the devices.
    history: a `History` per epoch, of arrays [fold, ...]; the last entry is
      still a tuple of sums, validation loss and oracle on the devices.
    made_by: of each fold without padding, see `FoldResult`.
    empty: the history of one fold before its first epoch.
  """

  folds: folds_lib.Folds
  real: int
  fold: Fold
  state: State
  best: Best | None
  sums: list[Sums]
  history: list[Any]
  made_by: list[tuple[str, ...]]
  empty: History

  def fetch(self, index: int) -> None:
    """Copies an entry of the history to the host, waiting for it."""
    entry = self.history[index]
    if isinstance(entry, History):
      return
    sums, validation_loss, oracle = jax.tree.map(unfold, entry)
    added = jax.tree.map(lambda *x: np.sum(x, axis=0, dtype=x[0].dtype), *sums)
    self.history[index] = History(
      added.loss, added.correct, added.clips, validation_loss, oracle
    )

  def mean_loss(self, index: int) -> float:
    """Mean training loss of a fetched entry of the history, in nats.

    The mean is over the clips of all folds without padding.
    """
    entry = self.history[index]
    clips = entry.clips[: self.real].sum()
    return float(entry.loss[: self.real].sum() / max(clips, 1))

  def diverged(self, epochs: int) -> list[int]:
    """The first epoch, from 1, whose loss is NaN or infinite; 0 for none."""
    losses = [epoch.loss[: self.real] for epoch in self.history[:epochs]]
    bad = ~np.isfinite(np.array(losses).reshape(-1, self.real))
    return [int(c.argmax()) + 1 if c.any() else 0 for c in bad.T]

  def whole_history(self) -> History:
    """The history of all epochs, [fold, epoch, ...], with padding."""
    if not self.history:
      return jax.tree.map(
        lambda leaf: np.broadcast_to(leaf, (len(self.folds), *leaf.shape)),
        self.empty,
      )
    self.fetch(-1)
    return jax.tree.map(lambda *x: np.stack(x, axis=1), *self.history)

  def snapshot(self) -> list[Unfinished]:
    """The current state of every fold, copied to the host."""
    state, best = jax.tree.map(unfold, (self.state, self.best))
    training = Training(state=state, best=best, history=self.whole_history())
    partial = None
    if self.sums:
      sums = jax.tree.map(unfold, self.sums)
      partial = jax.tree.map(lambda *steps: np.stack(steps, axis=1), *sums)

    def of(row, tree):
      return jax.tree.map(lambda leaf: leaf[row], tree)

    return [
      Unfinished(
        subject, seed, of(row, training), self.made_by[row], of(row, partial)
      )
      for row, (subject, seed) in enumerate(
        zip(self.folds.subjects[: self.real], self.folds.seeds)
      )
    ]

  def results(
    self, variables: Any, probabilities: jax.Array
  ) -> list[FoldResult | Diverged]:
    """The result of each fold, without padding.

    Args:
      variables: used for prediction.
      probabilities: [device, fold_on_device, clip, class], of the held-out
        clips.
    """
    variables, probs = jax.tree.map(unfold, (variables, probabilities))
    history = self.whole_history()
    clips = np.maximum(history.clips, 1)
    loss, accuracy = history.loss / clips, history.correct / clips
    results = []
    for row, epoch in enumerate(self.diverged(len(self.history))):
      subject, seed = self.folds.subjects[row], self.folds.seeds[row]
      valid = self.folds.test_valid[row]
      own = jax.tree.map(lambda leaf, row=row: leaf[row], history)
      finite = np.isfinite(probs[row][valid]).all()
      if own.validation_loss is not None:
        # Without a finite validation loss there is no epoch to choose.
        finite &= np.isfinite(own.validation_loss).any()
      if epoch or not finite:
        results.append(Diverged(subject, seed, epoch or len(self.history)))
        continue
      oracle = own.oracle_probabilities
      results.append(
        FoldResult(
          subject=subject,
          seed=seed,
          variables=jax.tree.map(lambda leaf, row=row: leaf[row], variables),
          loss=loss[row].astype(np.float32),
          accuracy=accuracy[row].astype(np.float32),
          test_index=self.folds.test_index[row][valid],
          probabilities=probs[row][valid],
          validation_loss=own.validation_loss,
          oracle_probabilities=None if oracle is None else oracle[:, valid],
          made_by=self.made_by[row],
        )
      )
    return results


def along(tree: Any, number: int) -> list[Any]:
  """Splits arrays [fold, number, ...] into `number` trees of [fold, ...]."""
  return [
    jax.tree.map(lambda leaf, at=at: leaf[:, at], tree) for at in range(number)
  ]


def unfold(leaf: jax.Array) -> np.ndarray:
  """Copies [device, fold_on_device, ...] to [fold, ...] on the host.

  It must be a copy, because the next step donates the original.
  """
  return np.array(leaf).reshape(-1, *leaf.shape[2:])


def fold_arrays(folds: folds_lib.Folds) -> Fold:
  """Converts folds to arrays [fold, ...] on the host."""
  return Fold(
    seed=np.array(folds.seeds, np.uint32),
    subject_hash=folds.subject_hash,
    train_index=folds.train_index,
    train_valid=folds.train_valid,
    validation_index=folds.validation_index,
    validation_valid=folds.validation_valid,
    test_index=folds.test_index,
    class_weights=folds.class_weights,
  )
