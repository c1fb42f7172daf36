"""Parts of vision transformers: attention, perceptron, stochastic depth."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.models.layers.attention import dot_product_attention

Tokens = Float[Array, '*batch token feature']

# Of most published code: uniform within 1 / sqrt(inputs). Biases, drawn from
# the same range there, start at 0 here.
uniform_fan_in = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


def widened(x: Array) -> Array:
  """In float32 or wider: what logits are computed from."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def gelu(x: Array) -> Array:
  """The exact form, by the error function."""
  return jax.nn.gelu(x, approximate=False)


class Attention(nn.Module):
  """Multi-head attention as most published code lays out its parameters.

  Attributes:
    heads: number of heads.
    head_width: features of a head; 0: the width of the queries, shared out.
    bias: whether queries, keys and values have biases; the output has one.
    dropout: of the attention weights, in training.
    dtype: of the computation; None is that of the tokens.
  """

  heads: int
  head_width: int = 0
  bias: bool = True
  dropout: float = 0.0
  dtype: Any = None

  @nn.compact
  def __call__(
    self,
    query: Tokens,
    key: Tokens | None = None,
    value: Tokens | None = None,
    train: bool = False,
  ) -> Tokens:
    """As many tokens as queries, of their width.

    Args:
      query: asks.
      key: is asked; None for `query`.
      value: answers; None for `key`.
      train: whether dropout acts.
    """
    key = query if key is None else key
    value = key if value is None else value
    width = query.shape[-1]
    head_width = self.head_width or width // self.heads

    def heads_of(x, name):
      x = nn.Dense(
        self.heads * head_width, self.bias, dtype=self.dtype, name=name
      )(x)
      return x.reshape(*x.shape[:-1], self.heads, head_width)

    drops = train and self.dropout > 0
    attended = dot_product_attention(
      heads_of(query, 'query'),
      heads_of(key, 'key'),
      heads_of(value, 'value'),
      dropout_rate=self.dropout,
      dropout_rng=self.make_rng('dropout') if drops else None,
      deterministic=not drops,
      broadcast_dropout=False,
    )
    attended = attended.reshape(*query.shape[:-1], -1)
    return nn.Dense(width, dtype=self.dtype, name='out')(attended)


class Mlp(nn.Module):
  """Linear, GELU, linear.

  Attributes:
    width: between the two.
    tanh_gelu: whether GELU is the approximation by tanh.
    dropout: behind both, in training.
    dtype: of the computation; None is that of the tokens.
  """

  width: int
  tanh_gelu: bool = False
  dropout: float = 0.0
  dtype: Any = None

  @nn.compact
  def __call__(self, x: Tokens, train: bool = False) -> Tokens:
    """Tokens of the same width."""
    drop = nn.Dropout(self.dropout, deterministic=not train)
    y = nn.Dense(self.width, dtype=self.dtype, name='expand')(x)
    y = drop(jax.nn.gelu(y, approximate=self.tanh_gelu))
    return drop(nn.Dense(x.shape[-1], dtype=self.dtype, name='reduce')(y))


class DropPath(nn.Module):
  """Stochastic depth: leaves a branch out of a clip with probability `rate`.

  Source: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016.
  """

  rate: float

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """A branch, clips leading."""
    axes = tuple(range(1, x.ndim))
    return nn.Dropout(self.rate, axes, deterministic=not train)(x)


class Block(nn.Module):
  """Attention and perceptron, each behind a norm and beside a shortcut.

  Attributes:
    heads: of the attention.
    width: of the perceptron.
    epsilon: of the norms.
    tanh_gelu: see `Mlp`.
    dropout: of attention weights and both branches, in training.
    dtype: of the computation; None is that of the tokens.
  """

  heads: int
  width: int
  epsilon: float = 1e-6
  tanh_gelu: bool = False
  dropout: float = 0.0
  dtype: Any = None

  @nn.compact
  def __call__(self, x: Tokens, train: bool = False) -> Tokens:
    """Tokens of the same width."""

    def norm(name):
      return nn.LayerNorm(self.epsilon, dtype=self.dtype, name=name)

    y = Attention(
      self.heads, dropout=self.dropout, dtype=self.dtype, name='attention'
    )(norm('norm_1')(x), train=train)
    x = x + nn.Dropout(self.dropout, deterministic=not train)(y)
    return x + Mlp(
      self.width, self.tanh_gelu, self.dropout, self.dtype, name='mlp'
    )(norm('norm_2')(x), train)


def grid_side(tokens: int) -> int:
  """Rows of a square map of so many tokens.

  Raises:
    ValueError: it is not square.
  """
  side = math.isqrt(tokens)
  if side * side != tokens:
    raise ValueError(f'{tokens} tokens are no square map')
  return side
