"""Pretraining by contrast between the phases of a clip, then cross-entropy."""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key
import optax

from dianet_jax.core import config, errors, schema
from dianet_jax.models import views as views_lib
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import cots
from dianet_jax.training import codebook, contrastive, objectives
from dianet_jax.training.objectives import Batch

Images = Float[Array, 'clip height width channel']


_DIRECTIONS = ('both', 'forward', 'backward')


@dataclasses.dataclass(frozen=True)
class Settings(objectives.PretrainingSettings, objectives.CrossEntropySettings):
  """COTS between phases, then cross-entropy; sources: see `models.zoo.cots`."""

  name: str = 'cross_phase'
  queue: int = schema.key(
    128,
    'Number of clips with which each clip is compared. In a fold with no more'
    ' training clips than that: the largest multiple of the clips in a step'
    ' that is below their number (if a step has them all: all but one).',
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
  instance_weight: float = schema.key(
    1.0,
    'Weight of recognising a clip in the queue by its other phase.',
    schema.at_least(0),
  )
  task_weight: float = schema.key(
    1.0,
    "Weight of the agreement of both phases' similarities to the queue.",
    schema.at_least(0),
  )
  token_weight: float = schema.key(
    1.0, 'Weight of the prediction of hidden cells.', schema.at_least(0)
  )
  divergence: str = schema.key(
    'both',
    'KL divergence that measures the agreement: forward (of the first phase'
    ' from the second), backward (of the second from the first), both (their'
    ' sum).',
    schema.one_of(*_DIRECTIONS),
  )
  token_target: str = schema.key(
    'pixels',
    'What is predicted of a hidden cell: pixels (mean squared error), codes'
    " (cross-entropy on the nearest of k-means centres of the fold's training"
    ' cells).',
    schema.one_of('pixels', 'codes'),
  )
  codes: int = schema.key(
    64, 'Number of codes, with token_target=codes.', schema.at_least(2)
  )


@dataclasses.dataclass(frozen=True)
class CrossPhase:
  """COTS's three losses while `Batch.pretraining`, then `CrossEntropy`.

  They are momentum contrast between phases, agreement of both phases'
  similarities to the queue (once that is full), and hidden cells of one phase
  predicted with the help of the other. A clip that lacks a phase has only the
  last one, of the phase that it has.

  The state is a copy of the variables, a queue of projections with the indices
  of their clips, -1 where it is empty, the number of its rows that the fold
  uses, and the number of clips that entered it; with `token_target` 'codes'
  also those of the fold.

  Source: COTS, Lu et al., arXiv 2204.07441, which has images and texts. What is
  stated there and what is ours: see `models.zoo.cots`.
  """

  settings: Settings = Settings()
  Settings: ClassVar[type[config.Objective]] = Settings

  def init(
    self, variables: Any, outputs: Outputs, key: Key[Array, '']
  ) -> dict[str, Any]:
    """An empty queue.

    Raises:
      UserError: the model has no heads for pretraining, or not those of two
        phases.
    """
    del key
    s = self.settings
    objectives.require(outputs, s.name, 'projections', 'cells')
    views, width = outputs.auxiliary['projections'].shape[1:]
    objectives.require_two_views(s.name, views)
    state = {
      'copy': variables,
      'queue': jnp.zeros((views, s.queue, width)),
      'clips': jnp.full(s.queue, -1, jnp.int32),
      'rows': jnp.asarray(s.queue, jnp.int32),
      'entered': jnp.zeros((), jnp.int32),
    }
    if s.token_target == 'codes':
      pixels = outputs.auxiliary['cells'].shape[-1]
      state['codes'] = jnp.zeros((s.codes, pixels))
    return state

  def fitted(
    self,
    state: dict[str, Any],
    outputs: Outputs,
    clips: objectives.TrainingClips,
  ) -> dict[str, Any]:
    """Limits the queue, and makes the codes, by a fold's training clips.

    Raises:
      UserError: there are more codes than cells.
    """
    s = self.settings
    below = jnp.maximum(clips.valid.sum() - 1, 0)
    whole_steps = below // clips.slots * clips.slots
    rows = jnp.where(whole_steps > 0, whole_steps, below)
    state = state | {
      'rows': jnp.where(below < s.queue, rows, s.queue).astype(jnp.int32)
    }
    if s.token_target == 'pixels':
      return state
    [images] = clips.inputs.values()
    number = outputs.auxiliary['cells'].shape[2]
    x = cells(images.reshape(-1, *images.shape[2:]), number)
    x = x.reshape(-1, x.shape[-1])
    if s.codes > len(x):
      raise errors.UserError(
        schema.out_of_range(
          'objective.codes',
          s.codes,
          f"at most {len(x)}, the cells of a fold's training images",
        )
      )
    valid = clips.valid[:, None] & views_lib.present(images)
    valid = jnp.repeat(valid.ravel(), number)
    return state | {'codes': codebook.fit(x, valid, s.codes, clips.key)}

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
    present = batch.valid[:, None] & views_lib.present(images)
    both = present.all(axis=1)
    contrast = contrastive.instance_loss(first, both)
    contrast += contrastive.instance_loss(second, both)
    agreement = jnp.zeros(())
    if s.divergence != 'backward':
      agreement += contrastive.task_loss(first, second, both)
    if s.divergence != 'forward':
      agreement += contrastive.task_loss(second, first, both)
    full = state['entered'] >= state['rows']
    loss = s.instance_weight * contrast
    loss += jnp.where(full, s.task_weight * agreement, 0)
    loss += s.token_weight * self._prediction(outputs, batch, present, state)
    entered = jnp.where(both, batch.clips, -1)
    queued = jnp.concatenate([entered, state['clips']])[: s.queue]
    return loss, state | {
      'copy': copy,
      'queue': jnp.concatenate([keys.swapaxes(0, 1), state['queue']], axis=1)[
        :, : s.queue
      ],
      'clips': jnp.where(jnp.arange(s.queue) < state['rows'], queued, -1),
      'entered': state['entered'] + both.sum(),
    }

  def _prediction(
    self,
    outputs: Outputs,
    batch: Batch,
    present: Bool[Array, 'clip view'],
    state: dict[str, Any],
  ) -> Float[Array, '']:
    """Mean loss of hidden cells, whose variance is 1; the sum of both phases.

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
      truth = cells(images[:, view], number)
      if self.settings.token_target == 'pixels':
        losses = ((predicted - truth) ** 2).mean(axis=-1)
      else:
        losses = _code_losses(predicted, truth, state['codes'])
      counted = hidden & present[:, view, None]
      losses = jnp.where(counted, losses, 0).sum()
      total += losses / jnp.maximum(counted.sum(), 1)
    return total


def _code_losses(
  predicted: Float[Array, 'clip cell pixel'],
  truth: Float[Array, 'clip cell pixel'],
  codes: Float[Array, 'code pixel'],
) -> Float[Array, 'clip cell']:
  """Cross-entropy on the code nearest to the truth.

  Logits are scaled dot products of prediction and codes, so that the network is
  the same as for pixels. Ours.
  """
  target = codebook.nearest(truth.reshape(-1, truth.shape[-1]), codes)
  return optax.softmax_cross_entropy_with_integer_labels(
    predicted @ codes.T / math.sqrt(codes.shape[-1]),
    target.reshape(truth.shape[:-1]),
  )


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
