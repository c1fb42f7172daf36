"""Parts of vision transformers: attention, MLP, stochastic depth."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.models.layers.attention import dot_product_attention

Tokens = Float[Array, '*batch token feature']

# PyTorch's default for weights: uniform within 1 / sqrt(inputs). There biases
# are drawn from the same range; here they start at 0.
uniform_fan_in = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


def widened(x: Array) -> Array:
  """Casts to float32, if x is not as wide already: for logits and softmax.

  >>> widened(jnp.zeros(2, jnp.bfloat16)).dtype
  dtype('float32')
  """
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def gelu(x: Array) -> Array:
  """GELU in its exact form, x times the normal distribution function of x.

  >>> f'{gelu(jnp.ones(())):.4f}'
  '0.8413'
  """
  return jax.nn.gelu(x, approximate=False)


class Attention(nn.Module):
  """Multi-head attention with the parameter layout of most published code.

  Attributes:
    heads: number of heads.
    head_width: features of a head; 0 for the width of the queries / heads.
    bias: whether queries, keys and values have biases; the output has one.
    dropout: dropout rate of the attention weights, in training.
    dtype: computation dtype; None for that of the tokens.
    kernel_init: draws the matrices of all linear layers.
    bias_init: draws their biases.
  """

  heads: int
  head_width: int = 0
  bias: bool = True
  dropout: float = 0.0
  dtype: Any = None
  kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init
  bias_init: nn.initializers.Initializer = nn.initializers.zeros

  @nn.compact
  def __call__(
    self,
    query: Tokens,
    key: Float[Array, '*batch key key_feature'] | None = None,
    value: Float[Array, '*batch key value_feature'] | None = None,
    train: bool = False,
  ) -> Tokens:
    """For every query, the weighted mean of the values, projected.

    Args:
      query: tokens that attend.
      key: tokens that are attended to; None for `query`.
      value: as many tokens, whose content is averaged; None for `key`.
      train: whether dropout is active.
    """
    key = query if key is None else key
    value = key if value is None else value
    width = query.shape[-1]
    head_width = self.head_width or width // self.heads

    def dense(features, name, bias=True):
      return nn.Dense(
        features,
        bias,
        self.dtype,
        kernel_init=self.kernel_init,
        bias_init=self.bias_init,
        name=name,
      )

    def heads_of(x, name):
      x = dense(self.heads * head_width, name, self.bias)(x)
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
      # Keeps the weights where 'intermediates' may be written.
      module=self,
    )
    attended = attended.reshape(*query.shape[:-1], -1)
    return dense(width, 'out')(attended)


class Mlp(nn.Module):
  """Linear layer, GELU, linear layer.

  Attributes:
    width: hidden features, between the two layers.
    tanh_gelu: whether GELU is approximated by tanh.
    dropout: dropout rate of the output, in training.
    hidden_dropout: that between the layers, after GELU; None for `dropout`.
    dtype: computation dtype; None for that of the tokens.
    kernel_init: draws the matrices of both linear layers.
    bias_init: draws their biases.
  """

  width: int
  tanh_gelu: bool = False
  dropout: float = 0.0
  hidden_dropout: float | None = None
  dtype: Any = None
  kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init
  bias_init: nn.initializers.Initializer = nn.initializers.zeros

  @nn.compact
  def __call__(self, x: Tokens, train: bool = False) -> Tokens:
    """Tokens of the same width."""

    def dense(features, name):
      return nn.Dense(
        features,
        dtype=self.dtype,
        kernel_init=self.kernel_init,
        bias_init=self.bias_init,
        name=name,
      )

    drop = within = nn.Dropout(self.dropout, deterministic=not train)
    if self.hidden_dropout is not None:
      within = nn.Dropout(self.hidden_dropout, deterministic=not train)
    y = dense(self.width, 'expand')(x)
    y = within(jax.nn.gelu(y, approximate=self.tanh_gelu))
    return drop(dense(x.shape[-1], 'reduce')(y))


class DropPath(nn.Module):
  """Stochastic depth: zeroes a clip's residual branch in training.

  Source: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016. There
  the branch is scaled when predicting, here, as usual, when training.

  Attributes:
    rate: probability, independent for each clip.
  """

  rate: float

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """The branch x, clips leading; what is kept is divided by 1 - rate."""
    axes = tuple(range(1, x.ndim))
    return nn.Dropout(self.rate, axes, deterministic=not train)(x)


class Block(nn.Module):
  """Pre-norm transformer block: attention, then MLP, each with a shortcut.

  Attributes:
    heads: attention heads.
    width: hidden features of the MLP.
    epsilon: added to the variance in the layer norms.
    tanh_gelu: see `Mlp`.
    dropout: dropout rate of attention weights and both branches, in training.
    hidden_dropout: that within the MLP, after GELU; None for `dropout`.
    dtype: computation dtype; None for that of the tokens.
    kernel_init: draws the matrices of all linear layers.
    bias_init: draws their biases.
  """

  heads: int
  width: int
  epsilon: float = 1e-6
  tanh_gelu: bool = False
  dropout: float = 0.0
  hidden_dropout: float | None = None
  dtype: Any = None
  kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init
  bias_init: nn.initializers.Initializer = nn.initializers.zeros

  @nn.compact
  def __call__(self, x: Tokens, train: bool = False) -> Tokens:
    """Tokens of the same width."""

    def norm(name):
      return nn.LayerNorm(self.epsilon, dtype=self.dtype, name=name)

    y = Attention(
      self.heads,
      dropout=self.dropout,
      dtype=self.dtype,
      kernel_init=self.kernel_init,
      bias_init=self.bias_init,
      name='attention',
    )(norm('norm_1')(x), train=train)
    x = x + nn.Dropout(self.dropout, deterministic=not train)(y)
    return x + Mlp(
      self.width,
      self.tanh_gelu,
      self.dropout,
      self.hidden_dropout,
      self.dtype,
      self.kernel_init,
      self.bias_init,
      name='mlp',
    )(norm('norm_2')(x), train)


def grid_side(tokens: int) -> int:
  """Rows, and columns, of a square map of this many tokens.

  >>> grid_side(49)
  7

  Raises:
    ValueError: the number of tokens is not a square.
  """
  side = math.isqrt(tokens)
  if side * side != tokens:
    raise ValueError(f'{tokens} tokens do not form a square map')
  return side
