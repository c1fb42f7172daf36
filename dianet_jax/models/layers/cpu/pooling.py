"""Pooling whose gradient is fast on a CPU; elsewhere flax's pooling.

The form is chosen when the program is lowered.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int16
import numpy as np

Map = Float[Array, 'clip height width channel']
Pooled = Float[Array, 'clip rows columns channel']

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]

# Window, strides, padding and whether it counts, of `avg_pool`.
AVG_OPTIONS = (2, 2), (2, 2), 'SAME', False


def avg_pool(x: Map) -> Pooled:
  """Mean of 2x2 windows in steps of 2; padding is not counted.

  >>> avg_pool(jnp.arange(9.0).reshape(1, 3, 3, 1))[0, ..., 0].tolist()
  [[2.0, 3.5], [6.5, 8.0]]

  Args:
    x: any float dtype.

  Returns:
    Half the height and width, rounded up.
  """
  return jax.lax.platform_dependent(
    x,
    cpu=_sum_of_slices,
    # Flax divides by counts in float32, and returns that dtype.
    default=lambda x: nn.avg_pool(x, *AVG_OPTIONS).astype(x.dtype),
  )


def _sum_of_slices(x):
  clips, height, width, channels = x.shape
  x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
  rows, columns = x.shape[1] // 2, x.shape[2] // 2
  # Two neighbours in a row become one pixel of twice the channels.
  x = x.reshape(clips, rows, 2, columns, 2 * channels)
  x = x[:, :, 0] + x[:, :, 1]
  x = x[..., :channels] + x[..., channels:]
  in_rows = np.minimum(2, height - 2 * np.arange(rows))
  in_columns = np.minimum(2, width - 2 * np.arange(columns))
  pixels = in_rows[:, None, None] * in_columns[:, None]
  return x * jnp.asarray(1 / pixels, x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def max_pool(x: Map, window: Pair, strides: Pair, padding: Pads) -> Pooled:
  """Maximum of windows, with a gradient that is gathered.

  The gradient goes to the first of equal values, row by row. XLA scatters it,
  on a CPU in plain loops, which takes 4 to 20 times as long for most windows.

  >>> x = jnp.arange(9.0).reshape(1, 3, 3, 1)
  >>> max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))[0, ..., 0].tolist()
  [[4.0, 5.0], [7.0, 8.0]]

  Args:
    x: any float dtype.
    window: rows and columns of a window.
    strides: rows and columns from one window to the next.
    padding: rows above and below, columns left and right; never chosen.

  Returns:
    One value for each window that fits.
  """
  return _plain(window, strides, padding, x)


def _plain(window, strides, padding, x):
  # Flax declares padding as text, but takes numbers of pixels, too.
  return nn.max_pool(x, window, strides, padding)  # pyright: ignore[reportArgumentType]


def _forward(x, *options):
  return max_pool(x, *options), x


def _backward(window, strides, padding, x, gradient):
  options = window, strides, padding

  def scattered(x, gradient):
    return jax.vjp(functools.partial(_plain, *options), x)[1](gradient)[0]

  gathered = functools.partial(_gathered, *options)
  return (
    jax.lax.platform_dependent(x, gradient, cpu=gathered, default=scattered),
  )


max_pool.defvjp(_forward, _backward)


def _gathered(window, strides, padding, x: Map, gradient: Pooled) -> Map:
  """The gradient with respect to x: each window's goes to one of its pixels."""
  padded = jnp.pad(
    x, ((0, 0), *padding, (0, 0)), constant_values=jnp.array(-jnp.inf, x.dtype)
  )
  chosen = _first_largest(window, strides, padded, gradient.shape)
  if window == strides:
    return _apart(window, padding, x, chosen, gradient)
  total = jnp.zeros_like(x)
  for pixel, place in enumerate(np.ndindex(window)):
    # From the windows to the pixels of x at this place in them.
    spread = [(0, 0, 0)] * 4
    for axis in (1, 2):
      between = strides[axis - 1] - 1
      before = place[axis - 1] - padding[axis - 1][0]
      covered = (gradient.shape[axis] - 1) * (between + 1) + 1
      spread[axis] = before, x.shape[axis] - before - covered, between
    of_pixel = jnp.where(chosen == pixel, gradient, 0)
    total += jax.lax.pad(of_pixel, jnp.zeros((), x.dtype), spread)
  return total


def _apart(window, padding, x: Map, chosen, gradient: Pooled) -> Map:
  """The gradient of windows side by side: no pixel is in two of them."""
  clips, rows, columns, channels = gradient.shape
  place = np.arange(np.prod(window), dtype=np.int16).reshape(*window)
  gradient, chosen = (a[:, :, None, :, None] for a in (gradient, chosen))
  of_pixel = jnp.where(chosen == place[:, None, :, None], gradient, 0)
  of_pixel = of_pixel.reshape(
    clips, rows * window[0], columns * window[1], channels
  )
  edges = [
    (-before, size - covered + before, 0)
    for (before, _), size, covered in zip(
      padding, x.shape[1:3], of_pixel.shape[1:3]
    )
  ]
  return jax.lax.pad(
    of_pixel, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)]
  )


def _first_largest(
  window, strides, padded: Map, shape
) -> Int16[Array, 'clip rows columns channel']:
  """Index, row by row, of the largest pixel of each window."""
  largest = jnp.full(shape, -jnp.inf, padded.dtype)
  chosen = jnp.zeros(shape, jnp.int16)
  for pixel, (row, column) in enumerate(np.ndindex(window)):
    value = padded[:, row :: strides[0], column :: strides[1]]
    value = value[:, : shape[1], : shape[2]]
    larger = value > largest
    largest = jnp.where(larger, value, largest)
    chosen = jnp.where(larger, jnp.int16(pixel), chosen)
  return chosen
