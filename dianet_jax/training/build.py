"""From a configuration to what trains it."""

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
  """What is the same in every fold; see `Trainer`."""
  model = models.MODELS[config.model.name]
  objective = objectives.OBJECTIVES[config.objective.name]
  return Trainer(
    model=model(num_classes, config.model, dtype),
    objective=objective(config.objective),
    settings=config.train,
    scaling=config.data.scaling,
    channels=channels,
    max_train_clips=max_train_clips,
  )
