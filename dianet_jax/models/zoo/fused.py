"""DIANet's streams with the fusions of other systems, with all their options.

BioViL-T (`fusions.biovilt`), GBAN (`fusions.gban`) and CausalNet's blocks
(`fusions.causal`): a backbone for each phase as in DIANet, then their fusion.
The files of the fusions say what is stated, measured and ours; the streams, the
classifier after the fusion and its dropout are DIANet's.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dianet_jax.core import schema
from dianet_jax.models import dianet, fusions
from dianet_jax.models.fusions import gban
from dianet_jax.models.zoo import flow_images


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

  Its losses between images are those of the objective `phase_contrast`, with
  `projection_width` of 128. Nothing is recommended, because the optimiser, the
  number of epochs and the weights of the losses were not published.

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
  initializer: str = schema.key(
    'lecun_normal',
    "Initial weights of the fusion's linear layers: lecun_normal (ours),"
    ' xavier_normal (the paper), xavier_uniform (the code).',
    schema.one_of(*gban.INITIALIZERS),
  )
  gate_dropout: float = schema.key(
    0.0,
    'Dropout rate of the vectors that enter the gates. The paper lists dropout'
    ' inside the fusion, the code has none.',
    schema.BELOW_ONE,
  )


class GBAN(dianet.DIANet):
  """`dianet.DIANet` with `fusions.GBAN`.

  Recommended are the authors' batches of 32, 100 epochs at most, Adam with a
  constant rate of 1e-4, balanced classes, and no augmentation (their inputs are
  speech and text). Theirs, and not reachable: a beta2 of .9, gradients clipped
  to a norm of 5, and early stopping after 5 epochs on a stratified 5 % of the
  training clips (`evaluation.epochs=inner_split` chooses on whole subjects).
  Their initialisation is `initializer`, which the recommended training leaves
  alone.

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
    'train.warmup_fraction': 0.0,
    'train.schedule': 'constant',
    'train.weight_decay': 0.0,
    'train.class_balance': 'inverse_frequency',
    'train.augment.flip_probability': 0.0,
    'train.augment.shift_pixels': 0,
    'objective.label_smoothing': 0.0,
  }

  def fusion_options(self) -> dict[str, Any]:
    """See `dianet.DIANet.fusion_options`."""
    s = self.settings
    return {
      'width': s.gate_width,
      'score': s.score,
      'hidden': s.hidden_width,
      'initializer': s.initializer,
      'dropout': s.gate_dropout,
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
  position_stream: str = schema.key(
    'none',
    'none: the streams themselves take its place (ours). derived: a backbone of'
    ' its own, shared by the phases, reads their clipped and rounded'
    ' displacements; for optical flow, whose first channels are u and v.'
    ' centred: the same after subtracting their medians.',
    schema.one_of('none', *flow_images.POSITIONS),
  )
  hidden_width: int = schema.key(
    0,
    'Width of a linear layer without activation before the classifier; 0 ='
    ' none (ours). There 2048.',
    schema.at_least(0),
  )


class Causal(dianet.DIANet):
  """`dianet.DIANet` with `fusions.Causal`.

  The position stream is that of `flow_images.position_images`, which see for
  what counts as no motion. Nothing is recommended: the recipe of the authors is
  that of the whole network, `causalnet`. There the tokens are in a row before
  the head, as with `pool=flatten`.

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
    s = self.settings
    return {
      'depth': s.depth,
      'gamma': s.gamma,
      'position': s.position_stream != 'none',
      'hidden': s.hidden_width,
    }

  def fused_tokens(
    self,
    tokens: Sequence[fusions.Tokens],
    images: Float[Array, 'clip view height width channel'],
    valid: Bool[Array, ' clip'] | None,
    train: bool,
  ) -> Sequence[fusions.Tokens]:
    """The tokens, followed by those of the position stream on their features.

    Hiding a phase thus hides both.
    """
    kind = self.settings.position_stream
    if kind == 'none':
      return tokens
    backbone = self.backbone('position_backbone')
    positions = flow_images.positions_of(images, kind)
    return [
      jnp.concatenate(
        [own, backbone(positions[:, view], valid, train).reshape(own.shape)],
        axis=-1,
      )
      for view, own in enumerate(tokens)
    ]

  @staticmethod
  def check(
    settings: CausalSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield from dianet.DIANet.check(settings, specs)
    [spec] = specs.values()
    yield (
      'position_stream',
      settings.position_stream == 'none' or spec.shape[-1] > 1,
      'none, as the images have a single channel',
    )
