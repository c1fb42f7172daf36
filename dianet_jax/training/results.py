"""Host-side outcome of one fold: finished, interrupted or diverged."""

import dataclasses
from typing import Any

import flax.struct
import numpy as np

from dianet_jax.training.state import Best, State, Sums


@flax.struct.dataclass
class History:
  """What is noted of every epoch; [epoch] leads.

  Attributes:
    loss: float32, summed over the training clips, in nats.
    correct: int32, training clips, augmented, that were right in training.
    clips: int32, training clips.
    validation_loss: float32, on the clips set aside, in nats; None where none
      are.
    oracle_probabilities: float32 [epoch, clip, class], of the held-out clips;
      None unless asked for. For the oracle figure alone.
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
    accuracy: float32 [epoch], share of training clips, augmented, in training.
    test_index: int32 [clip], the held-out subject's clips.
    probabilities: float32 [clip, class], of those clips.
    validation_loss: float32 [epoch], on the clips set aside, in nats; None
      where none are. The first of the lowest gave variables and probabilities.
    oracle_probabilities: float32 [epoch, clip, class], of the held-out clips
      after every epoch; None unless asked for. For the oracle figure alone.
    made_by: dtype, strategy and kind of device that trained it; several where
      it went on elsewhere.
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
    """The epoch that predicts, from 1."""
    if self.validation_loss is None:
      return len(self.loss)
    return int(np.nanargmin(self.validation_loss)) + 1

  def without_variables(self) -> 'FoldResult':
    """On disk they are safe; those of 26 dual ResNet-18 fill gigabytes."""
    return dataclasses.replace(self, variables={})


@flax.struct.dataclass
class Training:
  """All that a training needs to go on; random keys follow from the step.

  Attributes:
    state: after the last epoch.
    best: the epoch with the lowest validation loss; None where none is chosen.
    history: of the epochs so far.
  """

  state: State
  best: Best | None
  history: History


@dataclasses.dataclass(frozen=True)
class Unfinished:
  """One fold in the middle of its training.

  Attributes:
    subject: the held-out subject.
    seed: of this training.
    training: its arrays.
    made_by: see `FoldResult`.
    partial: [step], of the steps done of an epoch that was broken off; None
      where the last epoch is whole.
  """

  subject: str
  seed: int
  training: Training
  made_by: tuple[str, ...] = ()
  partial: Sums | None = None

  @property
  def epochs(self) -> int:
    """How many are done."""
    return len(self.training.history.loss)

  @property
  def steps(self) -> int:
    """How many are done of the next epoch."""
    return 0 if self.partial is None else len(self.partial.loss)

  @property
  def progress(self) -> tuple[int, int]:
    """Epochs and steps: only folds that are equally far train together."""
    return self.epochs, self.steps


@dataclasses.dataclass(frozen=True)
class Diverged:
  """A fold whose loss or prediction became NaN or infinite.

  Attributes:
    subject: the held-out subject.
    seed: of this training.
    epoch: in which it was seen, from 1.
  """

  subject: str
  seed: int
  epoch: int
