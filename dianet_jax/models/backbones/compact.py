"""A small backbone for small images and quick runs."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from dianet_jax.models import layers


class Compact(nn.Module):
  """3x3 convolution, batch normalisation, ReLU, 2x2 average pooling, repeated.

  Average pooling: the gradient of max pooling takes more than half of the
  step's time on a CPU, and these images are smooth.

  Attributes:
    widths: channels of each stage; each halves height and width.
    dtype: of the computation; None is that of the images.
  """

  widths: tuple[int, ...] = (16, 32, 48)
  dtype: Any = None

  @nn.compact
  def __call__(
    self,
    x: Float[Array, 'clip height width channel'],
    valid: Bool[Array, ' clip'] | None,
    train: bool,
  ) -> Float[Array, 'clip rows columns feature']:
    """Feature map of images; `valid` and `train` as in `layers.BatchNorm`."""
    for width in self.widths:
      # No bias: the normalisation behind it removes it.
      x = layers.Conv(width, (3, 3), use_bias=False, dtype=self.dtype)(x)
      x = nn.relu(layers.BatchNorm(self.dtype)(x, valid, train))
      x = layers.avg_pool(x, (2, 2), (2, 2), 'SAME', count_include_pad=False)
    return x
