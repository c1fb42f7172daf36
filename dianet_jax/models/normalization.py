"""Batch normalisation that padded samples do not touch."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Bool, Float


class BatchNorm(nn.Module):
  """Batch statistics over valid samples when training, running ones else.

  Attributes:
    dtype: of the result; parameters and statistics are float32.
    zero_scale: start as the zero function (the last one of a residual block).
  """

  dtype: Any = None
  zero_scale: bool = False

  @nn.compact
  def __call__(
    self,
    x: Float[Array, 'clip height width channel'],
    valid: Bool[Array, ' clip'] | None,
  ) -> Float[Array, 'clip height width channel']:
    """Normalised x; `valid` is None when predicting."""
    zeros, ones = nn.initializers.zeros, nn.initializers.ones
    return nn.BatchNorm(
      use_running_average=valid is None,
      momentum=0.9,
      dtype=self.dtype,
      scale_init=zeros if self.zero_scale else ones,
    )(x, mask=None if valid is None else valid[:, None, None, None])
