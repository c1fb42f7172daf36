"""Pretraining by contrast between the phases of a clip, then cross-entropy."""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key
import optax

from dianet_jax.core import config, schema
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import cots
from dianet_jax.training import contrastive, objectives
from dianet_jax.training.objectives import Batch

Images = Float[Array, 'clip height width channel']


@dataclasses.dataclass(frozen=True)
class Settings(objectives.CrossEntropySettings):
  """COTS between phases, then cross-entropy. All numbers are ours."""

  name: str = 'cross_phase'
  pretraining: float = schema.key(
    0.5,
    'Fraction of train.epochs for pretraining the streams; the others train the'
    ' complete network with cross-entropy. Each part has its own learning rate'
    ' schedule.',
    schema.BELOW_ONE,
  )
  queue: int = schema.key(
    128,
    'Number of clips with which each clip is compared; less than the number of'
    ' training clips.',
    schema.at_least(1),
  )
  momentum: float = schema.key(
    0.99,
    'Momentum of the copy of the network that fills the queue.',
    schema.BELOW_ONE,
  )
  temperature: float = schema.key(
    0.07, 'Divisor of the similarities between phases.', schema.ABOVE_ZERO
  )
  masked: float = schema.key(
    0.4, 'Fraction of the cells of an image to hide.', schema.BELOW_ONE
  )


@dataclasses.dataclass(frozen=True)
class CrossPhase:
  """COTS's three losses while `Batch.pretraining`, then `CrossEntropy`.

  The losses have the same weight: momentum contrast between phases, agreement
  of both phases' similarities to the queue (once that is full), and hidden
  cells of one phase predicted with the help of the other.

  The state is a copy of the variables, a queue of projections with the indices
  of their clips, -1 where it is empty, and the number of clips that entered it.

  Source: COTS, Lu et al., arXiv 2204.07441, which has images and texts.
  """

  settings: Settings = Settings()
  Settings: ClassVar[type[config.Objective]] = Settings

  def init(
    self, variables: Any, outputs: Outputs, key: Key[Array, '']
  ) -> dict[str, Any]:
    """An empty queue.

    Raises:
      UserError: the model has no heads for pretraining.
    """
    del key
    objectives.require(outputs, self.settings.name, 'projections', 'cells')
    views, width = outputs.auxiliary['projections'].shape[1:]
    return {
      'copy': variables,
      'queue': jnp.zeros((views, self.settings.queue, width)),
      'clips': jnp.full(self.settings.queue, -1, jnp.int32),
      'entered': jnp.zeros((), jnp.int32),
    }

  def __call__(
    self, outputs: Outputs, batch: Batch, state: dict[str, Any]
  ) -> tuple[Float[Array, ''], dict[str, Any]]:
    """The loss over the valid clips."""
    if batch.pretraining:
      return self._pretraining(outputs, batch, state)
    loss, _ = objectives.CrossEntropy(self.settings)(outputs, batch, ())
    return loss, state

  def _pretraining(self, outputs, batch, state):
    s = self.settings
    params = optax.incremental_update(
      batch.variables['params'], state['copy']['params'], 1 - s.momentum
    )
    copy = jax.lax.stop_gradient({**batch.variables, 'params': params})
    keys = _projections(batch.apply(copy, batch.inputs, True))
    keys = jax.lax.stop_gradient(keys)
    queries = _projections(outputs)
    first, second = (
      contrastive.queue_logits(
        queries[:, view],
        keys[:, 1 - view],
        state['queue'][1 - view],
        s.temperature,
        batch.clips,
        state['clips'],
      )
      for view in (0, 1)
    )
    [images] = batch.inputs.values()
    # Without any motion in a phase there is nothing to compare.
    both = batch.valid & (images != 0).any(axis=(2, 3, 4)).all(axis=1)
    contrast = contrastive.instance_loss(first, both)
    contrast += contrastive.instance_loss(second, both)
    agreement = contrastive.task_loss(first, second, both)
    agreement += contrastive.task_loss(second, first, both)
    full = state['entered'] >= s.queue
    entered = jnp.where(both, batch.clips, -1)
    loss = contrast + jnp.where(full, agreement, 0)
    loss += self._prediction(outputs, batch)
    return loss, {
      'copy': copy,
      'queue': jnp.concatenate([keys.swapaxes(0, 1), state['queue']], axis=1)[
        :, : s.queue
      ],
      'clips': jnp.concatenate([entered, state['clips']])[: s.queue],
      'entered': state['entered'] + both.sum(),
    }

  def _prediction(self, outputs: Outputs, batch: Batch) -> Float[Array, '']:
    """Mean squared error of hidden cells, whose variance is 1; both phases.

    One phase is hidden at a time, so that the other one can help.
    """
    [(name, images)] = batch.inputs.items()
    clips, _, number, _ = outputs.auxiliary['cells'].shape
    total = jnp.zeros(())
    for view in (0, 1):
      order = jax.random.uniform(
        jax.random.fold_in(batch.key, view), (clips, number)
      ).argsort(axis=1)
      hidden = order < round(self.settings.masked * number)
      covered = images.at[:, view].set(cover(images[:, view], hidden))
      predicted = batch.apply(batch.variables, {name: covered}, True)
      predicted = predicted.auxiliary['cells'][:, view].astype(jnp.float32)
      errors = (predicted - cells(images[:, view], number)) ** 2
      counted = hidden & batch.valid[:, None]
      errors = jnp.where(counted, errors.mean(axis=-1), 0).sum()
      total += errors / jnp.maximum(counted.sum(), 1)
    return total


def _projections(outputs: Outputs) -> Float[Array, 'clip view feature']:
  projections = outputs.auxiliary['projections'].astype(jnp.float32)
  return contrastive.normalised(projections)


def cells(images: Images, number: int) -> Float[Array, 'clip cell pixel']:
  """Cuts images into cells, each with mean 0 and variance 1.

  >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
  >>> (cells(x, 4) * 2.0616).round()[0].astype(int).tolist()
  [[-3, -2, 2, 3], [-3, -2, 2, 3], [-3, -2, 2, 3], [-3, -2, 2, 3]]

  Args:
    images: of any size; the last rows and columns are repeated to fill cells.
    number: of cells, the square of a whole number.

  Returns:
    Row by row; 0 where all pixels of a cell are equal.
  """
  rows = math.isqrt(number)
  clips, height, width, channels = images.shape
  high, wide = cots.cell_shape(images.shape, number)
  rest = (0, rows * high - height), (0, rows * wide - width)
  x = jnp.pad(images, ((0, 0), *rest, (0, 0)), mode='edge')
  x = x.reshape(clips, rows, high, rows, wide, channels).swapaxes(2, 3)
  x = x.reshape(clips, number, -1)
  x -= x.mean(axis=-1, keepdims=True)
  return x / jnp.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)


def cover(images: Images, hidden: Bool[Array, 'clip cell']) -> Images:
  """Sets the hidden cells of images to 0; cells as in `cells`.

  >>> x = jnp.ones((1, 2, 2, 1))
  >>> cover(x, jnp.array([[True, False, False, False]]))[0, ..., 0].tolist()
  [[0.0, 1.0], [1.0, 1.0]]
  """
  clips, number = hidden.shape
  rows = math.isqrt(number)
  mask = hidden.reshape(clips, rows, rows)
  for axis, size in enumerate(cots.cell_shape(images.shape, number), 1):
    mask = jnp.repeat(mask, size, axis)
  mask = mask[:, : images.shape[1], : images.shape[2]]
  return jnp.where(mask[..., None], 0, images)
