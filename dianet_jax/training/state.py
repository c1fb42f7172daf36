"""Arrays of one fold's training: data, index tables, state, batches, sums."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

from dianet_jax.core.arrays import AnyArray
from dianet_jax.training.randomness import OfFold


@flax.struct.dataclass
class Data:
  """The data of all clips, the same for all folds.

  Attributes:
    inputs: name -> float32 [variant, clip, ...], raw; the first variant has the
      annotated key frames, and is used for prediction.
    labels: class indices.
    pretrained: initial variables that replace random ones, by the model's
      names; {} for none.
  """

  inputs: Mapping[str, Float[AnyArray, '...']]
  labels: Int[AnyArray, '*device clip']
  pretrained: Mapping[str, Any] = flax.struct.field(default_factory=dict)

  @property
  def num_variants(self) -> int:
    """Number of variants of each clip."""
    return jax.tree.leaves(self.inputs)[0].shape[0]


@flax.struct.dataclass
class Fold:
  """One row of `folds.Folds` on a device, or several with a fold axis."""

  seed: UInt32[AnyArray, '*fold']
  subject_hash: UInt32[AnyArray, '*fold']
  train_index: Int[AnyArray, '*fold clip']
  train_valid: Bool[AnyArray, '*fold clip']
  validation_index: Int[AnyArray, '*fold validation_clip']
  validation_valid: Bool[AnyArray, '*fold validation_clip']
  test_index: Int[AnyArray, '*fold test_clip']
  class_weights: Float[AnyArray, '*fold class_']

  def key(self, purpose: OfFold) -> Key[Array, '']:
    """A key that depends only on the seed, the subject and the purpose."""
    key = jax.random.fold_in(jax.random.key(self.seed), self.subject_hash)
    return jax.random.fold_in(key, purpose)


@flax.struct.dataclass
class State:
  """All that changes during training.

  Attributes:
    step: number of finished steps.
    params: of the model.
    statistics: the model's other collections, such as batch statistics.
    opt_state: of the optimiser.
    objective: state of the objective; () for most.
    average: moving average of the variables; None if disabled.
  """

  step: Int[AnyArray, '*fold']
  params: Any
  statistics: Mapping[str, Any]
  opt_state: Any
  objective: Any = ()
  average: Any = None

  @property
  def current(self) -> dict[str, Any]:
    """The model's variables after the last step."""
    return {'params': self.params, **self.statistics}

  @property
  def variables(self) -> dict[str, Any]:
    """The model's variables for prediction."""
    return self.current if self.average is None else self.average


@flax.struct.dataclass
class Best:
  """The epoch with the lowest validation loss so far."""

  loss: Float[AnyArray, '*fold']
  variables: Any


@flax.struct.dataclass
class Batch:
  """The clips of one step, or of an epoch with a leading step axis.

  `clips` are their indices in the data. Slots that are not `valid` contain an
  arbitrary clip, to be ignored. The learning rate is data, so that the program
  of a step is the same for all rates and numbers of epochs, and is compiled
  once; None for the rate of `Trainer.schedule`. So is `slow`, the factor of
  `Trainer.slow_start`; None for 1.
  """

  inputs: Mapping[str, Float[Array, '...']]
  labels: Int[Array, '*step slot']
  valid: Bool[Array, '*step slot']
  clips: Int[Array, '*step slot']
  learning_rate: Float[Array, '*step'] | None = None
  slow: Float[Array, '*step'] | None = None


@flax.struct.dataclass
class Sums:
  """Sums over the clips of one or more steps, with any leading axes."""

  loss: Float[AnyArray, '*many']
  correct: Int[AnyArray, '*many']
  clips: Int[AnyArray, '*many']
