"""GBAN's fusion: bidirectional alignment, then the sum of two gated groups.

Source: Liu et al., "Group Gated Fusion on Attention-based Bidirectional
Alignment for Multimodal Emotion Recognition", arXiv 2201.06309, equations 9 to
21, and its code.

Stated: the equations, Xavier normal initialisation, dropout inside the fusion
(here of the vectors that enter the gates: ours), L2 of .01. Measured in the
code: additive scores, Xavier uniform initialisation, no dropout inside the
fusion, an L2 without effect, and that the gate weights the text. Ours: phases
instead of speech and text; the second group reads the means of the maps, where
theirs reads the last states of two LSTMs; a missing phase; scaled dot products;
Flax's LeCun normal initialisation, the default.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float
import numpy as np

from dianet_jax.models.fusions.plain import Fusion, Tokens, Vectors
from dianet_jax.models.layers import widened

SCORES = ('additive', 'dot_tanh', 'scaled_dot')
# Name -> initialisation of the linear layers.
INITIALIZERS: Mapping[str, nn.initializers.Initializer] = {
  'lecun_normal': nn.initializers.lecun_normal(),
  'xavier_normal': nn.initializers.xavier_normal(),
  'xavier_uniform': nn.initializers.xavier_uniform(),
}
Vector = Float[Array, 'clip feature']


def _scale_init(key, shape, dtype=jnp.float32):
  """Glorot's uniform initialisation of a vector, as in the code."""
  limit = np.sqrt(3 / shape[0])
  return jax.random.uniform(key, shape, dtype, -limit, limit)


class Alignment(nn.Module):
  """Attention between two sets of tokens, averaged over the queries.

  Attributes:
    score: attention score of two tokens s and t: 'additive', the sum of
      scale tanh(s + t) with a learned scale for each direction, as in the code;
      'dot_tanh', tanh(s . t), as in the paper, which lies between -1 and 1, so
      that attention is nearly uniform; 'scaled_dot', s . t / sqrt(features),
      ours.
  """

  score: str = 'additive'

  @nn.compact
  def __call__(
    self, first: Tokens, second: Float[Array, 'clip other_token feature']
  ) -> tuple[Vector, Vector]:
    """The first tokens, attended to by the second, and the reverse."""
    scores = {
      name: widened(self._scores(first, second, name))
      for name in ('first', 'second')
    }
    # For every second token, a softmax over the first ones.
    weights = jax.nn.softmax(scores['first'], axis=1).mean(axis=2)
    aligned_first = (weights.astype(first.dtype)[..., None] * first).sum(axis=1)
    weights = jax.nn.softmax(scores['second'], axis=2).mean(axis=1)
    aligned_second = (weights.astype(second.dtype)[..., None] * second).sum(
      axis=1
    )
    return aligned_first, aligned_second

  def _scores(self, first, second, name):
    """[clip, first token, second token]."""
    if self.score == 'additive':
      width = first.shape[-1:]
      scale = self.param(f'scale_{name}', _scale_init, width)
      both = nn.tanh(first[:, :, None] + second[:, None])
      return (both * scale.astype(both.dtype)).sum(axis=-1)
    dot = jnp.einsum('csf,ctf->cst', first, second)
    if self.score == 'scaled_dot':
      return dot / np.sqrt(first.shape[-1])
    return nn.tanh(dot)


class GroupGate(nn.Module):
  """h = z b + (1 - z) a of the aligned vectors, plus the same of the means.

  a = tanh(W first), b = tanh(V second), z = sigmoid(U [second, first]), without
  biases. The gate weights the second view, as in the code.

  Attributes:
    width: features of the result.
    initializer: a key of `INITIALIZERS`.
    dtype: computation dtype; None for that of the vectors.
  """

  width: int = 128
  initializer: str = 'lecun_normal'
  dtype: Any = None

  @nn.compact
  def __call__(
    self,
    aligned: tuple[Vector, Vector],
    means: tuple[Vector, Vector],
    present: Bool[Array, 'clip view'] | None = None,
  ) -> Float[Array, 'clip fused']:
    """One vector per clip.

    Args:
      aligned: both results of `Alignment`.
      means: mean token of each view.
      present: which views a clip has; None for both. If it has only one, the
        result holds the terms of that view.
    """

    def linear(x, name):
      return nn.Dense(
        self.width,
        use_bias=False,
        kernel_init=INITIALIZERS[self.initializer],
        dtype=self.dtype,
        name=name,
      )(x)

    total = 0
    for group, (first, second) in (('aligned', aligned), ('mean', means)):
      own = nn.tanh(linear(first, f'{group}_first'))
      other = nn.tanh(linear(second, f'{group}_second'))
      gate = nn.sigmoid(
        linear(jnp.concatenate([second, first], axis=-1), f'{group}_gate')
      )
      if present is not None:
        gate = jnp.where(present[:, :1], gate, 1)
        gate = jnp.where(present[:, 1:], gate, 0)
      total = total + gate * other + (1 - gate) * own
    return total


class GBAN(Fusion):
  """Bidirectional alignment and group gated fusion of two views.

  Attributes:
    width: features of the gates' result. There 128.
    score: see `Alignment`.
    hidden: width of a linear layer with ReLU that follows; 0 for none. There
      128.
    initializer: of all linear layers, a key of `INITIALIZERS`.
    dropout: dropout rate of the vectors that enter the gates, in training.

  >>> tokens = [jnp.zeros((4, 49, 8)), jnp.ones((4, 49, 8))]
  >>> key, fusion = jax.random.key(0), GBAN(width=6)
  >>> jax.eval_shape(fusion.init_with_output, key, tokens)[0].shape
  (4, 1, 6)
  """

  views: ClassVar[int | None] = 2
  knows_missing: ClassVar[bool] = True

  width: int = 128
  score: str = 'additive'
  hidden: int = 0
  initializer: str = 'lecun_normal'
  dropout: float = 0.0

  @nn.compact
  def __call__(
    self,
    tokens: Sequence[Tokens],
    present: Bool[Array, 'clip view'] | None = None,
    train: bool = False,
  ) -> Vectors:
    """One vector, of `hidden` or `width` features.

    Args:
      tokens: two views.
      present: which views a clip has; None for both.
      train: whether dropout is active.
    """
    first, second = tokens
    means = first.mean(axis=1), second.mean(axis=1)
    aligned = Alignment(self.score, name='alignment')(first, second)
    if present is not None:
      # The tokens of a missing view attend to nothing.
      both = present.all(axis=1)[:, None]
      aligned = (
        jnp.where(both, aligned[0], means[0]),
        jnp.where(both, aligned[1], means[1]),
      )
    drop = nn.Dropout(self.dropout, deterministic=not train)
    fused = GroupGate(self.width, self.initializer, self.dtype, name='gate')(
      (drop(aligned[0]), drop(aligned[1])),
      (drop(means[0]), drop(means[1])),
      present,
    )
    if self.hidden:
      hidden = nn.Dense(
        self.hidden,
        kernel_init=INITIALIZERS[self.initializer],
        dtype=self.dtype,
        name='hidden',
      )
      fused = nn.relu(hidden(fused))
    return fused[:, None]
