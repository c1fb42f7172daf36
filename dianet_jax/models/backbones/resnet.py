"""ResNet-18 without its classifier.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
table 1. 11,176,512 parameters with three input channels.
"""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from dianet_jax.models.layers import pooling
from dianet_jax.models.layers.cpu import convolution
from dianet_jax.models.layers.normalization import BatchNorm

Features = Float[Array, 'clip rows columns feature']


class BasicBlock(nn.Module):
  """Two 3x3 convolutions around a shortcut."""

  width: int
  stride: int
  dtype: Any = None

  @nn.compact
  def __call__(
    self, x: Features, valid: Bool[Array, ' clip'] | None
  ) -> Features:
    """x through the block; `valid` is None when predicting."""

    def conv(y, size, stride):
      # Explicit padding: 'SAME' would shift even sizes by half a pixel.
      return nn.Conv(
        self.width,
        (size, size),
        (stride, stride),
        padding=size // 2,
        use_bias=False,
        dtype=self.dtype,
        conv_general_dilated=convolution.conv,
      )(y)

    y = nn.relu(BatchNorm(self.dtype)(conv(x, 3, self.stride), valid))
    y = BatchNorm(self.dtype, zero_scale=True)(conv(y, 3, 1), valid)
    if x.shape != y.shape:
      x = BatchNorm(self.dtype)(conv(x, 1, self.stride), valid)
    return nn.relu(x + y)


class ResNet18(nn.Module):
  """Stem and four stages of two basic blocks; stride 32.

  Attributes:
    widths: channels of each stage; each but the first halves the map.
    dtype: of the computation.
  """

  widths: tuple[int, ...] = (64, 128, 256, 512)
  dtype: Any = None

  @nn.compact
  def __call__(
    self,
    x: Float[Array, 'clip height width channel'],
    valid: Bool[Array, ' clip'] | None,
  ) -> Features:
    """Feature map of phase images; `valid` is None when predicting."""
    x = nn.Conv(
      self.widths[0],
      (7, 7),
      (2, 2),
      padding=3,
      use_bias=False,
      dtype=self.dtype,
      conv_general_dilated=convolution.conv,
    )(x)
    x = nn.relu(BatchNorm(self.dtype)(x, valid))
    x = pooling.max_pool(x)
    for stage, width in enumerate(self.widths):
      x = BasicBlock(width, 1 if stage == 0 else 2, self.dtype)(x, valid)
      x = BasicBlock(width, 1, self.dtype)(x, valid)
    return x
