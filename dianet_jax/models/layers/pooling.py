"""Flax's pooling, with fast forms on a CPU for the windows that models use."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.models.layers import cpu
from dianet_jax.models.layers.cpu import pooling

Map = Float[Array, '... channel']
Padding = Sequence[tuple[int, int]] | str


def avg_pool(
  x: Map,
  window_shape: Sequence[int],
  strides: Sequence[int] | None = None,
  padding: Padding = 'VALID',
  count_include_pad: bool = True,
) -> Map:
  """`flax.linen.avg_pool` with any leading axes, in the dtype of x.

  Fast on a CPU: 2x2 windows in steps of 2, padding 'SAME' that is not counted.
  The windows of an odd last row or column then hold fewer pixels:

  >>> x = jnp.arange(9.0).reshape(1, 3, 3, 1)
  >>> y = avg_pool(x, (2, 2), (2, 2), 'SAME', count_include_pad=False)
  >>> y[0, ..., 0].tolist()
  [[2.0, 3.5], [6.5, 8.0]]

  Args:
    x: float [clip, *, *pixels, channel].
    window_shape: pixels of a window along each pixel axis.
    strides: pixels between windows; None for 1.
    padding: 'VALID', 'SAME', or pixels before and after each pixel axis.
    count_include_pad: whether padding counts as zeros in the mean.

  Returns:
    [clip, *, *new pixels, channel].
  """
  options = window_shape, strides, padding, count_include_pad

  def pool(x):
    if cpu.enabled() and x.ndim == 4 and options == pooling.AVG_OPTIONS:
      return pooling.avg_pool(x)
    # Flax declares padding as text, but takes numbers of pixels, too; it
    # divides by counts in float32.
    pooled = nn.avg_pool(x, *options)  # pyright: ignore[reportArgumentType]
    return pooled.astype(x.dtype)

  return _each(pool, x, len(window_shape))


def max_pool(
  x: Map,
  window_shape: Sequence[int],
  strides: Sequence[int] | None = None,
  padding: Padding = 'VALID',
) -> Map:
  """`flax.linen.max_pool` with any leading axes.

  Fast on a CPU, but for windows of three dimensions. The gradient goes to the
  first of equal values.

  >>> x = jnp.arange(9.0).reshape(1, 3, 3, 1)
  >>> max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))[0, ..., 0].tolist()
  [[4.0, 5.0], [7.0, 8.0]]

  Args:
    x: float [clip, *, *pixels, channel].
    window_shape: pixels of a window along each pixel axis.
    strides: pixels between windows; None for 1.
    padding: 'VALID', 'SAME', or pixels before and after each pixel axis.

  Returns:
    [clip, *, *new pixels, channel].
  """
  strides = tuple(strides or [1] * len(window_shape))

  # The type of a `custom_vjp` is not known to type checkers.
  def pool(x) -> Any:
    if cpu.enabled() and x.ndim == 4:
      sizes = x.shape[1:3]
      pads = padding
      if isinstance(pads, str):
        pads = jax.lax.padtype_to_pads(sizes, window_shape, strides, pads)
      pads = tuple(map(tuple, pads))
      return pooling.max_pool(x, tuple(window_shape), strides, pads)
    # Flax declares padding as text, but takes numbers of pixels, too.
    return nn.max_pool(x, window_shape, strides, padding)  # pyright: ignore[reportArgumentType]

  return _each(pool, x, len(window_shape))


def largest(x: Float[Array, '...'], axis: int) -> Float[Array, '...']:
  """`x.max(axis)` whose gradient goes to the first of equal largest values.

  The backward pass of `jax.numpy.max` compares x with its maximum again. If the
  compiler recomputes x there and rounds it differently, no value is equal to
  the maximum, and the gradient is 0 / 0.

  >>> x = jnp.array([1.0, 3.0, 3.0])
  >>> largest(x, 0).item(), jax.grad(largest)(x, 0).tolist()
  (3.0, [0.0, 1.0, 0.0])

  Args:
    x: finite.
    axis: the axis to reduce.

  Returns:
    x without `axis`.
  """
  first = jnp.argmax(jax.lax.stop_gradient(x), axis, keepdims=True)
  place = jax.lax.broadcasted_iota(first.dtype, x.shape, axis % x.ndim)
  return jnp.where(place == first, x, 0).sum(axis)


def _each(pool: Callable[[Map], Map], x: Map, pixels: int) -> Map:
  """Pools maps with several leading axes, such as clips and frames.

  With more than one, flax takes no padding in pixels.
  """
  if x.ndim == pixels + 2:
    return pool(x)
  leading = x.shape[: x.ndim - pixels - 1]
  pooled = pool(x.reshape(-1, *x.shape[len(leading) :]))
  return pooled.reshape(*leading, *pooled.shape[1:])
