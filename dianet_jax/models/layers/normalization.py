"""Batch normalisation that padded samples do not touch."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Map = Float[Array, 'clip height width channel']

_MOMENTUM = 0.9
_EPSILON = 1e-5


class BatchNorm(nn.Module):
  """Batch statistics over valid samples when training, running ones else.

  Attributes:
    dtype: of the result; parameters and statistics are float32.
    zero_scale: start as the zero function (the last one of a residual block).
  """

  dtype: Any = None
  zero_scale: bool = False

  @nn.compact
  def __call__(self, x: Map, valid: Bool[Array, ' clip'] | None) -> Map:
    """Normalised x; `valid` is None when predicting."""
    # The name under which parameters have always been stored.
    norm = _BatchNorm(self.dtype, self.zero_scale, name='BatchNorm_0')
    return norm(x, valid)


class _BatchNorm(nn.Module):
  """As `flax.linen.BatchNorm`, but without a pass over x to mask it."""

  dtype: Any
  zero_scale: bool

  @nn.compact
  def __call__(self, x, valid):
    zeros, ones = nn.initializers.zeros, nn.initializers.ones
    shape = (x.shape[-1],), jnp.float32
    scale = self.param('scale', zeros if self.zero_scale else ones, *shape)
    bias = self.param('bias', zeros, *shape)
    mean = self.variable('batch_stats', 'mean', jnp.zeros, *shape)
    variance = self.variable('batch_stats', 'var', jnp.ones, *shape)
    dtype = self.dtype or jnp.result_type(x, scale)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    statistics = mean.value, variance.value
    if valid is not None:
      statistics = _statistics(x, valid)
      for running, now in zip((mean, variance), statistics):
        running.value = _MOMENTUM * running.value + (1 - _MOMENTUM) * now
    x = x - statistics[0]
    return (
      x * (jax.lax.rsqrt(statistics[1] + _EPSILON) * scale) + bias
    ).astype(dtype)


def _statistics(x: Map, valid: Bool[Array, ' clip']):
  """Mean and variance of the channels over the valid clips."""

  def total(values):
    # Clip by clip first: the mask then falls on a value a clip.
    return jnp.where(valid[:, None], values.sum(axis=(1, 2)), 0).sum(axis=0)

  # Its reciprocal: XLA compiles a division otherwise for one device than for
  # several, and the last bit of a result would depend on their number.
  share = 1 / (jnp.maximum(valid.sum(), 1) * (x.shape[1] * x.shape[2]))
  mean = total(x) * share
  # Not below 0 by rounding.
  variance = jnp.maximum(total(x * x) * share - mean * mean, 0)
  return mean, variance
