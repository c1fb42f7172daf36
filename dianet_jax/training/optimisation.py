"""Optimisation of pretraining, and of what follows it."""

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import optax

from dianet_jax.core import config
from dianet_jax.core.arrays import AnyArray
from dianet_jax.training.state import State


@dataclasses.dataclass(frozen=True)
class SlowStart:
  """Pretrained parameters learn slowly in the first epochs after pretraining.

  Attributes:
    names: regular expression of the parameters' first names.
    factor: of their learning rate.
    epochs: number of those epochs.
  """

  names: str
  factor: float
  epochs: int

  def factors(self, epoch: Int[AnyArray, '']) -> Float[Array, '']:
    """The factor in an epoch after pretraining; negative before its end.

    >>> start = SlowStart('backbone', 0.5, epochs=2)
    >>> [float(start.factors(jnp.int32(epoch))) for epoch in (-1, 0, 1, 2)]
    [1.0, 0.5, 0.5, 1.0]
    """
    slow = (epoch >= 0) & (epoch < self.epochs)
    return jnp.where(slow, jnp.float32(self.factor), 1)

  def scaled(self, updates: Any, factor: Float[Array, '']) -> dict[str, Any]:
    """Multiplies updates of the pretrained parameters by `factor`.

    AdamW's update, weight decay included, is proportional to the learning rate.

    >>> start = SlowStart('backbone.*', 0.5, epochs=2)
    >>> scaled = start.scaled({'backbone_1': 2, 'fusion': 2}, jnp.array(0.5))
    >>> {name: float(value) for name, value in scaled.items()}
    {'backbone_1': 1.0, 'fusion': 2.0}
    """
    return {
      name: jax.tree.map(lambda leaf: leaf * factor, part)
      if re.fullmatch(self.names, name)
      else part
      for name, part in updates.items()
    }


def learning_rates(settings: config.Train, steps: int) -> optax.Schedule:
  """Linear warm-up, then cosine decay to 0 or a constant rate.

  Args:
    settings: the `train` section.
    steps: number of all steps, at least 1.

  Returns:
    Number of updates done -> learning rate.
  """
  # The cosine decay needs at least one step.
  warmup = min(round(settings.warmup_fraction * steps), steps - 1)
  peak = settings.learning_rate
  return optax.warmup_cosine_decay_schedule(
    init_value=0.0 if warmup else peak,
    peak_value=peak,
    warmup_steps=warmup,
    decay_steps=steps,
    end_value=peak if settings.schedule == 'constant' else 0.0,
  )


def adamw(
  learning_rates: optax.Schedule, weight_decay: float
) -> optax.GradientTransformation:
  """AdamW; biases and norm parameters (at most one axis) are not decayed."""
  return optax.adamw(
    learning_rates,
    weight_decay=weight_decay,
    mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
  )


def averaged(state: State, new: State, decay: float) -> Any:
  """The moving average of the variables after a step.

  A plain mean over the first 1 / (1 - decay) steps, then an exponential one
  (Polyak averaging), so that the untrained network does not contribute.

  Args:
    state: before the step.
    new: after the step.
    decay: `train.ema_decay`.

  Returns:
    As `State.average`.
  """
  if state.average is None:
    return None
  weight = jnp.maximum(1 - decay, 1 / (state.step + 1))
  return optax.incremental_update(new.current, state.average, weight)
