"""The convolution of all models."""

from collections.abc import Sequence
import functools
from typing import Any

import flax.linen as nn
import jax

from dianet_jax.models.layers import cpu, products
from dianet_jax.models.layers.cpu import convolution

# The only options that the CPU forms implement, besides the number of groups:
# what flax passes for a kernel of two spatial dimensions, without dilation or
# precision.
_DEFAULTS = {
  'lhs_dilation': (1, 1),
  'rhs_dilation': (1, 1),
  'dimension_numbers': jax.lax.ConvDimensionNumbers(
    (0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)
  ),
  'feature_group_count': 1,
  'precision': None,
}


def conv_general_dilated(
  x: jax.Array,
  kernel: jax.Array,
  strides: Sequence[int],
  padding: Sequence[tuple[int, int]] | str,
  **options: Any,
) -> jax.Array:
  """`jax.lax.conv_general_dilated`, with fast forms on a CPU for most uses.

  How many pixels of a 3x3 image lie under a 3x3 kernel:

  >>> import jax.numpy as jnp
  >>> x, kernel = jnp.ones((1, 3, 3, 1)), jnp.ones((3, 3, 1, 1))
  >>> layout = ('NHWC', 'HWIO', 'NHWC')
  >>> y = conv_general_dilated(
  ...   x, kernel, (1, 1), 'SAME', dimension_numbers=layout
  ... )
  >>> y[0, ..., 0].astype(int).tolist()
  [[4, 6, 4], [6, 9, 6], [4, 6, 4]]

  A product of matrices where `products.everywhere` asks for that.

  Args:
    x: float [clip, height, width, channel], or as `options` say.
    kernel: [rows, columns, channel, feature], or as `options` say.
    strides: of the kernel, one per spatial axis.
    padding: zeros before and after each spatial axis, or a name that
      `jax.lax.conv_general_dilated` knows.
    **options: of `jax.lax.conv_general_dilated`. With options other than the
      defaults of `Conv`, that function computes the result.

  Returns:
    [clip, new height, new width, feature], in the dtype of x.
  """
  if products.used() and options == _DEFAULTS:
    return products.conv(x, kernel, strides, padding)
  groups = options.get('feature_group_count', 1)
  if (
    cpu.enabled()
    and options | {'feature_group_count': 1} == _DEFAULTS
    # Otherwise an error, which that function explains.
    and x.shape[-1] == groups * kernel.shape[-2]
  ):
    return convolution.conv(x, kernel, strides, padding)
  return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)


# `flax.linen.Conv` with the same attributes, parameters and results. Kernels of
# two spatial dimensions without dilation are fast on a CPU. There they have
# first derivatives in reverse mode only; for others see `cpu.switched_off`.
Conv = functools.partial(nn.Conv, conv_general_dilated=conv_general_dilated)
