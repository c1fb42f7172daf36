"""HTNet: a hierarchy of transformers within blocks of one flow image.

Source: Wang et al., "HTNet for micro-expression recognition", arXiv 2307.14637,
and its code. Stated: a mosaic of four regions of the face, three levels, Adam
5e-5, 800 epochs. Measured: 139,582,982 parameters; at 28 pixels a block is one
token, so attention reduces to the value projection, and queries and keys have
neither effect nor gradient. Ours: fixed landmarks (theirs if no face is found),
shuffled batches, wider initial weights of attention and MLPs (Flax's default
instead of PyTorch's), and settings with which attention has an effect:
`repeats` of two levels at 28 pixels, or images of 56. Published: UF1 .8603 on
the composite, with epochs chosen on the held-out subjects.
"""

from collections.abc import Iterator, Mapping
import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
from jaxtyping import Array, Bool, Float

from dianet_jax.core import schema
from dianet_jax.models import layers, official
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import flow_images, ststnet

_EPSILON = 1e-5
Map = Float[Array, 'clip height width channel']
NewMap = Float[Array, 'clip new_height new_width feature']


@dataclasses.dataclass(frozen=True)
class TrunkSettings(flow_images.Settings):
  """Settings shared by HTNet and CausalNet."""

  width: int = schema.key(
    256,
    'Features of the first level; each level has twice as many as the previous'
    ' one. Stated; 24 to 64 are enough for a few hundred clips.',
    schema.at_least(1),
  )
  repeats: tuple[int, ...] = schema.key(
    (2, 2, 10),
    'Transformer blocks of each level. With two levels instead of three, blocks'
    ' of 28-pixel images have four tokens, so that attention has an effect.',
    schema.Check(
      lambda repeats: repeats and min(repeats) >= 1, 'numbers of at least 1'
    ),
  )
  heads: int = schema.key(
    3,
    'Attention heads of the first level; each further level has twice as many.',
    schema.at_least(1),
  )
  patch: int = schema.key(7, 'Pixels of a patch, square.', schema.at_least(1))
  mosaic: bool = schema.key(
    True, 'Whether images are first rearranged into four regions of the face.'
  )


@dataclasses.dataclass(frozen=True)
class HTNetSettings(TrunkSettings):
  """HTNet."""

  name: str = 'htnet'


class Trunk(nn.Module):
  """The network without its head.

  Attributes:
    width: see `TrunkSettings`.
    repeats: see `TrunkSettings`.
    heads: see `TrunkSettings`.
    patch: see `TrunkSettings`.
    dtype: computation dtype; None for that of the image.
  """

  width: int
  repeats: tuple[int, ...]
  heads: int
  patch: int
  dtype: Any = None

  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^to_patch_embedding\.1', 'patches'),
      (r'^layers\.(\d+)\.0\.pos_emb', r'level_\1.position'),
      (r'^layers\.(\d+)\.1\.0', r'aggregate_\1.convolution'),
      (r'^layers\.(\d+)\.1\.1', r'aggregate_\1.norm'),
      (r'^layers\.(\d+)\.0\.layers\.(\d+)', r'level_\1.block_\2'),
      (r'\.0\.norm', '.norm_1'),
      (r'\.1\.norm', '.norm_2'),
      (r'\.0\.fn\.to_qkv', '.attention.query|key|value'),
      (r'\.0\.fn\.to_out\.0', '.attention.out'),
      (r'\.1\.fn\.net\.0', '.mlp.expand'),
      (r'\.1\.fn\.net\.3', '.mlp.reduce'),
    )
  )

  @nn.compact
  def __call__(self, image: Map) -> NewMap:
    """Features of the last level, as wide as the first times 2^(levels - 1)."""
    patch, width, heads = self.patch, self.width, self.heads
    clips, rows, columns = (
      n // d for n, d in zip(image.shape, (1, patch, patch))
    )
    x = image.reshape(clips, rows, patch, columns, patch, -1)
    # Features of a patch: row, column, channel.
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(clips, rows, columns, -1)
    x = nn.Dense(
      width,
      kernel_init=layers.uniform_fan_in,
      dtype=self.dtype,
      name='patches',
    )(x)
    for level, repeats in enumerate(self.repeats):
      blocks = 2 ** (len(self.repeats) - 1 - level)
      x = _Level(blocks, heads, repeats, self.dtype, name=f'level_{level}')(x)
      if blocks > 1:
        width, heads = 2 * width, 2 * heads
        x = _Aggregate(width, self.dtype, name=f'aggregate_{level}')(x)
    return x


class _Level(nn.Module):
  """Transformer blocks with attention within each block of the map."""

  blocks: int
  heads: int
  repeats: int
  dtype: Any

  @nn.compact
  def __call__(self, x: Map) -> NewMap:
    clips, rows, columns, width = x.shape
    tall, wide = rows // self.blocks, columns // self.blocks
    x = x.reshape(clips, self.blocks, tall, self.blocks, wide, width)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(clips, -1, tall * wide, width)
    # As in the code, one value for all features of a token.
    position = self.param(
      'position', nn.initializers.normal(1.0), (tall * wide,)
    )
    x = x + position.astype(x.dtype)[:, None]
    for block in range(self.repeats):
      x = _Block(self.heads, self.dtype, name=f'block_{block}')(x)
    x = x.reshape(clips, self.blocks, self.blocks, tall, wide, width)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(clips, rows, columns, width)


class _Block(nn.Module):
  heads: int
  dtype: Any

  @nn.compact
  def __call__(self, x):
    """Attention without biases of queries, keys and values; MLP."""

    def norm(name):
      return nn.LayerNorm(_EPSILON, dtype=self.dtype, name=name)

    width = x.shape[-1]
    x = x + layers.Attention(
      self.heads,
      # Heads need not divide the width: 85 of 256 features in 3 heads.
      head_width=width // self.heads,
      bias=False,
      dtype=self.dtype,
      name='attention',
    )(norm('norm_1')(x))
    return x + layers.Mlp(4 * width, dtype=self.dtype, name='mlp')(
      norm('norm_2')(x)
    )


class _Aggregate(nn.Module):
  """Convolution, norm and max pooling: half the rows and columns."""

  width: int
  dtype: Any

  @nn.compact
  def __call__(self, x: Map) -> NewMap:
    x = layers.Conv(
      self.width,
      (3, 3),
      padding=1,
      kernel_init=layers.uniform_fan_in,
      dtype=self.dtype,
      name='convolution',
    )(x)
    x = nn.LayerNorm(_EPSILON, dtype=self.dtype, name='norm')(x)
    return layers.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


def check_trunk(
  settings: TrunkSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
) -> Iterator[tuple[str, bool, str]]:
  """Checks that patches and blocks fit the images.

  >>> spec = jax.ShapeDtypeStruct((1, 28, 28, 3), float)
  >>> [check[:2] for check in check_trunk(TrunkSettings(), {'flow': spec})]
  [('patch', True), ('mosaic', True)]

  Args:
    settings: see `TrunkSettings`.
    specs: one entry, see `registry.Model.check`.

  Yields:
    See `registry.Model.check`.
  """
  [spec] = specs.values()
  rows, columns = spec.shape[1:3]
  blocks = settings.patch * 2 ** (len(settings.repeats) - 1)
  yield (
    'patch',
    rows % blocks == columns % blocks == 0,
    f'a patch such that {2 ** (len(settings.repeats) - 1)} of them divide the'
    f' image: data.image_size={rows} is not a multiple of {blocks}',
  )
  yield (
    'mosaic',
    not settings.mosaic or rows % 4 == columns % 4 == 0,
    f'false, or data.image_size a multiple of 4: it is {rows}',
  )


class HTNet(nn.Module):
  """Onset to apex -> logits; attributes: see `registry.Model`.

  >>> settings = HTNetSettings(width=24, repeats=(1, 1, 2))
  >>> images = jax.ShapeDtypeStruct((4, 2, 28, 28, 3), 'float32')
  >>> inputs, key = {'phase_flow': images}, jax.random.key(0)
  >>> model = HTNet(3, settings)
  >>> outputs, variables = jax.eval_shape(model.init_with_output, key, inputs)
  >>> sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
  314694
  >>> outputs.logits.shape
  (4, 1, 3)
  """

  num_classes: int
  settings: HTNetSettings = HTNetSettings()
  dtype: Any = None

  Settings: ClassVar[type[HTNetSettings]] = HTNetSettings
  reads: ClassVar[tuple[str, ...]] = ('phase_flow',)
  recommended: ClassVar[Mapping[str, Any]] = ststnet.STSTNet.recommended
  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^mlp_head\.0', 'norm'),
      (r'^mlp_head\.2', 'classifier'),
      *Trunk.official_names.rules,
      (r'^(patches|level_|aggregate_)', r'trunk.\1'),
    )
  )

  @staticmethod
  def check(
    settings: HTNetSettings, specs: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Iterator[tuple[str, bool, str]]:
    """See `registry.Model`."""
    yield from check_trunk(settings, specs)

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
    image = flow_images.read(inputs, settings)[:, 0]
    image = flow_images.mosaic(image) if settings.mosaic else image
    x = Trunk(
      settings.width,
      settings.repeats,
      settings.heads,
      settings.patch,
      self.dtype,
      name='trunk',
    )(image)
    x = nn.LayerNorm(_EPSILON, dtype=self.dtype, name='norm')(x)
    logits = nn.Dense(
      self.num_classes, kernel_init=layers.uniform_fan_in, name='classifier'
    )(layers.widened(x.mean(axis=(1, 2))))
    return Outputs(logits[:, None])
