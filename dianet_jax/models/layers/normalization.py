"""Batch normalisation that ignores padded clips."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Features = Float[Array, 'clip *pixels channel']
Valid = Bool[Array, ' clip'] | None


class BatchNorm(nn.Module):
  """`flax.linen.BatchNorm` with a mask that takes no further pass over x.

  As there, the running variance is that of the batch; PyTorch's is multiplied
  by n / (n - 1).

  The padded clip of 100 does not count:

  >>> x = jnp.array([[1.0], [3.0], [100.0]])
  >>> valid = jnp.array([True, True, False])
  >>> norm = BatchNorm(momentum=0.5)
  >>> variables = norm.init(jax.random.key(0), x, valid, True)
  >>> y, updated = norm.apply(variables, x, valid, True, mutable='batch_stats')
  >>> y[:2].round(2).tolist()
  [[-1.0], [1.0]]
  >>> updated['batch_stats']['mean'].tolist()
  [1.0]

  Attributes:
    dtype: dtype of the result; None for that of x and the parameters, which are
      float32 like the statistics.
    zero_scale: whether the scale starts at 0, as in the last normalisation of a
      residual block.
    momentum: weight of the old running statistics in an update. Ours; flax's
      default is 0.99.
    epsilon: added to the variance. Flax's default.
  """

  dtype: Any = None
  zero_scale: bool = False
  momentum: float = 0.9
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: Features, valid: Valid, train: bool) -> Features:
    """Normalises each channel to mean 0 and variance 1, then scales and shifts.

    Args:
      x: any float dtype.
      valid: the clips that enter the statistics, None for all; without effect
        unless training.
      train: whether to normalise with the statistics of this batch and update
        the running ones ('batch_stats'), instead of using the latter.

    Returns:
      The shape of x, in `dtype`.
    """
    zeros, ones = nn.initializers.zeros, nn.initializers.ones
    shape = (x.shape[-1],), jnp.float32
    scale = self.param('scale', zeros if self.zero_scale else ones, *shape)
    bias = self.param('bias', zeros, *shape)
    mean = self.variable('batch_stats', 'mean', jnp.zeros, *shape)
    variance = self.variable('batch_stats', 'var', jnp.ones, *shape)
    dtype = self.dtype or jnp.result_type(x, scale)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    statistics = mean.value, variance.value
    if train:
      statistics = _statistics(x, valid)
      if not self.is_initializing():
        for running, now in zip((mean, variance), statistics):
          running.value = (
            self.momentum * running.value + (1 - self.momentum) * now
          )
    factor = jax.lax.rsqrt(statistics[1] + self.epsilon) * scale
    return ((x - statistics[0]) * factor + bias).astype(dtype)


def _statistics(x: Features, valid: Valid):
  """Mean and variance of the channels over the valid clips."""
  clips = len(x) if valid is None else jnp.maximum(valid.sum(), 1)
  count = clips * math.prod(x.shape[1:-1])

  def mean_of(values):
    # Sum each clip first, so that the mask applies to one value per clip.
    values = values.sum(axis=tuple(range(1, x.ndim - 1)))
    if valid is not None:
      values = jnp.where(valid[:, None], values, 0)
    return values.sum(axis=0) / count

  mean = mean_of(x)
  # Rounding could make the variance negative.
  return mean, jnp.maximum(mean_of(x * x) - mean * mean, 0)
