"""Host-side outcome of one fold: finished, interrupted or diverged."""

import dataclasses
from typing import Any

import flax.struct
import numpy as np

from dianet_jax.training.state import Best, State, Sums


@flax.struct.dataclass
class History:
  """Records of every epoch, with a leading axis [epoch].

  Attributes:
    loss: float32, sum over the training clips, in nats.
    correct: int32, number of augmented training clips classified correctly.
    clips: int32, number of training clips.
    validation_loss: float32, on the validation clips, in nats; None without
      validation clips.
    oracle_probabilities: float32 [epoch, clip, class], of the held-out clips;
      None unless enabled. Only for the oracle.
  """

  loss: Any
  correct: Any
  clips: Any
  validation_loss: Any = None
  oracle_probabilities: Any = None


@dataclasses.dataclass(frozen=True)
class FoldResult:
  """One trained fold.

  Attributes:
    subject: the held-out subject.
    seed: of this training.
    variables: parameters and batch statistics.
    loss: float32 [epoch], mean over the training clips, in nats.
    accuracy: float32 [epoch], 0..1, on augmented training clips.
    test_index: int32 [clip], indices of the held-out subject's clips.
    probabilities: float32 [clip, class], of those clips, 0..1.
    validation_loss: float32 [epoch], on the validation clips, in nats; None
      without validation clips. Variables and probabilities are those of the
      epoch with the lowest, of ties the first.
    oracle_probabilities: float32 [epoch, clip, class], of the held-out clips
      after every epoch; None unless enabled. Only for the oracle.
    made_by: dtype, strategy and kind of device that trained it; several if it
      was resumed with others.
  """

  subject: str
  seed: int
  variables: dict[str, Any]
  loss: np.ndarray
  accuracy: np.ndarray
  test_index: np.ndarray
  probabilities: np.ndarray
  validation_loss: np.ndarray | None = None
  oracle_probabilities: np.ndarray | None = None
  made_by: tuple[str, ...] = ()

  @property
  def epoch(self) -> int:
    """Number of the epoch that predicts, from 1."""
    if self.validation_loss is None:
      return len(self.loss)
    return int(np.nanargmin(self.validation_loss)) + 1

  def without_variables(self) -> 'FoldResult':
    """The same without variables, which fill gigabytes and are on disk."""
    return dataclasses.replace(self, variables={})


@flax.struct.dataclass
class Training:
  """Everything needed to resume a training; random keys depend on the step.

  Attributes:
    state: after the last step.
    best: the epoch with the lowest validation loss; None if none is chosen.
    history: of the complete epochs.
  """

  state: State
  best: Best | None
  history: History


@dataclasses.dataclass(frozen=True)
class Unfinished:
  """One fold that is not completely trained.

  Attributes:
    subject: the held-out subject.
    seed: of this training.
    training: its arrays.
    made_by: see `FoldResult`.
    partial: [step], sums of the finished steps of an interrupted epoch; None
      if the last epoch is complete.
  """

  subject: str
  seed: int
  training: Training
  made_by: tuple[str, ...] = ()
  partial: Sums | None = None

  @property
  def epochs(self) -> int:
    """Number of finished epochs."""
    return len(self.training.history.loss)

  @property
  def steps(self) -> int:
    """Number of finished steps of the next epoch."""
    return 0 if self.partial is None else len(self.partial.loss)

  @property
  def progress(self) -> tuple[int, int]:
    """Epochs and steps: only folds of equal progress train together."""
    return self.epochs, self.steps


@dataclasses.dataclass(frozen=True)
class Diverged:
  """A fold whose loss or prediction became NaN or infinite.

  Attributes:
    subject: the held-out subject.
    seed: of this training.
    epoch: number of the first epoch that is not finite, from 1.
  """

  subject: str
  seed: int
  epoch: int
