"""BioViL-T's fusion: what one phase adds to the other.

Source: Bannur et al., "Learning to Exploit Temporal Structure for Biomedical
Vision-Language Processing", arXiv 2301.04558, and its code in hi-ml. There the
images are X-rays, a current and a prior one.

Stated: the shared encoder, a transformer over the patches of both, a learned
vector instead of a missing prior, and three losses: global (image and report),
local (patches and words) and masked language modelling. The first two exist
here between phases, as objective `phase_contrast`; the third needs texts. Their
weights, the optimiser and the number of epochs are not in the released code.
Measured: all sizes; positions are fixed and enter the values, too; linear
layers and embeddings start with a truncated normal of .02, and `types` is
exempt from weight decay. Not so here: kernels have Flax's LeCun normal
initialisation, and `types` is decayed like other arrays of two axes. Ours: the
images are phases of a clip, and either may be missing, clip by clip. A clip
without any phase gets a prediction from constants; the notes of a run count
such clips.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float
import numpy as np

from dianet_jax.models import layers, official
from dianet_jax.models.fusions.plain import Fusion, Tokens, Vectors

_EPSILON = 1e-6


def positions(side: int, width: int) -> Float[np.ndarray, 'token feature']:
  """Sines and cosines of the row, then of the column; float32, as there.

  The cosines, of the row and of the column, on a map of 2 x 2 with 4 features:

  >>> positions(2, 4)[:, 1::2].round(1).tolist()
  [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]

  Args:
    side: rows, and columns, of the map.
    width: features, a multiple of 4.

  Returns:
    One row for each token, row by row of the map.
  """
  half = width // 2
  place = np.arange(1, side + 1, dtype=np.float32)
  angle = place / np.float32(side + 1e-6) * np.float32(2 * np.pi)
  period = 10000 ** (2 * (np.arange(half) // 2) / half)
  angles = angle[:, None] / period.astype(np.float32)
  table = np.where(np.arange(half) % 2, np.cos(angles), np.sin(angles))
  rows, columns = np.repeat(table, side, axis=0), np.tile(table, (side, 1))
  return np.concatenate([rows, columns], axis=-1)


class Pooler(nn.Module):
  """The transformer over the tokens of both images.

  Attributes:
    heads: attention heads.
    depth: number of blocks.
    embed_value: whether positions enter the values besides queries and keys, as
      they do in the code, although its comments say otherwise.
    dropout: dropout rate of tokens, attention weights and branches, in
      training.
    drop_path: probability that a residual branch is left out, in training.
    dtype: computation dtype; None for that of the tokens.
  """

  heads: int = 8
  depth: int = 3
  embed_value: bool = True
  dropout: float = 0.1
  drop_path: float = 0.25
  dtype: Any = None

  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'type_embed', 'types'),
      (r'blocks\.(\d+)', r'block_\1'),
      (r'norm(\d)\.', r'norm_\1.'),
      (r'norm_post', 'norm'),
      (r'attn\.proj_q', 'attention.query'),
      (r'attn\.proj_k', 'attention.key'),
      (r'attn\.proj_v', 'attention.value'),
      (r'attn\.proj\.', 'attention.out.'),
      (r'fc1', 'expand'),
      (r'fc2', 'reduce'),
    )
  )

  @nn.compact
  def __call__(
    self,
    current: Tokens,
    previous: Tokens | None,
    train: bool = False,
    swapped: bool = False,
  ) -> Tokens:
    """The tokens of the current image, updated by those of the previous one.

    Args:
      current: tokens of a square map.
      previous: as many; None if there is no previous image.
      train: whether dropout is active.
      swapped: whether to exchange the learned vectors that mark an image as
        current or previous.

    Returns:
      The shape of `current`.
    """
    count, width = current.shape[-2:]
    place = jnp.asarray(
      positions(layers.grid_side(count), width), current.dtype
    )
    types = self.param(
      'types', nn.initializers.truncated_normal(0.02), (2, width)
    )
    types = types.astype(current.dtype)
    order = types[::-1] if swapped else types
    images = [current] if previous is None else [current, previous]
    embedding = jnp.concatenate(
      [place + kind for kind, _ in zip(order, images)]
    )
    x = jnp.concatenate(images, axis=-2)
    x = nn.Dropout(self.dropout, deterministic=not train)(x)
    for block in range(self.depth):
      x = _PoolerBlock(
        self.heads,
        self.embed_value,
        self.dropout,
        self.drop_path,
        self.dtype,
        name=f'block_{block}',
      )(x, embedding, train)
    return nn.LayerNorm(_EPSILON, dtype=self.dtype, name='norm')(x[:, :count])


class _PoolerBlock(nn.Module):
  """A pre-norm transformer block; attributes: see `Pooler`."""

  heads: int
  embed_value: bool
  dropout: float
  drop_path: float
  dtype: Any

  @nn.compact
  def __call__(self, x, embedding, train):
    """Tokens of the same shape."""

    def norm(name):
      return nn.LayerNorm(_EPSILON, dtype=self.dtype, name=name)

    plain = norm('norm_1')(x)
    placed = plain + embedding
    y = layers.Attention(
      self.heads,
      bias=False,
      dropout=self.dropout,
      dtype=self.dtype,
      name='attention',
    )(placed, value=placed if self.embed_value else plain, train=train)
    y = nn.Dropout(self.dropout, deterministic=not train)(y)
    x = x + layers.DropPath(self.drop_path)(y, train)
    y = layers.Mlp(
      x.shape[-1], dropout=self.dropout, dtype=self.dtype, name='mlp'
    )(norm('norm_2')(x), train)
    return x + layers.DropPath(self.drop_path)(y, train)


class BioViLT(Fusion):
  """The current phase, concatenated with what the other phase adds to it.

  Attributes:
    width: features of the tokens after a linear layer; 0 (ours) omits the layer
      and keeps the backbone's features. There 256.
    current_phase: index of the view that is current.
    symmetric: whether each phase is current in turn, and both results are
      concatenated; a phase keeps its mark. Ours.
    depth: see `Pooler`.
    embed_value: see `Pooler`.

  >>> import jax
  >>> tokens = [jnp.zeros((4, 49, 8)), jnp.ones((4, 49, 8))]
  >>> key, fusion = jax.random.key(0), BioViLT(depth=1)
  >>> jax.eval_shape(fusion.init_with_output, key, tokens)[0].shape
  (4, 1, 16)
  """

  views: ClassVar[int | None] = 2
  knows_missing: ClassVar[bool] = True

  heads: int = 8
  width: int = 0
  current_phase: int = 0
  symmetric: bool = False
  depth: int = 3
  embed_value: bool = True

  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'missing_previous_emb', 'missing'),
      (r'backbone_to_vit', 'project'),
      (r'vit_pooler', 'pooler'),
      *Pooler.official_names.rules,
    )
  )

  @nn.compact
  def __call__(
    self,
    tokens: Sequence[Tokens],
    present: Bool[Array, 'clip view'] | None = None,
    train: bool = False,
  ) -> Vectors:
    """One vector per clip.

    Args:
      tokens: two phases, each a square map.
      present: which phases a clip has; None for both. If it has only one, that
        one is current, and a learned vector replaces what the other would add.
      train: whether dropout is active.

    Returns:
      One view of twice the features; `symmetric`: of four times.
    """
    first, second = tokens
    if self.width:
      project = nn.Dense(
        self.width, use_bias=False, dtype=self.dtype, name='project'
      )
      first, second = project(first), project(second)
    tokens = [first, second]
    if present is None:
      present = jnp.ones((len(first), 2), bool)
    pooler = Pooler(
      self.heads, self.depth, self.embed_value, dtype=self.dtype, name='pooler'
    )
    missing = self.param(
      'missing', nn.initializers.truncated_normal(0.02), first.shape[-1:]
    ).astype(first.dtype)
    both = present.all(axis=1)[:, None, None]

    def fused(current, swapped):
      own, other = tokens[current], tokens[1 - current]
      added = jnp.where(both, pooler(own, other, train, swapped), missing)
      own = jnp.where(present[:, current, None, None], own, other)
      return self.pooled(jnp.concatenate([own, added], axis=-1))

    parts = [fused(self.current_phase, False)]
    if self.symmetric:
      parts.append(fused(1 - self.current_phase, True))
    return jnp.concatenate(parts, axis=-1)[:, None]


class Projector(nn.Module):
  """Features of each token -> features that are compared between images.

  Attributes:
    width: features of both layers.
    dtype: computation dtype; None for that of x.
  """

  width: int = 128
  dtype: Any = None

  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'model\.0', 'first'),
      (r'model\.1', 'norm'),
      (r'model\.3', 'second'),
    )
  )

  @nn.compact
  def __call__(
    self,
    x: Tokens,
    valid: Bool[Array, ' clip'] | None = None,
    train: bool = False,
  ) -> Float[Array, 'clip width']:
    """The mean over the tokens; `valid`, `train` as in `layers.BatchNorm`."""
    x = nn.Dense(self.width, use_bias=False, dtype=self.dtype, name='first')(x)
    x = nn.relu(layers.BatchNorm(self.dtype, name='norm')(x, valid, train))
    return nn.Dense(self.width, dtype=self.dtype, name='second')(x).mean(axis=1)
