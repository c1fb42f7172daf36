"""CausalNet's blocks: motion forwards and backwards between two phases.

Source: arXiv 2508.06640 and its code. Measured there: layer norms, which
context is normalised, scales of the logits, the mask applied before and after
the softmax. Ours: the blocks as a fusion of any two maps, more tokens than
four, and that the position stream may be left out.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

from dianet_jax.models import layers, official
from dianet_jax.models.fusions.plain import Fusion, Tokens, Vectors

_EPSILON = 1e-5
Table = Float[np.ndarray, 'token token']


def opposite(tokens: int, gamma: float) -> tuple[Table, Table]:
  """A mask, 0 for tokens on opposite sides of the map, and their penalty.

  On a 2 x 2 map these are the pairs of its diagonals. On a larger one a token
  and its image by a turn of 180 degrees. Ours.

  Args:
    tokens: how many, row by row.
    gamma: the penalty of a key token, times its number from 1.
  """
  pairs = np.eye(tokens)[::-1]
  return 1 - pairs, -gamma * pairs * np.arange(1, tokens + 1)


class _MaskedAttention(nn.Module):
  """softmax(q k / scale * mask + penalty) * mask, of the values."""

  heads: int
  gamma: float
  scale: float
  dtype: Any

  @nn.compact
  def __call__(self, x: Tokens, context: Tokens) -> Tokens:
    tables = opposite(x.shape[1], self.gamma)
    query, key, value = (
      _heads(_dense(x.shape[-1], self.dtype, name)(source), self.heads)
      for name, source in (
        ('query', x),
        ('key', context),
        ('value', context),
      )
    )
    return _dense(x.shape[-1], self.dtype, 'out')(
      _attend(query, key, value, self.scale, tables)
    )


class _Crosswise(nn.Module):
  """A layer in which two streams read each other, by shared weights."""

  heads: int
  gamma: float
  dtype: Any

  @nn.compact
  def __call__(self, x: Tokens, y: Tokens) -> tuple[Tokens, Tokens]:
    norm = nn.LayerNorm(_EPSILON, dtype=self.dtype, name='norm')
    # Not by the width of a head: so it is there.
    attention = _MaskedAttention(
      self.heads, self.gamma, x.shape[-1] ** 0.5, self.dtype, name='attention'
    )
    mlp = layers.Mlp(4 * x.shape[-1], dtype=self.dtype, name='mlp')
    normed_x, normed_y = norm(x), norm(y)
    x = x + attention(normed_x, y)
    y = y + attention(normed_y, x)
    return x + mlp(x), y + mlp(y)


class _CausalLayer(nn.Module):
  """Both directions in time, and what they have in common."""

  heads: int
  gamma: float
  dtype: Any

  @nn.compact
  def __call__(self, x: Tokens, y: Tokens) -> list[Tokens]:
    width = x.shape[-1]
    scale = (width // self.heads) ** 0.5
    norm = nn.LayerNorm(_EPSILON, dtype=self.dtype, name='norm')
    attention = _MaskedAttention(
      self.heads, self.gamma, scale, self.dtype, name='attention'
    )
    mlp = layers.Mlp(4 * width, dtype=self.dtype, name='mlp')
    temporal = _Temporal(self.heads, self.dtype, name='temporal')

    def one_way(u, v):
      u, v = norm(u), norm(v)
      u, v = u + attention(u, u), v + attention(v, v)
      v = v + temporal(u, v)
      return u + mlp(u), v + mlp(v)

    forward, v_forward = one_way(x, y)
    backward, v_backward = one_way(y, x)
    together = v_backward + v_forward
    sources = zip(('query', 'key', 'value'), (v_forward, v_backward, together))
    query, key, value = (
      _heads(_dense(width, self.dtype, f'common_{name}')(s), self.heads)
      for name, s in sources
    )
    long = _dense(width, self.dtype, 'common_out')(
      _attend(query, key, value, scale) + together
    )
    return [long, forward, backward]


class _Temporal(nn.Module):
  """Each token of v asks itself and the token of u at its place."""

  heads: int
  dtype: Any

  @nn.compact
  def __call__(self, u: Tokens, v: Tokens) -> Tokens:
    width = u.shape[-1]
    pair = jnp.stack([u, v], axis=2)
    query = _heads(
      _dense(width, self.dtype, 'query')(v)[:, :, None], self.heads
    )
    key, value = (
      _heads(_dense(width, self.dtype, name)(pair), self.heads)
      for name in ('key', 'value')
    )
    scale = (width // self.heads) ** 0.5
    attended = _attend(query, key, value, scale)[:, :, 0]
    return _dense(width, self.dtype, 'out')(attended)


def _dense(width, dtype, name):
  return nn.Dense(width, dtype=dtype, name=name)


def _heads(x, heads):
  return x.reshape(*x.shape[:-1], heads, -1)


def _attend(query, key, value, scale, tables=None):
  """[*batch, token, feature] of [*batch, token, head, feature].

  `tables`: mask and penalty, see `opposite`.
  """
  logits = jnp.einsum('...qhf,...khf->...hqk', query, key)
  logits = layers.widened(logits) / scale
  if tables is None:
    weights = jax.nn.softmax(logits)
  else:
    mask, penalty = (table.astype(logits.dtype) for table in tables)
    weights = jax.nn.softmax(logits * mask + penalty) * mask
  weights = weights.astype(value.dtype)
  attended = jnp.einsum('...hqk,...khf->...qhf', weights, value)
  return attended.reshape(*attended.shape[:-2], -1)


class Blocks(nn.Module):
  """Flow and position streams of two phases -> three sets of tokens.

  Attributes:
    depth: layers in which the position streams read each other.
    heads: of all attentions.
    gamma: penalty of opposite tokens, see `opposite`.
    dtype: of the computation; None is that of the tokens.
  """

  depth: int = 9
  heads: int = 8
  gamma: float = 0.5
  dtype: Any = None

  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^(?:cmplm|CrossAttention)\.layers\.(\d+)', r'crosswise_\1'),
      (r'^cab\.layers\.0', 'causal'),
      (r'^(\w+)\.0\.(weight|bias)$', r'\1.norm.\2'),
      (r'\.3\.to_(q|k|v|out)(\.0)?\.', r'.common_\1.'),
      (r'\.1\.temp_to_(q|kv|out)(\.0)?\.', r'.temporal.\1.'),
      (r'\.1\.to_(q|kv|out)(\.0)?\.', r'.attention.\1.'),
      (r'\.2\.0\.', '.mlp.expand.'),
      (r'\.2\.3\.', '.mlp.reduce.'),
      (r'([._])q\.', r'\1query.'),
      (r'([._])k\.', r'\1key.'),
      (r'([._])v\.', r'\1value.'),
      (r'\.kv\.', '.key|value.'),
    ),
    unused=(r'.*\.M_mask', r'.*\.P_matrix'),
  )

  @nn.compact
  def __call__(
    self,
    first: Tokens,
    second: Tokens,
    first_position: Tokens,
    second_position: Tokens,
  ) -> Float[Array, 'clip part token feature']:
    """What is common, forwards, backwards.

    Args:
      first: tokens of the first phase.
      second: of the second phase.
      first_position: of the position stream, or `first` again.
      second_position: of the position stream, or `second` again.
    """
    x, y = first_position, second_position
    for layer in range(self.depth):
      x, y = _Crosswise(
        self.heads, self.gamma, self.dtype, name=f'crosswise_{layer}'
      )(x, y)
    return jnp.stack(
      _CausalLayer(self.heads, self.gamma, self.dtype, name='causal')(
        first + x, second + y
      ),
      axis=1,
    )


class Causal(Fusion):
  """CausalNet's blocks on two maps, without its position stream.

  Attributes:
    depth: see `Blocks`. There 9, by a loop variable that leaks.
    gamma: see `Blocks`.
  """

  views: ClassVar[int | None] = 2

  heads: int = 8
  depth: int = 2
  gamma: float = 0.5

  @nn.compact
  def __call__(self, tokens: Sequence[Tokens]) -> Vectors:
    """One vector of three times the features, or, flat, of all tokens'."""
    first, second = tokens
    parts = Blocks(
      self.depth, self.heads, self.gamma, self.dtype, name='blocks'
    )(first, second, first, second)
    pooled = [self.pooled(parts[:, part]) for part in range(3)]
    return jnp.concatenate(pooled, axis=-1)[:, None]
