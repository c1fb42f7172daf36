"""Cross-entropy plus contrastive losses between the phases of a clip."""

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from dianet_jax.core import config, errors, schema
from dianet_jax.models import views as views_lib
from dianet_jax.models.layers import widened
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
  """`CrossEntropy` plus losses between the phases; no state.

  Global: the projected means of both phases, matched in both directions; the
  mean of both losses. Local: tokens of the second phase, matched to the map of
  the first; the sum of both directions. Clips that lack a phase have neither.

  Source: BioViL-T, arXiv 2301.04558, states a global and a local loss between
  an image and a report (and masked language modelling, which has no counterpart
  here); their form is that of GLoRIA's code. Ours: comparing two phases, the
  temperature, and the weights.
  """

  settings: Settings = Settings()
  Settings: ClassVar[type[config.Objective]] = Settings

  def init(
    self, variables: Any, outputs: Outputs, key: Key[Array, '']
  ) -> tuple[()]:
    """No state.

    Raises:
      UserError: the model has no tokens or projections, or not those of two
        phases.
    """
    del variables, key
    objectives.require(outputs, self.settings.name, 'tokens')
    if 'projections' not in outputs.auxiliary:
      raise errors.UserError(
        f'--config.objective.name={self.settings.name!r} compares projections,'
        ' which --config.model.projection_width=0 omits. Set 128, as there, or'
        ' choose another objective.'
      )
    objectives.require_two_views(
      self.settings.name, outputs.auxiliary['tokens'].shape[1]
    )
    return ()

  def __call__(
    self, outputs: Outputs, batch: Batch, state: tuple[()]
  ) -> tuple[Float[Array, ''], tuple[()]]:
    """The loss over the valid clips."""
    s = self.settings
    loss, state = objectives.CrossEntropy(s)(outputs, batch, state)
    [images] = batch.inputs.values()
    both = batch.valid & views_lib.present(images).all(axis=1)

    def of_clips(name):
      x = widened(outputs.auxiliary[name])
      return jnp.where(both.reshape(-1, *[1] * (x.ndim - 1)), x, 0)

    projections, tokens = of_clips('projections'), of_clips('tokens')
    there, back = contrastive.global_losses(
      projections[:, 0], projections[:, 1], both, s.temperature
    )
    loss += s.weight * (there + back) / 2
    if s.local:
      there, back = contrastive.local_losses(tokens[:, 0], tokens[:, 1], both)
      loss += s.weight * (there + back)
    return loss, state
