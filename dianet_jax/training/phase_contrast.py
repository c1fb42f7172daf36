"""Cross-entropy plus contrastive losses between the phases of a clip."""

import dataclasses
import functools
import operator
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from dianet_jax.core import config, errors, schema
from dianet_jax.models.registry import Outputs
from dianet_jax.training import contrastive, objectives
from dianet_jax.training.objectives import Batch


@dataclasses.dataclass(frozen=True)
class Settings(objectives.CrossEntropySettings):
  """Cross-entropy plus BioViL-T's losses between images."""

  name: str = 'phase_contrast'
  weight: float = schema.key(
    0.1,
    'Weight of each of the two losses between phases. Small, because other'
    ' clips of the same class count as negatives. Ours.',
    schema.at_least(0),
  )
  temperature: float = schema.key(
    0.1, 'Divisor of the similarities between phases.', schema.ABOVE_ZERO
  )
  local: bool = schema.key(
    True,
    'Whether to also match places between phases; the cost grows with the'
    ' square of train.batch_size.',
  )


@dataclasses.dataclass(frozen=True)
class PhaseContrast:
  """`CrossEntropy` plus losses between the backbones' tokens; no state.

  Source: the global and the local loss of BioViL-T, arXiv 2301.04558, after
  GLoRIA's code, which compare an image and a report. Ours: comparing two
  phases, and the weights.
  """

  settings: Settings = Settings()
  Settings: ClassVar[type[config.Objective]] = Settings

  def init(
    self, variables: Any, outputs: Outputs, key: Key[Array, '']
  ) -> tuple[()]:
    """No state.

    Raises:
      UserError: the model has no tokens, or not those of two phases.
    """
    del variables, key
    objectives.require(outputs, self.settings.name, 'tokens')
    phases = outputs.auxiliary['tokens'].shape[1]
    if phases != 2:
      raise errors.UserError(
        f'--config.objective.name={self.settings.name!r} compares two phases,'
        f' but --config.data.phases has {phases}. Set two, or choose another'
        ' objective.'
      )
    return ()

  def __call__(
    self, outputs: Outputs, batch: Batch, state: tuple[()]
  ) -> tuple[Float[Array, ''], tuple[()]]:
    """The loss over the valid clips."""
    s = self.settings
    loss, state = objectives.CrossEntropy(s)(outputs, batch, state)
    tokens = outputs.auxiliary['tokens']
    tokens = tokens.astype(jnp.promote_types(tokens.dtype, jnp.float32))
    tokens = jnp.where(batch.valid[:, None, None, None], tokens, 0)
    first, second = tokens[:, 0], tokens[:, 1]
    losses = contrastive.global_losses(
      first.mean(axis=1), second.mean(axis=1), batch.valid, s.temperature
    )
    if s.local:
      losses += contrastive.local_losses(first, second, batch.valid)
    return loss + s.weight * functools.reduce(operator.add, losses), state
