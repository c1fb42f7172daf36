"""The base class of all fusions, and the simple ones."""

from collections.abc import Sequence
import functools
import operator
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.models import layers

POOLS = ('mean', 'flatten')

Tokens = Float[Array, 'clip token feature']
Vectors = Float[Array, 'clip fused_view fused']


class Fusion(nn.Module):
  """Base class: tokens of each view -> vectors of a clip.

  Attributes:
    views: number of views that the fusion needs; None for any number.
    knows_missing: whether it is called with `present` and `train` besides the
      tokens: which views a clip has, and whether dropout is active.
    pool: how tokens become a vector: 'mean', or 'flatten', which keeps their
      positions on the face.
    heads: attention heads, a divisor of the feature width.
    dtype: computation dtype; None for that of the tokens.
  """

  views: ClassVar[int | None] = None
  knows_missing: ClassVar[bool] = False

  pool: str = 'mean'
  heads: int = 4
  dtype: Any = None

  def pooled(self, tokens: Tokens) -> Float[Array, 'clip pooled']:
    """One vector per clip: the mean of its tokens, or all of them in a row."""
    if self.pool == 'flatten':
      return tokens.reshape(tokens.shape[0], -1)
    return tokens.mean(axis=1)


class CrossAttention(Fusion):
  """Each view attends to the other: its queries, the other's keys and values.

  Learned positions are added to queries and keys. Attention, a residual
  connection and a layer norm follow; both results are pooled and concatenated.

  Source: Khuong et al., arXiv 2510.12219, which states cross-attention and
  nothing more; the form is ours.

  Attributes:
    position_stddev: standard deviation of the positions' initial values. Ours,
      the usual value of vision transformers.

  >>> import jax
  >>> tokens = [jnp.zeros((4, 49, 8)), jnp.ones((4, 49, 8))]
  >>> key, fusion = jax.random.key(0), CrossAttention()
  >>> jax.eval_shape(fusion.init_with_output, key, tokens)[0].shape
  (4, 1, 16)
  """

  views: ClassVar[int | None] = 2

  position_stddev: float = 0.02

  @nn.compact
  def __call__(self, tokens: Sequence[Tokens]) -> Vectors:
    """One vector, of twice the feature width."""
    first, second = tokens
    position = self.param(
      'position',
      nn.initializers.normal(self.position_stddev),
      first.shape[1:],
    ).astype(first.dtype)

    def attend(own, other, name):
      attended = layers.MultiHeadDotProductAttention(
        self.heads,
        # A bias of the keys has no effect on the softmax, so no gradient.
        use_bias=False,
        dtype=self.dtype,
        name=f'{name}_attention',
      )(own + position, other + position, other)
      fused = nn.LayerNorm(dtype=self.dtype, name=f'{name}_norm')(
        own + attended
      )
      return self.pooled(fused)

    return jnp.concatenate(
      [attend(first, second, 'first'), attend(second, first, 'second')], -1
    )[:, None]


class Concat(Fusion):
  """Pooled views side by side.

  >>> tokens = [jnp.zeros((4, 49, 8)), jnp.ones((4, 49, 8))]
  >>> Concat().apply({}, tokens).shape
  (4, 1, 16)
  """

  @nn.compact
  def __call__(self, tokens: Sequence[Tokens]) -> Vectors:
    """One vector, as wide as those of all views together."""
    return jnp.concatenate([self.pooled(t) for t in tokens], axis=-1)[:, None]


class Add(Fusion):
  """Sum of the pooled views.

  >>> tokens = [jnp.full((4, 49, 8), 2.0), jnp.ones((4, 49, 8))]
  >>> float(Add().apply({}, tokens).max())
  3.0
  """

  @nn.compact
  def __call__(self, tokens: Sequence[Tokens]) -> Vectors:
    """One vector, as wide as that of one view."""
    vectors = (self.pooled(t) for t in tokens)
    return functools.reduce(operator.add, vectors)[:, None]


class Gated(Fusion):
  """h = z tanh(W1 a) + (1 - z) tanh(W2 b), z = sigmoid(W [a, b]).

  Source: the gate of GBAN (Liu et al., arXiv 2201.06309).

  >>> import jax
  >>> tokens = [jnp.zeros((4, 49, 8)), jnp.ones((4, 49, 8))]
  >>> key, fusion = jax.random.key(0), Gated()
  >>> jax.eval_shape(fusion.init_with_output, key, tokens)[0].shape
  (4, 1, 8)
  """

  views: ClassVar[int | None] = 2

  @nn.compact
  def __call__(self, tokens: Sequence[Tokens]) -> Vectors:
    """One vector, of the feature width."""
    first, second = (self.pooled(t) for t in tokens)
    width = tokens[0].shape[-1]
    gate = nn.sigmoid(
      nn.Dense(width, dtype=self.dtype, name='gate')(
        jnp.concatenate([first, second], axis=-1)
      )
    )
    first = nn.tanh(nn.Dense(width, dtype=self.dtype, name='first')(first))
    second = nn.tanh(nn.Dense(width, dtype=self.dtype, name='second')(second))
    return (gate * first + (1 - gate) * second)[:, None]


class EachPhase(Fusion):
  """No fusion: one network classifies every phase image separately.

  Source: phase-aware temporal augmentation, Khuong et al., arXiv 2510.15466.
  Stated there: dynamic images of the phases are further training samples of the
  clip's class. Not known: which image predicts. Ours: all images of a clip are
  trained in every step, or one of them, drawn at random; the image of the whole
  clip predicts, or the mean of the logits of all; images of phases that a clip
  lacks take no part in training or prediction. See `phase_sampling` and
  `predicts` of `dianet.DIANetSettings`.

  >>> tokens = [jnp.zeros((4, 49, 8)), jnp.ones((4, 49, 8))]
  >>> EachPhase().apply({}, tokens).shape
  (4, 2, 8)
  """

  @nn.compact
  def __call__(self, tokens: Sequence[Tokens]) -> Vectors:
    """One vector per view."""
    return jnp.stack([self.pooled(t) for t in tokens], axis=1)
