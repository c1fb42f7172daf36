"""Fusions: the tokens of each phase -> one vector a clip.

Every fusion takes a list of token arrays, one a phase, and returns float
[clip, feature] (`each_phase`: [clip, phase, feature]). `pool` turns [clip,
token, feature] into a vector: 'mean', or 'flatten', which keeps where on the
face a token lies.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

POOLS = ('mean', 'flatten')

Tokens = Float[Array, 'clip token feature']
Vector = Float[Array, 'clip feature']


def _pool(tokens: Tokens, pool: str) -> Vector:
  if pool == 'flatten':
    return tokens.reshape(tokens.shape[0], -1)
  return tokens.mean(axis=1)


class _Fusion(nn.Module):
  """What every fusion is told.

  Attributes:
    pool: 'mean' or 'flatten'.
    heads: attention heads, a divisor of the feature width.
    dtype: of the computation.
  """

  pool: str = 'mean'
  heads: int = 4
  dtype: Any = None


def _attention(
  query: Float[Array, 'clip query head feature'],
  key: Float[Array, 'clip key head feature'],
  value: Float[Array, 'clip key head feature'],
  **unused: Any,
) -> Float[Array, 'clip query head feature']:
  """Scaled dot-product attention, its softmax in float32.

  The weights are multiplied by a reciprocal: XLA compiles the division of
  `jax.nn.softmax` otherwise for one device than for several, and the last bit
  of a result would depend on their number.
  """
  del unused
  scores = jnp.einsum('bqhf,bkhf->bhqk', query, key)
  scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
  scores /= np.sqrt(query.shape[-1])
  largest = jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True))
  weights = jnp.exp(scores - largest)
  weights *= 1 / weights.sum(axis=-1, keepdims=True)
  return jnp.einsum('bhqk,bkhf->bqhf', weights.astype(value.dtype), value)


class CrossAttention(_Fusion):
  """Each phase asks the other: queries of one, keys and values of the other.

  Learned positions are added to queries and keys, then attention, a residual
  and a layer norm; pooled and concatenated. The paper states cross-attention
  and no more; the shape is ours.
  """

  @nn.compact
  def __call__(self, phases: Sequence[Tokens]) -> Vector:
    first, second = phases
    position = self.param(
      'position', nn.initializers.normal(0.02), first.shape[1:]
    ).astype(first.dtype)

    def attend(own, other, name):
      attended = nn.MultiHeadDotProductAttention(
        self.heads,
        # A bias of the keys has no gradient: softmax does not see it.
        use_bias=False,
        attention_fn=_attention,
        dtype=self.dtype,
        name=f'{name}_attention',
      )(own + position, other + position, other)
      fused = nn.LayerNorm(dtype=self.dtype, name=f'{name}_norm')(
        own + attended
      )
      return _pool(fused, self.pool)

    return jnp.concatenate(
      [attend(first, second, 'first'), attend(second, first, 'second')], -1
    )


class Concat(_Fusion):
  """Pooled phases side by side; any number of phases."""

  @nn.compact
  def __call__(self, phases: Sequence[Tokens]) -> Vector:
    return jnp.concatenate([_pool(p, self.pool) for p in phases], axis=-1)


class Add(_Fusion):
  """Sum of the pooled phases."""

  @nn.compact
  def __call__(self, phases: Sequence[Tokens]) -> Vector:
    return sum(_pool(p, self.pool) for p in phases)


class Gated(_Fusion):
  """h = z tanh(W1 a) + (1 - z) tanh(W2 b), z = sigmoid(W [a, b]).

  Source: the gate of GBAN (Liu et al., arXiv 2201.06309).
  """

  @nn.compact
  def __call__(self, phases: Sequence[Tokens]) -> Vector:
    first, second = (_pool(p, self.pool) for p in phases)
    width = phases[0].shape[-1]
    gate = nn.sigmoid(
      nn.Dense(width, dtype=self.dtype, name='gate')(
        jnp.concatenate([first, second], axis=-1)
      )
    )
    first = nn.tanh(nn.Dense(width, dtype=self.dtype, name='first')(first))
    second = nn.tanh(nn.Dense(width, dtype=self.dtype, name='second')(second))
    return gate * first + (1 - gate) * second


class EachPhase(_Fusion):
  """No fusion: every phase image is classified by itself, by one network.

  In training each of them is a sample of the clip's class; a clip's prediction
  is the mean of its phases' probabilities.

  Source: phase-aware temporal augmentation, Khuong et al., arXiv 2510.15466:
  dynamic images of the whole clip and of its phases as further samples of the
  same class. Predicting from all of them is ours.
  """

  @nn.compact
  def __call__(
    self, phases: Sequence[Tokens]
  ) -> Float[Array, 'clip phase feature']:
    return jnp.stack([_pool(p, self.pool) for p in phases], axis=1)


FUSIONS: Mapping[str, type[_Fusion]] = {
  'cross_attention': CrossAttention,
  'concat': Concat,
  'add': Add,
  'gated': Gated,
  'each_phase': EachPhase,
  # One phase alone: the other's backbone is not even built (`SELECTED`).
  'first_phase': Concat,
  'second_phase': Concat,
}

# Fusions that use some of the phases: their indices.
SELECTED: Mapping[str, tuple[int, ...]] = {
  'first_phase': (0,),
  'second_phase': (1,),
}

# How many phases the data must have; the others take any number.
NUM_PHASES: Mapping[str, int] = {
  'cross_attention': 2,
  'gated': 2,
  'second_phase': 2,
}
