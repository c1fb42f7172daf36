"""Training and prediction of ONE fold; no array here has a fold axis."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from flax import traverse_util
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key
import optax

from dianet_jax.core import config
from dianet_jax.core.arrays import AnyArray
from dianet_jax.models.registry import Model, Outputs
from dianet_jax.motion import scaling
from dianet_jax.motion.registry import Channel
from dianet_jax.training import augment, batching, objectives, optimisation
from dianet_jax.training.randomness import OfFold, OfStep
from dianet_jax.training.state import Batch, Best, Data, Fold, State, Sums

# Name of each input -> array [clip, ...].
Inputs = Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class Trainer:
  """Trains and predicts one fold; the same object serves every fold.

  Attributes:
    model: the network, see `models.registry.Model`.
    objective: the objective to minimise.
    settings: the `train` section.
    scaling: a key of `scaling.SCALINGS`.
    channels: input -> its channels; () if it is not an image.
    max_train_clips: width of `Fold.train_index`.
    pretraining_epochs: the first of all epochs, in which the objective
      pretrains the model. Then the optimiser and its learning rate start anew.
    pretraining_settings: learning rate, warm-up and weight decay of those
      epochs; None for those of `settings`.
    slow_start: of the pretrained parameters after them; None for none.
    pretrains: whether the steps of this trainer are those of pretraining. Two
      trainers, because a CPU is slow at branches within a program.
    only_last_variant: whether training takes the last variant of each clip, see
      `data.train_on_annotated`, instead of any.
  """

  model: Model
  objective: objectives.Objective
  settings: config.Train
  scaling: str
  channels: Mapping[str, Sequence[Channel]]
  max_train_clips: int
  pretraining_epochs: int = 0
  pretraining_settings: config.Train | None = None
  slow_start: optimisation.SlowStart | None = None
  pretrains: bool = False
  only_last_variant: bool = False

  @property
  def steps_per_epoch(self) -> int:
    """Number of steps per epoch, equal for all folds."""
    return -(-self.max_train_clips // self.settings.batch_size)

  @property
  def stages(self) -> dict[bool, int]:
    """Whether steps pretrain -> number of epochs; at least 1 for each entry."""
    first = self.pretraining_epochs
    epochs = {True: first, False: self.settings.epochs - first}
    return {pretrains: number for pretrains, number in epochs.items() if number}

  @property
  def slots(self) -> int:
    """Clips per step: spread evenly; unshuffled, full as in published code."""
    if self.settings.order == 'by_class':
      return min(self.settings.batch_size, self.max_train_clips)
    return -(-self.max_train_clips // self.steps_per_epoch)

  def schedule(self, pretraining: bool = False) -> optax.Schedule:
    """Learning rate by the number of updates done, in pretraining or after it.

    See `optimisation.learning_rates`.
    """
    steps = self.stages[pretraining] * self.steps_per_epoch
    return optimisation.learning_rates(self._settings_of(pretraining), steps)

  def optimizer(
    self, learning_rate: Float[Array, ''] | None = None
  ) -> optax.GradientTransformation:
    """The optimiser of this trainer's steps, see `optimisation.adamw`.

    Args:
      learning_rate: of the next update; None for that of `schedule`.
    """
    schedule = self.schedule()
    if learning_rate is not None:
      schedule = optax.constant_schedule(learning_rate)
    settings = self._settings_of(self.pretrains)
    return optimisation.adamw(schedule, settings.weight_decay)

  def _settings_of(self, pretraining: bool) -> config.Train:
    own = self.pretraining_settings
    return own if pretraining and own is not None else self.settings

  def prepare(self, inputs: Inputs) -> dict[str, Array]:
    """Scales raw images; other inputs are unchanged."""
    scale = scaling.SCALINGS[self.scaling]
    return {
      name: scale(values) if self.channels[name] else values
      for name, values in inputs.items()
    }

  def training_clips(self, data: Data, fold: Fold) -> objectives.TrainingClips:
    """What an `objectives.Fitted` objective sees of a fold before training."""
    index, valid = fold.train_index, jnp.asarray(fold.train_valid)
    inputs = jax.tree.map(lambda leaf: leaf[0, index], dict(data.inputs))
    return objectives.TrainingClips(
      inputs=self.prepare(_finite(inputs, valid)),
      valid=valid,
      key=fold.key(OfFold.FIT),
      slots=self.slots,
    )

  def init(self, data: Data, fold: Fold) -> State:
    """The state before training; only `Fitted` objectives use input values."""

    def blank(clips):
      return {
        name: jnp.zeros((clips, *values.shape[2:]), jnp.float32)
        for name, values in data.inputs.items()
      }

    key = fold.key(OfFold.INITIALISE)
    variables = _replaced(self.model.init(key, blank(1)), data.pretrained)
    outputs = jax.eval_shape(self.model.apply, variables, blank(self.slots))
    params = variables.pop('params')
    state = State(
      step=jnp.zeros((), jnp.int32),
      params=params,
      statistics=variables,
      opt_state=self.optimizer().init(params),
    )
    objective = self.objective.init(
      state.current, outputs, jax.random.fold_in(key, OfStep.OBJECTIVE)
    )
    if isinstance(self.objective, objectives.Fitted):
      clips = self.training_clips(data, fold)
      objective = self.objective.fitted(objective, outputs, clips)
    return dataclasses.replace(
      state,
      objective=objective,
      average=state.current if self.settings.ema_decay else None,
    )

  def order(
    self, fold: Fold, epoch: Int[AnyArray, ''], labels: Int[AnyArray, ' clip']
  ) -> tuple[Int[Array, 'step slot'], Bool[Array, 'step slot']]:
    """The clips of every step of an epoch, see `batching.clips_of_steps`."""
    if self.settings.order == 'by_class':
      rank, in_turn = labels[fold.train_index].astype(jnp.float32), False
    else:
      key = jax.random.fold_in(fold.key(OfFold.SHUFFLE), epoch)
      rank, in_turn = jax.random.uniform(key, fold.train_index.shape), True
    shape = self.steps_per_epoch, self.slots
    return batching.clips_of_steps(fold, rank, shape, in_turn)

  def gather(self, data: Data, state: State, fold: Fold) -> Batch:
    """The clips of every step of the next epoch, one variant of each.

    Gathered once per epoch, because a TPU would process the complete data set
    for a gather in every step.
    """
    epoch = state.step // self.steps_per_epoch
    index, valid = self.order(fold, epoch, data.labels)
    key = jax.random.fold_in(fold.key(OfFold.VARIANT), epoch)
    if self.only_last_variant:
      variant = jnp.full(index.shape, data.num_variants - 1)
    else:
      variant = augment.draw_variant(key, index.shape, data.num_variants)
    inputs = jax.tree.map(lambda leaf: leaf[variant, index], dict(data.inputs))
    # A step without a clip is no update; each epoch of a fold has as many.
    filled = valid.any(axis=1)
    updates = epoch * filled.sum() + jnp.cumsum(filled) - filled
    before = self.pretraining_epochs * filled.sum()
    rate = self.schedule()(updates - before)
    if self.pretraining_epochs:
      first = self.schedule(pretraining=True)(updates)
      rate = jnp.where(epoch < self.pretraining_epochs, first, rate)
    rate = jnp.asarray(rate, jnp.float32)
    slow = None
    if self.slow_start:
      slow = self.slow_start.factors(epoch - self.pretraining_epochs)
      slow = jnp.broadcast_to(slow, rate.shape)
    return Batch(inputs, data.labels[index], valid, index, rate, slow)

  def _input(self, key: Key[Array, ''], batch: Batch) -> dict[str, Array]:
    """The model's inputs: augmented, scaled, and finite in every slot."""
    inputs = jax.vmap(
      lambda clip_key, clip: augment.augment(
        clip_key, clip, self.channels, self.settings.augment
      )
    )(jax.random.split(key, len(batch.labels)), dict(batch.inputs))
    return self.prepare(_finite(inputs, batch.valid))

  def _objective_batch(
    self, key: Key[Array, ''], state: State, fold: Fold, batch: Batch
  ) -> objectives.Batch:
    """The batch for the objective: augmented, and blended if enabled."""
    inputs = self._input(jax.random.fold_in(key, OfStep.AUGMENT), batch)
    partner_labels, weight = batch.labels, jnp.ones(len(batch.labels))
    if alpha := self.settings.augment.mixup_alpha:
      mixup_key = jax.random.fold_in(key, OfStep.MIXUP)
      inputs, partner, weight = augment.mix(
        mixup_key, inputs, batch.valid, alpha
      )
      partner_labels = batch.labels[partner]

    def apply(variables: Any, inputs: Inputs, train: bool) -> Outputs:
      outputs, _ = self._apply(key, variables, inputs, batch.valid, train)
      return outputs

    return objectives.Batch(
      inputs=inputs,
      labels=batch.labels,
      partner_labels=partner_labels,
      own_weight=weight,
      valid=batch.valid,
      clips=batch.clips,
      class_weights=jnp.asarray(fold.class_weights),
      variables=state.current,
      key=jax.random.fold_in(key, OfStep.OBJECTIVE),
      apply=apply,
      pretraining=self.pretrains,
    )

  def _apply(self, key, variables, inputs, valid, train):
    """Outputs, and the updated collections other than parameters."""
    return self.model.apply(
      variables,
      inputs,
      valid,
      train,
      mutable=[name for name in variables if name != 'params'],
      rngs={'dropout': jax.random.fold_in(key, OfStep.DROPOUT)},
    )

  def _restarted(self, state: State) -> State:
    """The state with a new optimiser, if pretraining has just ended."""
    if self.pretrains or not self.pretraining_epochs:
      return state
    ended = state.step == self.pretraining_epochs * self.steps_per_epoch
    opt_state = jax.tree.map(
      lambda new, old: jnp.where(ended, new, old),
      self.optimizer().init(state.params),
      state.opt_state,
    )
    return dataclasses.replace(state, opt_state=opt_state)

  def step(self, state: State, fold: Fold, batch: Batch) -> tuple[State, Sums]:
    """One optimiser step.

    Invalid slots affect neither the gradient nor the statistics; a step without
    valid slots changes only the step number.

    Args:
      state: before the step.
      fold: the fold.
      batch: its clips.

    Returns:
      The state after the step, and sums over its clips.
    """
    state = self._restarted(state)
    key = jax.random.fold_in(fold.key(OfFold.STEP), state.step)
    seen = self._objective_batch(key, state, fold, batch)

    def loss_of(params):
      variables = state.current | {'params': params}
      outputs, statistics = self._apply(
        key, variables, seen.inputs, seen.valid, True
      )
      loss, objective = self.objective(
        outputs, dataclasses.replace(seen, variables=variables), state.objective
      )
      outputs = dataclasses.replace(outputs, auxiliary={})
      return loss, (loss, outputs, statistics, objective)

    gradients, (loss, outputs, statistics, objective) = jax.grad(
      loss_of, has_aux=True
    )(state.params)
    optimizer = self.optimizer(batch.learning_rate)
    updates, opt_state = optimizer.update(
      gradients, state.opt_state, state.params
    )
    if self.slow_start and batch.slow is not None:
      updates = self.slow_start.scaled(updates, batch.slow)
    new = dataclasses.replace(
      state,
      params=optax.apply_updates(state.params, updates),
      statistics=dict(statistics),
      opt_state=opt_state,
      objective=objective,
    )
    average = optimisation.averaged(state, new, self.settings.ema_decay)
    new = dataclasses.replace(new, average=average)
    clips = batch.valid.sum()
    new = jax.tree.map(lambda n, o: jnp.where(clips > 0, n, o), new, state)
    prediction = outputs.probabilities().argmax(-1)
    correct = jnp.where(batch.valid, prediction == batch.labels, False).sum()
    sums = Sums(loss=loss * clips, correct=correct, clips=clips)
    return dataclasses.replace(new, step=state.step + 1), sums

  def next_step(
    self, state: State, fold: Fold, epoch: Batch
  ) -> tuple[State, Sums]:
    """Runs the next step of an epoch, by the step number of the state."""
    number = state.step % self.steps_per_epoch
    batch = jax.tree.map(lambda leaf: leaf[number], epoch)
    return self.step(state, fold, batch)

  def epoch(self, data: Data, state: State, fold: Fold) -> tuple[State, Sums]:
    """Runs all steps of the next epoch as one program."""
    state, sums = jax.lax.scan(
      lambda s, batch: self.step(s, fold, batch),
      state,
      self.gather(data, state, fold),
    )
    return state, jax.tree.map(lambda leaf: leaf.sum(axis=0), sums)

  def probabilities(
    self, variables: Any, inputs: Inputs
  ) -> Float[Array, 'clip class_']:
    """Class probabilities, 0..1, of clips from their raw inputs."""
    outputs = self.model.apply(variables, self.prepare(inputs))
    return outputs.probabilities()

  def _probabilities_at(self, data, variables, index):
    inputs = jax.tree.map(lambda leaf: leaf[0, index], dict(data.inputs))
    return self.probabilities(variables, inputs)

  def predict(
    self, data: Data, variables: Any, fold: Fold
  ) -> Float[Array, 'clip class_']:
    """Class probabilities, 0..1, of the held-out clips."""
    return self._probabilities_at(data, variables, fold.test_index)

  def validation_loss(
    self, data: Data, variables: Any, fold: Fold
  ) -> Float[Array, '']:
    """Mean over classes of the cross-entropy on the validation clips, in nats.

    Without label smoothing it is at most 87 per clip. All classes have the same
    weight, as in UF1, which would be too coarse for few clips.
    """
    index = fold.validation_index
    probs = self._probabilities_at(data, variables, index)
    truth = jax.nn.one_hot(data.labels[index], probs.shape[-1])
    truth = jnp.where(fold.validation_valid[:, None], truth, 0)
    # The smallest normal number, so that the logarithm is finite.
    logs = jnp.log(jnp.maximum(probs, jnp.finfo(probs.dtype).tiny))
    clips = truth.sum(axis=0)
    losses_of_classes = -(truth * logs).sum(axis=0) / jnp.maximum(clips, 1)
    return losses_of_classes.sum() / jnp.maximum((clips > 0).sum(), 1)

  def no_best(self, state: State) -> Best:
    """The initial value for `keep_best`, before the first epoch."""
    nothing = jax.tree.map(jnp.zeros_like, state.variables)
    return Best(jnp.float32(jnp.inf), nothing)

  def keep_best(
    self, data: Data, best: Best, state: State, fold: Fold
  ) -> tuple[Best, Float[Array, '']]:
    """The better of `best` and this epoch, and this epoch's validation loss.

    In a tie the earlier epoch wins; an epoch with a loss of NaN never does.
    """
    loss = self.validation_loss(data, state.variables, fold)
    new = Best(loss=loss, variables=state.variables)
    return (
      jax.tree.map(lambda n, o: jnp.where(loss < best.loss, n, o), new, best),
      loss,
    )


def _replaced(variables: Any, others: Any) -> dict[str, Any]:
  """Variables, replaced by those of `others` where they exist."""
  flat = traverse_util.flatten_dict(dict(variables))
  return traverse_util.unflatten_dict(
    flat | traverse_util.flatten_dict(dict(others))
  )


def _finite(inputs: Inputs, valid: Bool[Array, ' clip']) -> dict[str, Array]:
  """Padding set to 0, because gradients are products with the input."""
  return {
    name: jnp.where(augment.per_clip(valid, leaf), leaf, 0)
    for name, leaf in inputs.items()
  }
