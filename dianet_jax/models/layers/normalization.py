"""Batch normalisation that padded samples do not touch."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Features = Float[Array, 'clip *pixels channel']
Valid = Bool[Array, ' clip'] | None


class BatchNorm(nn.Module):
  """As `flax.linen.BatchNorm`, but without a pass over x to mask it.

  Attributes:
    dtype: of the result; parameters and statistics are float32.
    zero_scale: start as the zero function (the last one of a residual block).
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
    """Normalised x.

    Args:
      x: of any float type.
      valid: the clips whose statistics count, None for all; of no effect
        unless training.
      train: normalise with the statistics of this batch and update the running
        ones ('batch_stats'), instead of using those.
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
    # Clip by clip first: the mask then falls on one value per clip.
    values = values.sum(axis=tuple(range(1, x.ndim - 1)))
    if valid is not None:
      values = jnp.where(valid[:, None], values, 0)
    return values.sum(axis=0) / count

  mean = mean_of(x)
  # Not below 0 by rounding.
  return mean, jnp.maximum(mean_of(x * x) - mean * mean, 0)
