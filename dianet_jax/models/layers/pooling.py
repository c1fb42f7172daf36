"""The pooling of all models: flax's, fast on a CPU where there is a form."""

from collections.abc import Callable, Sequence

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
  """`flax.linen.avg_pool` in the type of x, [clip, *, *pixels, channel].

  Fast on a CPU: windows of 2x2 side by side, padding 'SAME' that is not
  counted. An odd last row or column is then a window of its own.
  """
  options = window_shape, strides, padding, count_include_pad

  def pool(x):
    if cpu.enabled() and x.ndim == 4 and options == pooling.AVG_OPTIONS:
      return pooling.avg_pool(x)
    # Flax divides by counts in float32.
    # Flax takes pads, too, and declares text alone.
    pooled = nn.avg_pool(x, *options)  # pyright: ignore[reportArgumentType]
    return pooled.astype(x.dtype)

  return _each(pool, x, len(window_shape))


def max_pool(
  x: Map,
  window_shape: Sequence[int],
  strides: Sequence[int] | None = None,
  padding: Padding = 'VALID',
) -> Map:
  """`flax.linen.max_pool` of x, [clip, *, *pixels, channel].

  Fast on a CPU: windows of 3x3 two pixels apart, one pixel of padding all
  around; the gradient goes to the first of equal values.
  """
  options = window_shape, strides, padding

  def pool(x):
    if cpu.enabled() and x.ndim == 4 and options == pooling.MAX_OPTIONS:
      return pooling.max_pool(x)
    # Flax takes pads, too, and declares text alone.
    return nn.max_pool(x, *options)  # pyright: ignore[reportArgumentType]

  return _each(pool, x, len(window_shape))


def largest(x: Float[Array, '...'], axis: int) -> Float[Array, '...']:
  """`x.max(axis)` whose gradient goes to the first of the largest values.

  JAX's compares x with its maximum once more in the backward pass. Where a
  compiler computes x anew there and rounds it otherwise, nothing is equal, and
  the gradient is 0 / 0.

  Args:
    x: finite.
    axis: to be gone.
  """
  first = jnp.argmax(jax.lax.stop_gradient(x), axis, keepdims=True)
  place = jax.lax.broadcasted_iota(first.dtype, x.shape, axis % x.ndim)
  return jnp.where(place == first, x, 0).sum(axis)


def _each(pool: Callable[[Map], Map], x: Map, pixels: int) -> Map:
  """Maps of one leading axis pooled, however many there are, such as frames.

  Flax takes several, but then no padding of given size.
  """
  if x.ndim == pixels + 2:
    return pool(x)
  leading = x.shape[: x.ndim - pixels - 1]
  pooled = pool(x.reshape(-1, *x.shape[len(leading) :]))
  return pooled.reshape(*leading, *pooled.shape[1:])
