"""A small backbone for small phase images and quick runs."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from dianet_jax.models.layers import pooling
from dianet_jax.models.layers.cpu import convolution
from dianet_jax.models.layers.normalization import BatchNorm


class Compact(nn.Module):
  """3x3 convolution, batch normalisation, ReLU, 2x2 average pooling, repeated.

  Average pooling: the gradient of max pooling takes more than half of the
  step's time on a CPU, and these images are smooth.

  Attributes:
    widths: channels of each stage; each halves height and width.
    dtype: of the computation.
  """

  widths: tuple[int, ...] = (16, 32, 48)
  dtype: Any = None

  @nn.compact
  def __call__(
    self,
    x: Float[Array, 'clip height width channel'],
    valid: Bool[Array, ' clip'] | None,
  ) -> Float[Array, 'clip rows columns feature']:
    """Feature map of phase images; `valid` is None when predicting."""
    for width in self.widths:
      # No bias: the normalisation behind it removes it.
      x = nn.Conv(
        width,
        (3, 3),
        use_bias=False,
        dtype=self.dtype,
        conv_general_dilated=convolution.conv,
      )(x)
      x = nn.relu(BatchNorm(dtype=self.dtype)(x, valid))
      x = pooling.avg_pool(x)
    return x
