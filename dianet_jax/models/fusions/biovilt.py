"""BioViL-T's fusion: what one phase adds to the other.

Source: Bannur et al., "Learning to Exploit Temporal Structure for Biomedical
Vision-Language Processing", arXiv 2301.04558, and its code in hi-ml. There the
images are X-rays, a current and a prior one. Stated: the shared encoder, a
transformer over the patches of both, a learned vector for a prior that is
missing. Measured: the embedding enters the values, too; fixed positions.
Ours: the phases of a clip as images, and that each clip misses its own.
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

  Args:
    side: rows and columns of the map.
    width: features, a multiple of 4.
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
    heads: of the attention.
    depth: number of blocks.
    embed_value: whether positions enter the values besides queries and keys;
      so it is in the code, whose comments say otherwise.
    dropout: of tokens, attention weights and branches, in training.
    drop_path: probability that a branch is left out, in training.
    dtype: of the computation; None is that of the tokens.
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
    """The tokens of the current image, with what the other adds.

    Args:
      current: tokens of a square map.
      previous: as many; None for the current ones alone.
      train: whether dropout acts.
      swapped: whether the current image is the earlier one.
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
  """Attributes as those of `Pooler`."""

  heads: int
  embed_value: bool
  dropout: float
  drop_path: float
  dtype: Any

  @nn.compact
  def __call__(self, x, embedding, train):
    """One block of the pre-norm transformer."""

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
  """One phase as it is, and beside it what the other adds to it.

  Attributes:
    width: features of the tokens after a linear layer; 0 keeps the backbone's
      and has no such layer (ours). There 256.
    current_phase: index of the view that is current.
    symmetric: whether each phase is the current one in turn, the types of
      images swapped, and both results are put side by side. Ours.
    depth: see `Pooler`.
    embed_value: see `Pooler`.
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
    """One vector of twice the features; `symmetric`: of four times.

    Args:
      tokens: of the two phases, square maps.
      present: which phases a clip has; None for both. Of a clip with one alone
        that one is current, and a learned vector stands for the difference.
      train: whether dropout acts.
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
  """Features of every place -> those that are compared between images.

  Attributes:
    width: of both layers.
    dtype: of the computation; None is that of x.
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
  ) -> Float[Array, 'clip feature']:
    """The mean over the places."""
    x = nn.Dense(self.width, use_bias=False, dtype=self.dtype, name='first')(x)
    x = nn.relu(layers.BatchNorm(self.dtype, name='norm')(x, valid, train))
    return nn.Dense(self.width, dtype=self.dtype, name='second')(x).mean(axis=1)
