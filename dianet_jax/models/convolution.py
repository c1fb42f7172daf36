"""Convolution in the forms that XLA is fast at."""

from collections.abc import Sequence
import functools
from typing import Any

import jax
from jax.experimental import xla_metadata
import jax.numpy as jnp
from jaxtyping import Array, Float

Map = Float[Array, 'clip height width channel']
Kernel = Float[Array, 'rows columns channel feature']
_LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def conv(
  x: Map,
  kernel: Kernel,
  strides: Sequence[int],
  padding: Sequence[tuple[int, int]],
  **unused: Any,
) -> Float[Array, 'clip new_height new_width feature']:
  """What `jax.lax.conv_general_dilated` computes, for `flax.linen.Conv`.

  Where the new map is smaller than the kernel, XLA has but plain loops for it
  on a CPU, 200 times slower than the product of the patches under the kernel
  with the kernel as a matrix. A kernel of one pixel is such a product by
  itself; XLA's gradient with respect to it is ten times slower.

  Args:
    x: float32, or another float type.
    kernel: of the same type.
    strides: of the kernel, down and to the right.
    padding: zeros above and below, to the left and to the right.
    **unused: what `flax.linen.Conv` passes besides, all left at its default.
  """
  del unused
  strides, padding = tuple(strides), tuple(map(tuple, padding))
  size = [
    (length + sum(pad) - window) // stride + 1
    for length, pad, window, stride in zip(
      x.shape[1:3], padding, kernel.shape, strides
    )
  ]
  small = any(length < window for length, window in zip(size, kernel.shape))
  if not small and kernel.shape[:2] != (1, 1):
    return _convolution(x, kernel, strides, padding)
  x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
  (down, right), (height, width) = strides, size
  patches = [
    x[
      :,
      row : row + down * (height - 1) + 1 : down,
      column : column + right * (width - 1) + 1 : right,
    ]
    for row in range(kernel.shape[0])
    for column in range(kernel.shape[1])
  ]
  return jnp.concatenate(patches, -1) @ kernel.reshape(-1, kernel.shape[-1])


def _plain(x, kernel, strides, padding):
  return jax.lax.conv_general_dilated(
    x, kernel, strides, padding, dimension_numbers=_LAYOUT
  )


_convolution = jax.custom_vjp(_plain, nondiff_argnums=(2, 3))


def _forward(x, kernel, strides, padding):
  return _plain(x, kernel, strides, padding), (x, kernel)


def _backward(strides, padding, residuals, gradient):
  x, kernel = residuals
  _, of_x = jax.vjp(lambda x: _plain(x, kernel, strides, padding), x)

  def plain(x, gradient):
    _, of_kernel = jax.vjp(lambda k: _plain(x, k, strides, padding), kernel)
    return of_kernel(gradient)[0]

  of_kernel = jax.lax.platform_dependent(
    x,
    gradient,
    cpu=lambda x, gradient: _cpu(x, gradient, kernel.shape, strides, padding),
    default=plain,
  )
  return *of_x(gradient), of_kernel


_convolution.defvjp(_forward, _backward)


@jax.jit
def _channels_first(x):
  return x.transpose(3, 1, 2, 0)


def _cpu(x, gradient, shape, strides, padding):
  """The gradient with respect to the kernel: a convolution over clips.

  XLA would merge the transposition of x with the normalisation that made x,
  and compute that again, value by value, across the strides of the memory. In
  a call that is not inlined it is a transposition alone, 16 times faster.
  """
  with xla_metadata.set_xla_metadata(inlineable='false'):
    x = _channels_first(x)
  ends = [
    window + stride * (new - 1) - old - before
    for window, stride, new, old, (before, _) in zip(
      shape, strides, gradient.shape[1:3], x.shape[1:3], padding
    )
  ]
  of_kernel = jax.lax.conv_general_dilated(
    x,
    gradient.transpose(1, 2, 0, 3),
    (1, 1),
    [(before, end) for (before, _), end in zip(padding, ends)],
    rhs_dilation=strides,
    dimension_numbers=_LAYOUT,
  )
  return of_kernel.transpose(1, 2, 0, 3)
