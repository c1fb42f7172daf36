"""A small backbone for small images and quick runs."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from dianet_jax.models import layers


class Compact(nn.Module):
  """Stages of 3x3 convolution, batch norm, ReLU and 2x2 average pooling.

  Average pooling, because the gradient of max pooling takes more than half of
  a training step on a CPU, and these images are smooth.

  >>> import jax
  >>> x = jax.ShapeDtypeStruct((2, 28, 28, 3), 'float32')
  >>> def features(x):
  ...   return Compact().init_with_output(jax.random.key(0), x, None, False)[0]
  >>> jax.eval_shape(features, x).shape
  (2, 4, 4, 48)

  Attributes:
    widths: channels of each stage; each halves height and width.
    dtype: computation dtype; None for that of the images.
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
      # No bias: the normalisation after it would remove it.
      x = layers.Conv(width, (3, 3), use_bias=False, dtype=self.dtype)(x)
      x = nn.relu(layers.BatchNorm(self.dtype)(x, valid, train))
      x = layers.avg_pool(x, (2, 2), (2, 2), 'SAME', count_include_pad=False)
    return x
