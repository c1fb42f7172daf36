"""Training and prediction of ONE fold; nothing here knows a fold axis."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt32
import optax

from dianet_jax.core import config as configuration
from dianet_jax.models.dianet import DIANet
from dianet_jax.motion import scaling
from dianet_jax.training import augment, losses

PhaseImages = Float[Array, 'clip phase height width channel']

# What the random numbers of a fold are for.
_INITIALISE, _SHUFFLE, _STEP, _VARIANT = range(4)
# Within a step, besides the two keys of a split.
_MIXUP = 2


@flax.struct.dataclass
class Fold:
  """One row of `folds.Folds`, on the device."""

  seed: UInt32[Array, '']
  subject_hash: UInt32[Array, '']
  train_index: Int[Array, ' clip']
  train_valid: Bool[Array, ' clip']
  validation_index: Int[Array, ' validation_clip']
  validation_valid: Bool[Array, ' validation_clip']
  test_index: Int[Array, ' test_clip']
  class_weights: Float[Array, ' class_']

  def key(self, purpose: int) -> Key[Array, '']:
    """A key from the seed and the subject alone."""
    key = jax.random.fold_in(jax.random.key(self.seed), self.subject_hash)
    return jax.random.fold_in(key, purpose)


@flax.struct.dataclass
class State:
  """All that changes in training.

  `average` is the running mean of the variables, None where it is off.
  """

  step: Int[Array, '']
  params: Any
  batch_stats: Any
  opt_state: Any
  average: Any = None

  @property
  def variables(self) -> dict[str, Any]:
    """What `DIANet.apply` takes to predict."""
    if self.average is not None:
      return self.average
    return {'params': self.params, 'batch_stats': self.batch_stats}


@flax.struct.dataclass
class Best:
  """The epoch with the lowest validation loss so far."""

  loss: Float[Array, '']
  variables: Any


@flax.struct.dataclass
class Batch:
  """The clips of one step; with `step` leading, those of an epoch.

  Slots that are not `valid` hold some clip, to be ignored.
  """

  images: Float[Array, '*step slot phase height width channel']
  labels: Int[Array, '*step slot']
  valid: Bool[Array, '*step slot']


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
    return optax.chain(
      optax.scale_by_adam(),
      optax.add_decayed_weights(
        s.weight_decay,
        lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
      ),
      optax.scale_by_learning_rate(schedule),
    )

  def prepare(self, images: PhaseImages) -> PhaseImages:
    """Raw phase images as the network takes them."""
    return scaling.SCALINGS[self.scaling](images)

  def init(self, fold: Fold, images: PhaseImages) -> State:
    """The untrained state; of the images only the shape matters."""
    blank = jnp.zeros((1, *images.shape[1:]), jnp.float32)
    variables = self.model.init(fold.key(_INITIALISE), blank)
    params = variables['params']
    statistics = variables.get('batch_stats', {})
    average = None
    if self.settings.ema_decay:
      average = {'params': params, 'batch_stats': statistics}
    return State(
      step=jnp.zeros((), jnp.int32),
      params=params,
      batch_stats=statistics,
      opt_state=self.optimizer().init(params),
      average=average,
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

  def gather(
    self,
    state: State,
    fold: Fold,
    images: PhaseImages,
    labels: Int[Array, ' clip'],
  ) -> Batch:
    """The clips of every step of the epoch that begins, one variant of each.

    Once an epoch: taken in every step, a TPU would slice the whole data set.
    """
    epoch = state.step // self.steps_per_epoch
    index, valid = self.order(fold, epoch)
    key = jax.random.fold_in(fold.key(_VARIANT), epoch)
    rows = augment.draw_variant(key, index, len(labels), len(images))
    return Batch(images[rows], labels[index], valid)

  def _augmented(self, key: Key[Array, ''], images: PhaseImages) -> PhaseImages:
    settings = self.settings.augment
    return jax.vmap(
      lambda clip_key, clip: augment.augment(
        clip_key,
        clip,
        settings.flip_probability,
        settings.negated_channels,
        settings.shift_pixels,
        settings.rotation_degrees,
      )
    )(jax.random.split(key, len(images)), images)

  def _input(self, key: Key[Array, ''], batch: Batch) -> PhaseImages:
    """Augmented, as the network takes them, and finite in every slot."""
    images = self._augmented(key, batch.images)
    # A gradient is a product with the input: what pads must be finite.
    images = jnp.where(batch.valid[:, None, None, None, None], images, 0)
    return self.prepare(images)

  def _clip_losses(
    self, logits: Float[Array, 'slot *phase class_'], truth, fold: Fold
  ) -> Float[Array, ' slot']:
    """The loss of each clip: the mean over its phases where each has one."""
    if logits.ndim == 3:
      truth = jnp.broadcast_to(truth[:, None], logits.shape[:-1])
    loss = losses.classification(
      logits,
      truth,
      fold.class_weights,
      self.settings.label_smoothing,
      self.settings.focal_gamma,
    )
    return loss.mean(axis=1) if logits.ndim == 3 else loss

  def _averaged(self, state: State, new: State) -> Any:
    """The running mean of the variables after a step.

    A plain mean over the first 1 / (1 - decay) steps, then an exponential one
    (Polyak averaging): the untrained network has no part in it.
    """
    if state.average is None:
      return None
    weight = jnp.maximum(1 - self.settings.ema_decay, 1 / (state.step + 1))
    current = {'params': new.params, 'batch_stats': new.batch_stats}
    return optax.incremental_update(current, state.average, weight)

  def step(self, state: State, fold: Fold, batch: Batch) -> tuple[State, Sums]:
    """One optimiser step.

    Slots that are not valid reach neither the gradient nor the statistics; a
    step without a valid slot changes nothing but the step's number.
    """
    key = jax.random.fold_in(fold.key(_STEP), state.step)
    dropout_key, augment_key = jax.random.split(key)
    images = self._input(augment_key, batch)
    truth, valid, num_valid = batch.labels, batch.valid, batch.valid.sum()
    blend = None
    if alpha := self.settings.augment.mixup_alpha:
      mixup_key = jax.random.fold_in(key, _MIXUP)
      images, *blend = augment.mix(mixup_key, images, valid, alpha)

    def loss_of(params):
      logits, updated = self.model.apply(
        {'params': params, 'batch_stats': state.batch_stats},
        images,
        valid,
        mutable=['batch_stats'],
        rngs={'dropout': dropout_key},
      )
      clip_losses = self._clip_losses(logits, truth, fold)
      if blend:
        partner, share = blend
        other = self._clip_losses(logits, truth[partner], fold)
        clip_losses = share * clip_losses + (1 - share) * other
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
    new = new.replace(average=self._averaged(state, new))
    new = jax.tree.map(lambda n, o: jnp.where(num_valid > 0, n, o), new, state)
    guess = (_probabilities(logits) if logits.ndim == 3 else logits).argmax(-1)
    correct = jnp.where(valid, guess == truth, False).sum()
    sums = Sums(loss=total, correct=correct, clips=num_valid)
    return new.replace(step=state.step + 1), sums

  def next_step(
    self, state: State, fold: Fold, epoch: Batch
  ) -> tuple[State, Sums]:
    """The step of an epoch that comes next, by the state's own count."""
    number = state.step % self.steps_per_epoch
    batch = jax.tree.map(lambda leaf: leaf[number], epoch)
    return self.step(state, fold, batch)

  def epoch(
    self,
    state: State,
    fold: Fold,
    images: PhaseImages,
    labels: Int[Array, ' clip'],
  ) -> tuple[State, Sums]:
    """All steps of the epoch that begins, as one program."""
    state, sums = jax.lax.scan(
      lambda s, batch: self.step(s, fold, batch),
      state,
      self.gather(state, fold, images, labels),
    )
    return state, jax.tree.map(lambda leaf: leaf.sum(axis=0), sums)

  def predict(
    self, variables: Any, images: PhaseImages, index: Int[Array, ' clip']
  ) -> Float[Array, 'clip class_']:
    """Class probabilities of the clips at `index`."""
    batch = self.prepare(images[index])
    return _probabilities(self.model.apply(variables, batch))

  def validation_loss(
    self,
    variables: Any,
    fold: Fold,
    images: PhaseImages,
    labels: Int[Array, ' clip'],
  ) -> Float[Array, '']:
    """Mean over classes of the cross-entropy on the clips set aside, in nats.

    Without smoothing, at most 87 a clip. Every class counts the same, as in
    UF1, of which a few clips would give too coarse a value to choose by.
    """
    shares = self.predict(variables, images, fold.validation_index)
    truth = jax.nn.one_hot(labels[fold.validation_index], shares.shape[-1])
    truth = jnp.where(fold.validation_valid[:, None], truth, 0)
    # The smallest normal number: its logarithm is finite.
    logs = jnp.log(jnp.maximum(shares, jnp.finfo(shares.dtype).tiny))
    clips = truth.sum(axis=0)
    losses_of_classes = -(truth * logs).sum(axis=0) / jnp.maximum(clips, 1)
    return losses_of_classes.sum() / jnp.maximum((clips > 0).sum(), 1)

  def keep_best(
    self,
    best: Best,
    state: State,
    fold: Fold,
    images: PhaseImages,
    labels: Int[Array, ' clip'],
  ) -> tuple[Best, Float[Array, '']]:
    """The better of `best` and this epoch, and this epoch's loss.

    The earlier one of equals. A loss that is not a number wins, so that a
    training that diverged is seen in the end.
    """
    loss = self.validation_loss(state.variables, fold, images, labels)
    better = ~(loss >= best.loss)
    new = Best(loss=loss, variables=state.variables)
    return jax.tree.map(lambda n, o: jnp.where(better, n, o), new, best), loss


def _probabilities(
  logits: Float[Array, 'clip *phase class_'],
) -> Float[Array, 'clip class_']:
  """Softmax; where every phase has logits, its mean over the phases."""
  shares = jax.nn.softmax(logits)
  return shares.mean(axis=1) if shares.ndim == 3 else shares
