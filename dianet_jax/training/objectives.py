"""Objectives, which training minimises; each is a class and a registry row.

An objective is a frozen dataclass constructed from its settings, with

    init(variables, outputs, key) -> state   arrays of one fold, checkpointed
    __call__(outputs, batch, state) -> (loss, state)

The loss is a scalar over the batch, with padding masked. Most objectives have
no state: (). One that depends on all training clips of a fold also has the
method of `Fitted`.
"""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any, ClassVar, Protocol, runtime_checkable

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key
import optax

from dianet_jax.core import config, errors, registry, schema
from dianet_jax.models.registry import Outputs, mean_of


@flax.struct.dataclass
class Batch:
  """The batch, as an objective sees it besides the model's outputs.

  Attributes:
    inputs: name -> input of the model, augmented and scaled.
    labels: class indices.
    partner_labels: class indices of the clips blended in by mixup.
    own_weight: 0.5..1, weight of `labels`; the rest is that of
      `partner_labels`. 1 without mixup.
    valid: which clips are not padding.
    clips: indices of the clips in the data.
    class_weights: of the fold's training clips; see `folds.class_weights`.
    variables: of the model before this step; differentiable.
    key: random key of the objective in this step.
    apply: (variables, inputs, train) -> Outputs, without updating statistics;
      for momentum copies and second views.
    pretraining: whether this step is one of `Trainer.pretraining_epochs`.
  """

  inputs: Mapping[str, Array]
  labels: Int[Array, ' clip']
  partner_labels: Int[Array, ' clip']
  own_weight: Float[Array, ' clip']
  valid: Bool[Array, ' clip']
  clips: Int[Array, ' clip']
  class_weights: Float[Array, ' class_']
  variables: Any
  key: Key[Array, '']
  apply: Callable[..., Outputs] = flax.struct.field(pytree_node=False)
  pretraining: bool = flax.struct.field(pytree_node=False, default=False)

  def mean(self, loss_of: Callable[[Int[Array, ' clip']], Array]) -> Array:
    """Mean over valid clips of a loss [clip], blended like the labels.

    Args:
      loss_of: labels [clip] -> loss of each clip, in nats.
    """
    own = loss_of(self.labels)
    other = loss_of(self.partner_labels)
    losses = self.own_weight * own + (1 - self.own_weight) * other
    total = jnp.where(self.valid, losses, 0).sum()
    return total / jnp.maximum(self.valid.sum(), 1)


@flax.struct.dataclass
class TrainingClips:
  """The training clips of a fold before training, as `Fitted` sees them.

  Attributes:
    inputs: name -> input of the model, scaled and not augmented, from the
      annotated key frames; 0 for padding.
    valid: which clips are not padding.
    key: random key of the fold.
    slots: clips of a step, valid or not.
  """

  inputs: Mapping[str, Array]
  valid: Bool[Array, ' clip']
  key: Key[Array, '']
  slots: int = flax.struct.field(pytree_node=False)


class Objective(Protocol):
  """Interface of objectives; `Settings` is a subclass of `config.Objective`."""

  Settings: ClassVar[type[config.Objective]]

  def __init__(self, settings: Any): ...

  @property
  def settings(self) -> config.Objective:
    """An instance of `Settings`."""
    ...

  def init(self, variables: Any, outputs: Outputs, key: Key[Array, '']) -> Any:
    """The state before the first step.

    Args:
      variables: of the untrained model.
      outputs: of a batch, for their shapes and dtypes.
      key: a random key.
    """
    ...

  def __call__(
    self, outputs: Outputs, batch: Batch, state: Any
  ) -> tuple[Float[Array, ''], Any]:
    """Computes the loss.

    Args:
      outputs: of the model.
      batch: the batch.
      state: before this step.

    Returns:
      The loss in nats, and the state after this step.
    """
    ...


@runtime_checkable
class Fitted(Protocol):
  """What an objective has besides that is fitted to a fold's training clips."""

  def fitted(self, state: Any, outputs: Outputs, clips: TrainingClips) -> Any:
    """The state before the first step.

    Args:
      state: of `Objective.init`.
      outputs: of a batch, for their shapes and dtypes.
      clips: of the fold. Its held-out clips must not be used.
    """
    ...


def require(outputs: Outputs, objective: str, *names: str) -> None:
  """Checks that the model has the outputs that an objective reads.

  Args:
    outputs: of the model.
    objective: name of the objective.
    *names: required entries of `outputs.auxiliary`.

  Raises:
    UserError: an entry is missing.
  """
  missing = [name for name in names if name not in outputs.auxiliary]
  if missing:
    raise errors.UserError(
      f'--config.objective.name={objective!r} needs the auxiliary outputs'
      f' {", ".join(missing)}, which this model does not have. Choose another'
      ' --config.model.name or --config.objective.name.'
    )


def require_two_views(objective: str, views: int) -> None:
  """Checks that an objective that compares two views has two.

  Args:
    objective: name of the objective.
    views: of the model.

  Raises:
    UserError: it has another number.
  """
  if views != 2:
    raise errors.UserError(
      f'--config.objective.name={objective!r} compares two views, but the'
      f' model has {views}, by --config.data.phases and'
      ' --config.data.frame_order. Set two phases, or choose another objective.'
    )


def classification(
  logits: Float[Array, '*batch class_'],
  labels: Int[Array, '*batch'],
  class_weights: Float[Array, ' class_'],
  label_smoothing: float = 0.0,
  focal_gamma: float = 0.0,
) -> Float[Array, '*batch']:
  """Weighted softmax cross-entropy or focal loss of each sample, in nats.

  With targets t and probabilities p of the classes c, the loss of a sample is

      w sum_c -t_c (1 - p_c)^gamma log p_c.

  Args:
    logits: float [*batch, class].
    labels: int [*batch], class indices.
    class_weights: weight w of each true class; 0 ignores its samples.
    label_smoothing: share of the target spread evenly over all classes, 0..1.
    focal_gamma: at least 0; 0 is cross-entropy.

  Returns:
    float [*batch], at least 0.

  Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq.
  4. There targets are one class; the sum over smoothed targets is ours.
  """
  targets = optax.smooth_labels(
    jnp.eye(logits.shape[-1], dtype=logits.dtype)[labels], label_smoothing
  )
  if focal_gamma:
    log_probs = jax.nn.log_softmax(logits)
    # 1 - p as exp(log(1 - p)): the power of an exact 0 has no gradient.
    others = jnp.log1p(-jnp.minimum(jnp.exp(log_probs), 1 - 1e-6))
    losses = -(targets * jnp.exp(focal_gamma * others) * log_probs).sum(-1)
  else:
    losses = optax.softmax_cross_entropy(logits, targets)
  return losses * class_weights[labels]


@dataclasses.dataclass(frozen=True)
class CrossEntropySettings(config.Objective):
  """Softmax cross-entropy and focal loss."""

  name: str = 'cross_entropy'
  label_smoothing: float = schema.key(
    0.1,
    'Fraction of the target spread evenly over all classes. Ours.',
    schema.BELOW_ONE,
  )
  focal_gamma: float = schema.key(
    0.0,
    'Gamma of the focal loss (Lin et al., 2017), which reduces the weight of'
    ' correct clips; 0 = cross-entropy. Ours.',
    schema.between(0, 100),
  )


def _as_in_train(name: str, valid: schema.Check) -> schema.Check:
  """-1, which stands for `train.<name>`, or a value that is valid there."""
  return schema.Check(
    lambda value: value == -1 or valid.holds(value),
    f'-1 (train.{name}), or {valid.expected}',
  )


@dataclasses.dataclass(frozen=True)
class PretrainingSettings(config.Objective):
  """Settings of every objective that first pretrains parts of the model."""

  pretraining: float = schema.key(
    0.5,
    'Fraction of train.epochs for pretraining the streams; the others train the'
    ' complete network with cross-entropy. Each part has its own learning rate'
    ' schedule.',
    schema.BELOW_ONE,
  )
  pretraining_learning_rate: float = schema.key(
    -1.0,
    'Peak learning rate of pretraining; -1 = train.learning_rate.',
    _as_in_train('learning_rate', schema.ABOVE_ZERO),
  )
  pretraining_weight_decay: float = schema.key(
    -1.0,
    'Weight decay of pretraining; -1 = train.weight_decay.',
    _as_in_train('weight_decay', schema.at_least(0)),
  )
  pretraining_warmup: float = schema.key(
    -1.0,
    'Fraction of the steps of pretraining during which the learning rate rises;'
    ' -1 = train.warmup_fraction.',
    _as_in_train('warmup_fraction', schema.BELOW_ONE),
  )
  stream_rate: float = schema.key(
    1.0,
    'Factor of the learning rate of the pretrained streams in the first'
    ' stream_epochs epochs after pretraining; 1 = that of all others.',
    schema.Check(lambda value: 0 <= value <= 1, '0 (frozen) to 1'),
  )
  stream_epochs: int = schema.key(
    10, 'Number of epochs with stream_rate.', schema.at_least(0)
  )


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
  """Cross-entropy; each view of a clip is a sample of its class; no state."""

  settings: CrossEntropySettings = CrossEntropySettings()
  Settings: ClassVar[type[config.Objective]] = CrossEntropySettings

  def init(
    self, variables: Any, outputs: Outputs, key: Key[Array, '']
  ) -> tuple[()]:
    """No state."""
    del variables, outputs, key
    return ()

  def __call__(
    self, outputs: Outputs, batch: Batch, state: tuple[()]
  ) -> tuple[Float[Array, ''], tuple[()]]:
    """The mean over valid clips of the mean over their views.

    Views that a clip does not have, and clips that have none, do not count.
    """
    present = outputs.present
    if present is not None:
      counted = batch.valid & present.any(axis=1)
      batch = dataclasses.replace(batch, valid=counted)

    def loss_of(labels):
      views = outputs.logits.shape[1]
      losses = classification(
        outputs.logits,
        jnp.repeat(labels[:, None], views, axis=1),
        batch.class_weights,
        self.settings.label_smoothing,
        self.settings.focal_gamma,
      )
      if present is None:
        return losses.mean(axis=1)
      return mean_of(losses, present)

    return batch.mean(loss_of), state


OBJECTIVES: registry.Registry[type[Objective]] = registry.Registry(
  'objective',
  'objective.name',
  {
    'cross_entropy': CrossEntropy,
    'cross_phase': 'dianet_jax.training.cross_phase:CrossPhase',
    'phase_contrast': 'dianet_jax.training.phase_contrast:PhaseContrast',
    'auxiliary_heads': 'dianet_jax.training.distillation:AuxiliaryHeads',
    'self_distillation': 'dianet_jax.training.distillation:SelfDistillation',
  },
)
