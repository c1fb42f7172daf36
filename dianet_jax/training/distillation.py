"""Objectives for networks with auxiliary heads."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from dianet_jax.core import config, schema
from dianet_jax.models.registry import Outputs
from dianet_jax.training import objectives
from dianet_jax.training.objectives import (
  Batch,
  CrossEntropy,
  CrossEntropySettings,
  classification,
)

Logits = Float[Array, 'clip class_']
Features = Float[Array, 'clip feature']


@dataclasses.dataclass(frozen=True)
class AuxiliaryHeadsSettings(CrossEntropySettings):
  """Cross-entropy of the logits and of auxiliary heads."""

  name: str = 'auxiliary_heads'
  weight: float = schema.key(
    1.0, 'Weight of each auxiliary head.', schema.at_least(0)
  )


@dataclasses.dataclass(frozen=True)
class AuxiliaryHeads:
  """`CrossEntropy`, and the same of `auxiliary['logits']`; no state."""

  settings: AuxiliaryHeadsSettings = AuxiliaryHeadsSettings()
  Settings: ClassVar[type[config.Objective]] = AuxiliaryHeadsSettings

  def init(
    self, variables: Any, outputs: Outputs, key: Key[Array, '']
  ) -> tuple[()]:
    """No state.

    Raises:
      UserError: the model has no such heads.
    """
    del variables, key
    objectives.require(outputs, self.settings.name, 'logits')
    return ()

  def __call__(
    self, outputs: Outputs, batch: Batch, state: tuple[()]
  ) -> tuple[Float[Array, ''], tuple[()]]:
    """The sum over heads of the means over valid clips."""
    entropy = CrossEntropy(self.settings)
    loss, state = entropy(outputs, batch, state)
    heads = outputs.auxiliary['logits']
    if not heads.shape[1]:
      return loss, state
    # Heads are averaged like views.
    mean, state = entropy(
      dataclasses.replace(outputs, logits=heads, present=None), batch, state
    )
    return loss + self.settings.weight * heads.shape[1] * mean, state


@dataclasses.dataclass(frozen=True)
class SelfDistillationSettings(config.Objective):
  """Focal loss, with branches that learn from the complete network."""

  name: str = 'self_distillation'
  focal_gamma: float = schema.key(
    2.0, 'Reduces the weight of correct clips. Measured.', schema.at_least(0)
  )
  alpha: float = schema.key(
    0.1,
    "Weight of the network's probabilities relative to labels.",
    schema.SHARE,
  )
  temperature: float = schema.key(
    3.0, 'Divisor of the logits for these probabilities.', schema.ABOVE_ZERO
  )
  beta: float = schema.key(
    1e-6,
    'Weight of the distance of features; it is summed over the batch, so it'
    ' grows with train.batch_size.',
    schema.at_least(0),
  )


def focal(logits: Logits, batch: Batch, gamma: float) -> Float[Array, '']:
  """Focal loss, weighted by class.

  Args:
    logits: of each clip.
    batch: labels, class weights, and which clips are valid.
    gamma: exponent of the focal loss; 0 for cross-entropy.

  Returns:
    The mean over the valid clips, in nats.
  """

  def summed(labels: Int[Array, ' clip'], weight: Float[Array, ' clip']):
    losses = classification(logits, labels, batch.class_weights, 0.0, gamma)
    weight = jnp.where(batch.valid, weight, 0)
    losses = jnp.where(batch.valid, losses, 0)
    return jnp.stack(
      [(weight * losses).sum(), (weight * batch.class_weights[labels]).sum()]
    )

  loss, weight = summed(batch.labels, batch.own_weight) + summed(
    batch.partner_labels, 1 - batch.own_weight
  )
  return loss / jnp.where(weight > 0, weight, 1)


def divergence(
  teacher: Logits, student: Logits, batch: Batch, temperature: float
) -> Float[Array, '']:
  """KL divergence of the student's from the teacher's probabilities.

  Args:
    teacher: logits of each clip.
    student: logits of each clip.
    batch: which clips are valid.
    temperature: divisor of the logits.

  Returns:
    The mean over the valid clips, in nats.
  """
  target, predicted = (
    jax.nn.log_softmax(logits / temperature) for logits in (teacher, student)
  )
  losses = (jnp.exp(target) * (target - predicted)).sum(axis=-1)
  total = jnp.where(batch.valid, losses, 0).sum()
  return total / jnp.maximum(batch.valid.sum(), 1)


def distance(
  teacher: Features, student: Features, batch: Batch
) -> Float[Array, '']:
  """Squared distance of features.

  Args:
    teacher: features of each clip.
    student: features of each clip.
    batch: which clips are valid.

  Returns:
    The sum over the valid clips and those features that are positive in one of
    both.
  """
  squares = jnp.where(
    (student > 0) | (teacher > 0), (student - teacher) ** 2, 0
  )
  return jnp.where(batch.valid[:, None], squares, 0).sum()


@dataclasses.dataclass(frozen=True)
class SelfDistillation:
  """The loss of SKD-TSTSAN; no state.

  With y and f the logits and features of the network and a and g those of a
  branch, it is FL(y) + the sum over the branches of

      (1 - alpha) FL(a) + alpha T^2 KL(y / T || a / T) + beta |g - f|^2,

  y and f of the last two terms without gradient.

  Source: Zhu et al., arXiv 2406.17538, and its code.
  """

  settings: SelfDistillationSettings = SelfDistillationSettings()
  Settings: ClassVar[type[config.Objective]] = SelfDistillationSettings

  def init(
    self, variables: Any, outputs: Outputs, key: Key[Array, '']
  ) -> tuple[()]:
    """No state.

    Raises:
      UserError: the model has no branches.
    """
    del variables, key
    objectives.require(
      outputs, self.settings.name, 'logits', 'features', 'head_features'
    )
    return ()

  def __call__(
    self, outputs: Outputs, batch: Batch, state: tuple[()]
  ) -> tuple[Float[Array, ''], tuple[()]]:
    """The loss over the valid clips."""
    s = self.settings
    logits, features = outputs.logits[:, 0], outputs.auxiliary['features']
    loss = focal(logits, batch, s.focal_gamma)
    teacher = jax.lax.stop_gradient(logits)
    taught = jax.lax.stop_gradient(features)
    heads = outputs.auxiliary['logits'], outputs.auxiliary['head_features']
    for branch in range(heads[0].shape[1]):
      student, learnt = (head[:, branch] for head in heads)
      by_label = focal(student, batch, s.focal_gamma)
      by_teacher = divergence(teacher, student, batch, s.temperature)
      loss += (1 - s.alpha) * by_label
      loss += s.alpha * s.temperature**2 * by_teacher
      loss += s.beta * distance(taught, learnt, batch)
    return loss, state
