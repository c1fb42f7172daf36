"""Adaptive fusion of two images: a learned weight for each, summing to 1.

Source: "temporal-ranked and motion-intensity dynamic images", arXiv 2510.09730.
Stated there: the network learns how to mix the two images. Layers and training
are not known, so both forms below are ours. Each works with any two views, and
either may be missing, clip by clip.
"""

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dianet_jax.models.fusions.plain import Fusion, Tokens, Vectors
from dianet_jax.models.layers import widened

GATES = ('channel', 'image')


class Adaptive(Fusion):
  """F = g F_1 + (1 - g) F_2 of the feature maps F_1 and F_2, then pooled.

  With gate='channel' the weight is one for each channel and clip,

      g = sigmoid(MLP([mean F_1, mean F_2])),

  of an MLP with one hidden layer, as wide as the features, and ReLU. With
  gate='image' it is one number for all clips, the first of a softmax of two
  parameters.

  Attributes:
    gate: one of `GATES`.

  >>> tokens = [jnp.zeros((4, 49, 8)), jnp.ones((4, 49, 8))]
  >>> key, fusion = jax.random.key(0), Adaptive(gate='image')
  >>> fused, variables = fusion.init_with_output(key, tokens)
  >>> fused.shape, float(fused.max()), variables['params']['weights'].tolist()
  ((4, 1, 8), 0.5, [0.0, 0.0])
  """

  views: ClassVar[int | None] = 2
  knows_missing: ClassVar[bool] = True

  gate: str = 'channel'

  @nn.compact
  def __call__(
    self,
    tokens: Sequence[Tokens],
    present: Bool[Array, 'clip view'] | None = None,
    train: bool = False,
  ) -> Vectors:
    """One vector, as wide as that of one view.

    Args:
      tokens: two views.
      present: which views a clip has; None for both. If it has only one, that
        one has the weight 1.
      train: without effect, as there is no dropout.
    """
    del train
    first, second = tokens
    if self.gate == 'image':
      weight = self._of_images(len(first))
    else:
      weight = self._of_channels(first, second)
    if present is not None:
      weight = jnp.where(present[:, 1:], weight, 1)
      weight = jnp.where(present[:, :1], weight, 0)
    weight = weight.astype(first.dtype)[:, None]
    return self.pooled(weight * first + (1 - weight) * second)[:, None]

  def _of_channels(
    self, first: Tokens, second: Tokens
  ) -> Float[Array, 'clip feature']:
    """The weight of each channel of the first view."""
    width = first.shape[-1]
    means = [view.mean(axis=1) for view in (first, second)]
    hidden = nn.Dense(width, dtype=self.dtype, name='hidden')(
      jnp.concatenate(means, axis=-1)
    )
    logits = nn.Dense(width, dtype=self.dtype, name='gate')(nn.relu(hidden))
    return nn.sigmoid(widened(logits))

  def _of_images(self, clips: int) -> Float[Array, 'clip 1']:
    """The weight of the first view, the same for all clips."""
    weights = self.param('weights', nn.initializers.zeros, (2,))
    return jnp.broadcast_to(jax.nn.softmax(weights)[:1], (clips, 1))
