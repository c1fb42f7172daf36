"""DIANet's streams with the fusions of other systems, with all their options.

BioViL-T (`fusions.biovilt`), GBAN (`fusions.gban`) and CausalNet's blocks
(`fusions.causal`): a backbone for each phase as in DIANet, then their fusion.
"""

from collections.abc import Iterator, Mapping
import dataclasses
from typing import Any, ClassVar

import jax

from dianet_jax.core import schema
from dianet_jax.models import dianet
from dianet_jax.models.fusions import gban


def _fixed(name):
  return schema.key(name, 'Fixed for this model.', schema.one_of(name))


@dataclasses.dataclass(frozen=True)
class BioViLTSettings(dianet.DIANetSettings):
  """DIANet's streams, BioViL-T's fusion."""

  name: str = 'biovilt'
  fusion: str = _fixed('biovilt')
  share_backbone: bool = True
  heads: int = 8
  phase_dropout: float = schema.key(
    0.1,
    'Probability that one phase of a clip counts as missing in training, so'
    ' that the vector which replaces it is trained. Ours.',
    schema.BELOW_ONE,
  )
  token_width: int = schema.key(
    0,
    "Features of tokens after a linear layer; 0: no layer, the backbone's"
    ' features (ours). Stated: 256.',
    schema.at_least(0),
  )
  depth: int = schema.key(3, 'Transformer blocks.', schema.at_least(1))
  current_phase: int = schema.key(
    0,
    'Index in data.phases of the current phase; the other is compared with it.'
    ' Ours.',
    schema.Check(lambda value: value in (0, 1), '0 or 1'),
  )
  symmetric: bool = schema.key(
    False, 'Whether each phase is current in turn. Ours.'
  )
  embed_value: bool = schema.key(
    True, 'Whether positions enter the values, as in the code.'
  )


class BioViLT(dianet.DIANet):
  """`dianet.DIANet` with `fusions.BioViLT`.

  >>> settings = BioViLTSettings(backbone='compact', heads=4)
  >>> images = jax.ShapeDtypeStruct((4, 2, 28, 28, 3), 'float32')
  >>> inputs, key = {'dynamic_images': images}, jax.random.key(0)
  >>> model = BioViLT(3, settings)
  >>> outputs, _ = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  settings: BioViLTSettings = BioViLTSettings()

  Settings: ClassVar[type[BioViLTSettings]] = BioViLTSettings
  recommended: ClassVar[Mapping[str, Any]] = {}

  @staticmethod
  def check(
    settings: BioViLTSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield from dianet.DIANet.check(settings, specs)
    width = settings.token_width
    yield (
      'token_width',
      width % (4 * settings.heads) == 0,
      f'0, or a multiple of {4 * settings.heads}: heads and positions fit',
    )

  def fusion_options(self) -> dict[str, Any]:
    """See `dianet.DIANet.fusion_options`."""
    s = self.settings
    return {
      'width': s.token_width,
      'depth': s.depth,
      'current_phase': s.current_phase,
      'symmetric': s.symmetric,
      'embed_value': s.embed_value,
    }


@dataclasses.dataclass(frozen=True)
class GBANSettings(dianet.DIANetSettings):
  """DIANet's streams, GBAN's fusion."""

  name: str = 'gban'
  fusion: str = _fixed('gban')
  score: str = schema.key(
    'additive',
    'Attention score of two tokens: additive (the code), dot_tanh (the paper;'
    ' nearly uniform), scaled_dot (ours).',
    schema.one_of(*gban.SCORES),
  )
  gate_width: int = schema.key(
    128, 'Features of the gates. Stated.', schema.at_least(1)
  )
  hidden_width: int = schema.key(
    128,
    'Width of the layer after the fusion; 0 = none. Stated.',
    schema.at_least(0),
  )


class GBAN(dianet.DIANet):
  """`dianet.DIANet` with `fusions.GBAN`.

  >>> settings = GBANSettings(backbone='compact', heads=4)
  >>> images = jax.ShapeDtypeStruct((4, 2, 28, 28, 3), 'float32')
  >>> inputs, key = {'dynamic_images': images}, jax.random.key(0)
  >>> model = GBAN(3, settings)
  >>> outputs, _ = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  settings: GBANSettings = GBANSettings()

  Settings: ClassVar[type[GBANSettings]] = GBANSettings
  recommended: ClassVar[Mapping[str, Any]] = {
    'train.epochs': 100,
    'train.batch_size': 32,
    'train.learning_rate': 1e-4,
    'train.weight_decay': 0.0,
    'objective.label_smoothing': 0.0,
  }

  def fusion_options(self) -> dict[str, Any]:
    """See `dianet.DIANet.fusion_options`."""
    s = self.settings
    return {
      'width': s.gate_width,
      'score': s.score,
      'hidden': s.hidden_width,
    }


@dataclasses.dataclass(frozen=True)
class CausalSettings(dianet.DIANetSettings):
  """DIANet's streams, CausalNet's blocks."""

  name: str = 'causal'
  fusion: str = _fixed('causal')
  heads: int = 8
  depth: int = schema.key(
    2,
    'Layers in which the phases attend to each other. There 9, by mistake.',
    schema.at_least(1),
  )
  gamma: float = schema.key(
    0.5, 'Penalty of attention between opposite tokens.'
  )


class Causal(dianet.DIANet):
  """`dianet.DIANet` with `fusions.Causal`.

  >>> settings = CausalSettings(backbone='compact', heads=4)
  >>> images = jax.ShapeDtypeStruct((4, 2, 28, 28, 3), 'float32')
  >>> inputs, key = {'dynamic_images': images}, jax.random.key(0)
  >>> model = Causal(3, settings)
  >>> outputs, _ = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  settings: CausalSettings = CausalSettings()

  Settings: ClassVar[type[CausalSettings]] = CausalSettings
  recommended: ClassVar[Mapping[str, Any]] = {}

  def fusion_options(self) -> dict[str, Any]:
    """See `dianet.DIANet.fusion_options`."""
    return {'depth': self.settings.depth, 'gamma': self.settings.gamma}
