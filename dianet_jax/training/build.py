"""Builds a `Trainer` from a configuration."""

from collections.abc import Mapping

import jax.numpy as jnp

from dianet_jax.core import config as configuration
from dianet_jax.models import registry as models
from dianet_jax.motion.registry import Channel
from dianet_jax.training import objectives
from dianet_jax.training.trainer import Trainer


def make_trainer(
  config: configuration.Config,
  num_classes: int,
  channels: Mapping[str, tuple[Channel, ...]],
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
  """
  model = models.MODELS[config.model.name]
  objective = objectives.OBJECTIVES[config.objective.name]
  return Trainer(
    model=model(num_classes, config.model, dtype),
    objective=objective(config.objective),
    settings=config.train,
    scaling=config.data.scaling,
    channels=channels,
    max_train_clips=max_train_clips,
    only_last_variant=not config.data.train_on_annotated,
    pretraining_epochs=_pretraining_epochs(config),
  )


def _pretraining_epochs(config: configuration.Config) -> int:
  """At least one epoch remains for classification."""
  share = getattr(config.objective, 'pretraining', 0.0)
  return min(round(share * config.train.epochs), config.train.epochs - 1)
