"""Builds a `Trainer` from a configuration."""

from collections.abc import Mapping
import dataclasses
from typing import Any

import jax.numpy as jnp

from dianet_jax.core import config as configuration
from dianet_jax.core import errors
from dianet_jax.models import registry as models
from dianet_jax.motion import registry as motion
from dianet_jax.training import objectives, optimisation
from dianet_jax.training.trainer import Trainer


def make_trainer(
  config: configuration.Config,
  num_classes: int,
  channels: Mapping[str, tuple[motion.Channel, ...]],
  max_train_clips: int,
  dtype: jnp.dtype,
) -> Trainer:
  """Builds the trainer, which is the same for every fold.

  Args:
    config: of the run.
    num_classes: number of classes.
    channels: input -> its channels.
    max_train_clips: width of `Fold.train_index`.
    dtype: of computation.

  Raises:
    UserError: `objective.stream_rate` for a model without streams.
  """
  reads = models.MODELS[config.model.name].reads
  phases = motion.phases(motion.feed(reads, config.data.inputs), config.data)
  objective = objectives.OBJECTIVES[config.objective.name]
  return Trainer(
    model=models.build(num_classes, config.model, phases, dtype),
    objective=objective(config.objective),
    settings=config.train,
    scaling=config.data.scaling,
    channels=channels,
    max_train_clips=max_train_clips,
    only_last_variant=not config.data.train_on_annotated,
    **_pretraining(config),
  )


def _pretraining(config: configuration.Config) -> dict[str, Any]:
  """The arguments of `Trainer` for an objective that pretrains."""
  settings, train = config.objective, config.train
  if not isinstance(settings, objectives.PretrainingSettings):
    return {}
  own = {
    'learning_rate': settings.pretraining_learning_rate,
    'weight_decay': settings.pretraining_weight_decay,
    'warmup_fraction': settings.pretraining_warmup,
  }
  own = {key: value for key, value in own.items() if value != -1}
  slow_start = None
  if settings.stream_rate != 1:
    names = getattr(models.MODELS[config.model.name], 'streams', '')
    if not names:
      raise errors.UserError(
        f'--config.objective.stream_rate={settings.stream_rate} slows down the'
        f' pretrained streams, but --config.model.name={config.model.name!r}'
        ' does not declare any. Set 1, or choose another model.'
      )
    slow_start = optimisation.SlowStart(
      names, settings.stream_rate, settings.stream_epochs
    )
  # At least one epoch remains for classification.
  most = train.epochs - 1
  return {
    'pretraining_epochs': min(round(settings.pretraining * train.epochs), most),
    'pretraining_settings': dataclasses.replace(train, **own),
    'slow_start': slow_start,
  }
