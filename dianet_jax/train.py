"""Training and prediction of ONE fold; nothing here knows a fold axis."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt32
import optax

from dianet_jax import augment, losses, scaling
from dianet_jax import config as configuration
from dianet_jax.models.dianet import DIANet

PhaseImages = Float[Array, 'clip phase height width channel']

# What the random numbers of a fold are for.
_INITIALISE, _SHUFFLE, _STEP = range(3)


@flax.struct.dataclass
class Fold:
  """One row of `folds.Folds`, on the device."""

  seed: UInt32[Array, '']
  subject_hash: UInt32[Array, '']
  train_index: Int[Array, ' clip']
  train_valid: Bool[Array, ' clip']
  test_index: Int[Array, ' test_clip']
  class_weights: Float[Array, ' class_']

  def key(self, purpose: int) -> Key[Array, '']:
    """A key from the seed and the subject alone."""
    key = jax.random.fold_in(jax.random.key(self.seed), self.subject_hash)
    return jax.random.fold_in(key, purpose)


@flax.struct.dataclass
class State:
  """All that changes in training."""

  step: Int[Array, '']
  params: Any
  batch_stats: Any
  opt_state: Any

  @property
  def variables(self) -> dict[str, Any]:
    """What `DIANet.apply` takes."""
    return {'params': self.params, 'batch_stats': self.batch_stats}


@flax.struct.dataclass
class Sums:
  """Sums over the clips of one or more steps."""

  loss: Float[Array, '']
  correct: Int[Array, '']
  clips: Int[Array, '']


@dataclasses.dataclass(frozen=True)
class Trainer:
  """What is the same in every fold.

  Attributes:
    model: the network.
    settings: the `train` section.
    scaling: a key of `scaling.SCALINGS`.
    max_train_clips: width of `Fold.train_index`.
  """

  model: DIANet
  settings: configuration.Train
  scaling: str
  max_train_clips: int

  @property
  def steps_per_epoch(self) -> int:
    """Equal across folds."""
    return -(-self.max_train_clips // self.settings.batch_size)

  @property
  def slots(self) -> int:
    """Clips a step: as few as `steps_per_epoch` allows, so all are filled."""
    return -(-self.max_train_clips // self.steps_per_epoch)

  def optimizer(self) -> optax.GradientTransformation:
    """AdamW, warm-up and cosine; what has one axis or none does not decay."""
    s = self.settings
    steps = s.epochs * self.steps_per_epoch
    warmup = round(s.warmup_fraction * steps)
    schedule = optax.warmup_cosine_decay_schedule(
      init_value=0.0 if warmup else s.learning_rate,
      peak_value=s.learning_rate,
      warmup_steps=warmup,
      decay_steps=steps,
    )
    return optax.adamw(
      schedule,
      weight_decay=s.weight_decay,
      mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
    )

  def prepare(self, images: PhaseImages) -> PhaseImages:
    """Raw phase images as the network takes them."""
    return scaling.SCALINGS[self.scaling](images)

  def init(self, fold: Fold, images: PhaseImages) -> State:
    """The untrained state; of the images only the shape matters."""
    blank = jnp.zeros((1, *images.shape[1:]), jnp.float32)
    variables = self.model.init(fold.key(_INITIALISE), blank)
    params = variables['params']
    return State(
      step=jnp.zeros((), jnp.int32),
      params=params,
      batch_stats=variables.get('batch_stats', {}),
      opt_state=self.optimizer().init(params),
    )

  def order(
    self, fold: Fold, epoch: Int[Array, '']
  ) -> tuple[Int[Array, 'step slot'], Bool[Array, 'step slot']]:
    """The clips of every step of an epoch, and which slots are filled.

    Clips are dealt to the steps one by one, so that the steps of a fold with
    few clips are short by one clip at most, instead of one step by many.
    """
    key = jax.random.fold_in(fold.key(_SHUFFLE), epoch)
    rank = jax.random.uniform(key, fold.train_index.shape)
    order = jnp.argsort(jnp.where(fold.train_valid, rank, jnp.inf))
    total = self.steps_per_epoch * self.slots
    order = jnp.pad(order, (0, total - self.max_train_clips))
    valid = fold.train_valid[order] & (jnp.arange(total) < self.max_train_clips)
    shape = (self.slots, self.steps_per_epoch)
    index = fold.train_index[order]
    return index.reshape(shape).T, valid.reshape(shape).T

  def _augmented(self, key: Key[Array, ''], images: PhaseImages) -> PhaseImages:
    settings = self.settings.augment
    return jax.vmap(
      lambda clip_key, clip: augment.augment(
        clip_key,
        clip,
        settings.flip_probability,
        settings.negated_channels,
        settings.shift_pixels,
      )
    )(jax.random.split(key, len(images)), images)

  def step(
    self,
    state: State,
    fold: Fold,
    images: PhaseImages,
    labels: Int[Array, ' clip'],
    index: Int[Array, ' slot'],
    valid: Bool[Array, ' slot'],
  ) -> tuple[State, Sums]:
    """One optimiser step on the clips at `index`.

    Slots that are not valid reach neither the gradient nor the statistics; a
    step without a valid slot changes nothing but the step's number.
    """
    key = jax.random.fold_in(fold.key(_STEP), state.step)
    dropout_key, augment_key = jax.random.split(key)
    batch, truth = self._augmented(augment_key, images[index]), labels[index]
    # A gradient is a product with the input: what pads must be finite.
    batch = jnp.where(valid[:, None, None, None, None], batch, 0)
    batch = self.prepare(batch)
    num_valid = valid.sum()

    def loss_of(params):
      logits, updated = self.model.apply(
        {'params': params, 'batch_stats': state.batch_stats},
        batch,
        valid,
        mutable=['batch_stats'],
        rngs={'dropout': dropout_key},
      )
      clip_losses = losses.cross_entropy(
        logits, truth, fold.class_weights, self.settings.label_smoothing
      )
      total = jnp.where(valid, clip_losses, 0).sum()
      statistics = updated.get('batch_stats', {})
      return total / jnp.maximum(num_valid, 1), (total, logits, statistics)

    gradients, (total, logits, statistics) = jax.grad(loss_of, has_aux=True)(
      state.params
    )
    updates, opt_state = self.optimizer().update(
      gradients, state.opt_state, state.params
    )
    new = State(
      step=state.step,
      params=optax.apply_updates(state.params, updates),
      batch_stats=statistics,
      opt_state=opt_state,
    )
    new = jax.tree.map(lambda n, o: jnp.where(num_valid > 0, n, o), new, state)
    correct = jnp.where(valid, logits.argmax(-1) == truth, False).sum()
    sums = Sums(loss=total, correct=correct, clips=num_valid)
    return new.replace(step=state.step + 1), sums

  def epoch(
    self,
    state: State,
    fold: Fold,
    images: PhaseImages,
    labels: Int[Array, ' clip'],
    epoch: Int[Array, ''],
  ) -> tuple[State, Sums]:
    """All steps of an epoch as one program."""
    state, sums = jax.lax.scan(
      lambda s, batch: self.step(s, fold, images, labels, *batch),
      state,
      self.order(fold, epoch),
    )
    return state, jax.tree.map(lambda leaf: leaf.sum(axis=0), sums)

  def predict(
    self, state: State, fold: Fold, images: PhaseImages
  ) -> Float[Array, 'test_clip class_']:
    """Class probabilities of the held-out subject's clips."""
    batch = self.prepare(images[fold.test_index])
    return jax.nn.softmax(self.model.apply(state.variables, batch))
