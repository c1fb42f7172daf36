"""CausalNet: flow and position images of both phases, fused in both directions.

Source: arXiv 2508.06640 and its code. Stated: flow of both phases, position
images, the two blocks of `fusions.causal`, Adam 5e-5, 200 epochs. Measured:
276,590,089 parameters, nine layers of the first block, no activation in the
head, all training clips in one batch. The code does not show how the position
images were made; those of the published images are read as they are
(`position_images=stored`, `data.inputs` flow_and_positions). Ours: from frames,
or if asked, they are derived from the flow, or left out; which value of a
stored image of flow means no motion is unknown, see
`flow_images.position_images`, and `position_images=centred` estimates it. The
blocks start with Flax's LeCun normal initialisation instead of PyTorch's
default, which the trunks and the head have. At full size Adam needs 3.3 GB per
fold; a width of 32 to 64 is recommended. Published: UF1 .8976 on the composite,
with epochs chosen on the held-out subjects.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dianet_jax.core import schema
from dianet_jax.models import layers, official
from dianet_jax.models.fusions import causal
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import flow_images, htnet, ststnet

# With a data set that stores its authors' position images.
STORED: Mapping[str, Any] = {
  'data.inputs': ('flow_and_positions',),
  'model.position_images': 'stored',
}


@dataclasses.dataclass(frozen=True)
class CausalNetSettings(htnet.TrunkSettings):
  """CausalNet."""

  name: str = 'causalnet'
  repeats: tuple[int, ...] = (3, 3, 9)
  position_images: str = schema.key(
    'derived',
    'derived: displacements, clipped and rounded (ours); centred: the same'
    ' after subtracting their medians; stored: those of a data set, for which'
    " data.inputs is ('flow_and_positions',); none: the flow stream replaces"
    ' them, and there is one transformer instead of two.',
    schema.one_of(*flow_images.POSITIONS, 'stored', 'none'),
  )
  depth: int = schema.key(
    9,
    'Layers in which the phases attend to each other.',
    schema.at_least(1),
  )
  block_heads: int = schema.key(
    8, 'Attention heads of the blocks, a divisor of width.', schema.at_least(1)
  )
  gamma: float = schema.key(
    0.5, 'Penalty of attention between opposite tokens.'
  )
  head_width: int = schema.key(
    2048,
    'Width of the linear layer before the classifier.',
    schema.at_least(1),
  )


class Network(nn.Module):
  """Flow and position images of both phases -> logits.

  Attributes:
    num_classes: width of the logits.
    settings: see `CausalNetSettings`; channel order and input scale have no
      effect here.
    dtype: computation dtype; None for that of the images.
  """

  num_classes: int
  settings: CausalNetSettings
  dtype: Any = None

  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^to_patch_embedding1', 'position_trunk.to_patch_embedding'),
      (r'^layers1', 'position_trunk.layers'),
      (r'^(to_patch_embedding|layers)', r'trunk.\1'),
      (r'^mlp_head\.0', 'hidden'),
      (r'^mlp_head\.1', 'classifier'),
      *(
        (p.replace('^', r'\b', 1), r)
        for p, r in htnet.Trunk.official_names.rules
      ),
      *causal.Blocks.official_names.rules,
      (r'^(crosswise_|causal)', r'blocks.\1'),
    ),
    causal.Blocks.official_names.unused,
  )

  @nn.compact
  def __call__(
    self, streams: Sequence[Float[Array, 'clip view height width channel']]
  ) -> Float[Array, 'clip class_']:
    """Logits.

    Args:
      streams: flow images and, optionally, position images, each of two views.
    """
    settings = self.settings
    tokens = [
      self._tokens(images, name)
      for images, name in zip(streams, ('trunk', 'position_trunk'))
    ]
    parts = causal.Blocks(
      settings.depth,
      settings.block_heads,
      settings.gamma,
      self.dtype,
      name='blocks',
    )(*tokens[0], *tokens[-1])
    x = parts.reshape(len(parts), -1)
    x = nn.Dense(
      settings.head_width,
      kernel_init=layers.uniform_fan_in,
      dtype=self.dtype,
      name='hidden',
    )(x)
    return nn.Dense(
      self.num_classes, kernel_init=layers.uniform_fan_in, name='classifier'
    )(layers.widened(x))

  def _tokens(self, images, name):
    """Tokens of both phases, four for each position of the last level."""
    settings, clips = self.settings, len(images)
    x = htnet.Trunk(
      settings.width,
      settings.repeats,
      settings.heads,
      settings.patch,
      self.dtype,
      name=name,
    )(jnp.concatenate([images[:, 0], images[:, 1]]))
    rows, columns = x.shape[1:3]
    # Features of the last level: feature, row, column of four tokens.
    x = x.reshape(2 * clips, rows, columns, settings.width, 2, 2)
    x = x.transpose(0, 1, 4, 2, 5, 3).reshape(2, clips, -1, settings.width)
    return x[0], x[1]


class CausalNet(nn.Module):
  """Both phases -> logits; attributes: see `registry.Model`.

  >>> settings = CausalNetSettings(
  ...   width=16, repeats=(1, 1, 1), depth=1, head_width=8
  ... )
  >>> images = jax.ShapeDtypeStruct((4, 2, 28, 28, 3), 'float32')
  >>> inputs, key = {'phase_flow': images}, jax.random.key(0)
  >>> model = CausalNet(3, settings)
  >>> outputs, _ = jax.eval_shape(model.init_with_output, key, inputs)
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  num_classes: int
  settings: CausalNetSettings = CausalNetSettings()
  dtype: Any = None

  Settings: ClassVar[type[CausalNetSettings]] = CausalNetSettings
  reads: ClassVar[tuple[str, ...]] = ('phase_flow',)
  recommended: ClassVar[Mapping[str, Any]] = {
    **ststnet.STSTNet.recommended,
    'data.scaling': 'grey_levels',
    'train.epochs': 200,
    'train.batch_size': 512,
  }
  official_names: ClassVar[official.Names] = official.Names(
    (*Network.official_names.rules, (r'^', 'network.')),
    Network.official_names.unused,
  )

  @staticmethod
  def check(
    settings: CausalNetSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield from htnet.check_trunk(settings, specs)
    yield from flow_images.check_views(specs, 'name', 2)
    [spec] = specs.values()
    stored = settings.position_images == 'stored'
    yield (
      'position_images',
      stored == (spec.shape[0] == 4),
      "stored, if and only if data.inputs is ('flow_and_positions',), with two"
      ' phases',
    )
    yield (
      'block_heads',
      settings.width % settings.block_heads == 0,
      f'a divisor of width={settings.width}',
    )
    yield (
      'repeats',
      len(settings.repeats) == 3,
      'three levels: the features of the last are split into four tokens',
    )

  @nn.compact
  def __call__(
    self,
    inputs: Mapping[str, Float[Array, 'clip view height width channel']],
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Outputs:
    """See `registry.Model`; one view. No clip depends on another."""
    del valid, train
    settings = self.settings
    [raw] = inputs.values()
    streams = [raw[:, :2]]
    if settings.position_images == 'stored':
      streams.append(raw[:, 2:])
    elif settings.position_images != 'none':
      streams.append(
        flow_images.positions_of(raw[:, :2], settings.position_images)
      )
    streams = [flow_images.read({'': s}, settings) for s in streams]
    if settings.mosaic:
      streams = [flow_images.mosaic(images) for images in streams]
    logits = Network(self.num_classes, settings, self.dtype, name='network')(
      streams
    )
    return Outputs(logits[:, None])
