"""ResNet-18 without its classifier.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
table 1. 11,176,512 parameters with three input channels.
"""

from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from dianet_jax.models import layers, official

Map = Float[Array, '*batch height width channel']
Features = Float[Array, '*batch rows columns feature']
Valid = Bool[Array, ' clip'] | None


class BasicBlock(nn.Module):
  """Two 3x3 convolutions around a shortcut.

  Attributes:
    width: features of both convolutions and of the result.
    stride: of the first convolution, and of the shortcut.
    shifted: whether x, here [clip, frame, height, width, channel], is shifted
      in time before the convolutions, not before the shortcut; see
      `layers.temporal_shift`.
    dtype: computation dtype; None for that of x.
  """

  width: int
  stride: int
  dtype: Any = None
  shifted: bool = False

  @nn.compact
  def __call__(self, x: Map, valid: Valid, train: bool) -> Features:
    """Features of x; `valid` and `train` as in `layers.BatchNorm`."""

    def normalised_conv(x, size, stride, zero_scale=False):
      x = _conv(self.width, size, stride, self.dtype)(x)
      return layers.BatchNorm(self.dtype, zero_scale)(x, valid, train)

    y = layers.temporal_shift(x) if self.shifted else x
    y = nn.relu(normalised_conv(y, 3, self.stride))
    y = normalised_conv(y, 3, 1, zero_scale=True)
    if x.shape != y.shape:
      x = normalised_conv(x, 1, self.stride)
    return nn.relu(x + y)


class ResNet18(nn.Module):
  """Stem and four stages of two basic blocks; stride 32.

  >>> import jax
  >>> x = jax.ShapeDtypeStruct((2, 64, 64, 3), 'float32')
  >>> def features(x):
  ...   model = ResNet18(widths=(8, 16))
  ...   return model.init_with_output(jax.random.key(0), x, None, False)[0]
  >>> jax.eval_shape(features, x).shape
  (2, 8, 8, 16)

  Attributes:
    widths: channels of each stage; every stage but the first halves height and
      width.
    dtype: computation dtype; None for that of the images.
  """

  widths: tuple[int, ...] = (64, 128, 256, 512)
  dtype: Any = None

  # Torchvision's, and that of most who publish a ResNet-18.
  official_names: ClassVar[official.Names] = official.Names(
    (
      (r'^conv1\.', 'Conv_0.'),
      (r'^bn1\.', 'BatchNorm_0.'),
      *(
        (rf'^layer{stage + 1}\.{block}\.', f'BasicBlock_{2 * stage + block}.')
        for stage in range(4)
        for block in range(2)
      ),
      (r'(?<=\.)conv1\.', 'Conv_0.'),
      (r'(?<=\.)conv2\.', 'Conv_1.'),
      (r'\.downsample\.0\.', '.Conv_2.'),
      (r'(?<=\.)bn1\.', 'BatchNorm_0.'),
      (r'(?<=\.)bn2\.', 'BatchNorm_1.'),
      (r'\.downsample\.1\.', '.BatchNorm_2.'),
    ),
    # The classifier of other classes.
    unused=(r'fc\..*',),
  )

  @nn.compact
  def __call__(
    self,
    x: Map,
    valid: Valid,
    train: bool,
  ) -> Features:
    """Feature map of images; `valid` and `train` as in `layers.BatchNorm`."""
    x = _conv(self.widths[0], 7, 2, self.dtype)(x)
    x = nn.relu(layers.BatchNorm(self.dtype)(x, valid, train))
    x = layers.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    for stage, width in enumerate(self.widths):
      for block in range(2):
        stride = 2 if stage and not block else 1
        x = BasicBlock(width, stride, self.dtype)(x, valid, train)
    return x


def _conv(width: int, size: int, stride: int, dtype: Any) -> nn.Conv:
  return layers.Conv(
    width,
    (size, size),
    stride,
    # 'SAME' would shift images of even size by half a pixel.
    padding=size // 2,
    # The normalisation after it would remove a bias.
    use_bias=False,
    dtype=dtype,
  )
