"""CausalNet's blocks: attention forwards and backwards between two phases.

Source: arXiv 2508.06640 and its code. Stated: attention between the phases of a
position stream, attention forwards and backwards in time between the phases.
Measured: nine layers of the former (the leftover value of a loop variable),
layer norms, which context is normalised, scales of the logits, the mask applied
before and after the softmax, no activation in the head. Ours: the blocks as a
fusion of any two maps, more tokens than four, that the position stream and the
first linear layer of the head may be left out, and Flax's LeCun normal
initialisation where the code has PyTorch's default, except in that layer.
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
  """Mask and penalty of attention between opposite tokens of a map.

  On a 2 x 2 map opposite tokens are those on a diagonal. On a larger map a
  token is opposite to its image under a rotation by 180 degrees: ours.

  >>> mask, penalty = opposite(4, gamma=0.5)
  >>> mask[0].tolist(), penalty[0].tolist()
  ([1.0, 1.0, 1.0, 0.0], [-0.0, -0.0, -0.0, -2.0])

  Args:
    tokens: number of tokens, row by row of the map.
    gamma: penalty, multiplied by the number of the key token, from 1.

  Returns:
    Two arrays [query token, key token]: 0 for opposite tokens, 1 elsewhere; and
    what is added to their attention logits.
  """
  pairs = np.eye(tokens)[::-1]
  return 1 - pairs, -gamma * pairs * np.arange(1, tokens + 1)


class _MaskedAttention(nn.Module):
  """Weights softmax(q k / scale * mask + penalty) * mask; see `opposite`."""

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
  """A layer in which two streams attend to each other, with shared weights."""

  heads: int
  gamma: float
  dtype: Any

  @nn.compact
  def __call__(self, x: Tokens, y: Tokens) -> tuple[Tokens, Tokens]:
    norm = nn.LayerNorm(_EPSILON, dtype=self.dtype, name='norm')
    # By the width of all heads together, as in the code.
    attention = _MaskedAttention(
      self.heads, self.gamma, x.shape[-1] ** 0.5, self.dtype, name='attention'
    )
    mlp = layers.Mlp(4 * x.shape[-1], dtype=self.dtype, name='mlp')
    normed_x, normed_y = norm(x), norm(y)
    x = x + attention(normed_x, y)
    y = y + attention(normed_y, x)
    return x + mlp(x), y + mlp(y)


class _CausalLayer(nn.Module):
  """Both directions in time, and attention between their results."""

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
  """Each token of v attends to itself and to the token of u at its position."""

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
  """Attention of [*batch, token, head, feature]: [*batch, token, feature].

  `tables` are mask and penalty, see `opposite`.
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
    depth: layers in which the position streams attend to each other.
    heads: attention heads.
    gamma: penalty of opposite tokens, see `opposite`.
    dtype: computation dtype; None for that of the tokens.
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
    """Three sets of tokens from two phases.

    Args:
      first: tokens of the first phase.
      second: tokens of the second phase.
      first_position: the first phase's position stream, or `first` again.
      second_position: the second phase's position stream, or `second` again.

    Returns:
      Parts: attention between both directions; forwards; backwards.
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
  """CausalNet's blocks on two maps.

  Attributes:
    depth: see `Blocks`. There 9, the leftover value of a loop variable.
    gamma: see `Blocks`.
    position: whether the second half of each token's features is of a position
      stream; otherwise the tokens themselves stand in for it.
    hidden: width of a linear layer without activation that follows; 0 for none.
      There 2048.

  >>> tokens = [jnp.zeros((4, 49, 8)), jnp.ones((4, 49, 8))]
  >>> key, fusion = jax.random.key(0), Causal(depth=1)
  >>> jax.eval_shape(fusion.init_with_output, key, tokens)[0].shape
  (4, 1, 24)
  """

  views: ClassVar[int | None] = 2

  heads: int = 8
  depth: int = 2
  gamma: float = 0.5
  position: bool = False
  hidden: int = 0

  @nn.compact
  def __call__(self, tokens: Sequence[Tokens]) -> Vectors:
    """One view: the pooled vectors of the three parts of `Blocks` in a row.

    With `hidden`: what the linear layer makes of them.
    """
    first, second = own = tokens
    if self.position:
      halves = [jnp.split(view, 2, axis=-1) for view in tokens]
      (first, second), own = zip(*halves)
    parts = Blocks(
      self.depth, self.heads, self.gamma, self.dtype, name='blocks'
    )(first, second, *own)
    pooled = [self.pooled(parts[:, part]) for part in range(3)]
    fused = jnp.concatenate(pooled, axis=-1)
    if self.hidden:
      fused = nn.Dense(
        self.hidden,
        kernel_init=layers.uniform_fan_in,
        dtype=self.dtype,
        name='hidden',
      )(fused)
    return fused[:, None]
