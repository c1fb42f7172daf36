"""The convolution of all models."""

from collections.abc import Sequence
import functools
from typing import Any

import flax.linen as nn
import jax

from dianet_jax.models.layers import cpu
from dianet_jax.models.layers.cpu import convolution

# The only options that the CPU forms know: those that flax passes for a kernel
# of two dimensions, without dilation, groups and a demand for precision.
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
  """`jax.lax.conv_general_dilated`, fast on a CPU where there is a form for it.

  Args:
    x: float [clip, height, width, channel], or as `options` say.
    kernel: [rows, columns, channel, feature], or as `options` say.
    strides: of the kernel, one per spatial axis.
    padding: zeros before and after each spatial axis, or a name.
    **options: of `jax.lax.conv_general_dilated`. Any but the defaults of
      `Conv` are passed on to it.
  """
  if cpu.enabled() and options == _DEFAULTS:
    return convolution.conv(x, kernel, strides, padding)
  return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)


# `flax.linen.Conv` with the same attributes, parameters and numbers. Kernels of
# two dimensions without dilation and groups are fast on a CPU, and there
# differentiable once, in reverse mode; for others see `cpu.switched_off`.
Conv = functools.partial(nn.Conv, conv_general_dilated=conv_general_dilated)
