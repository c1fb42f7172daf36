"""Pooling whose gradient is fast on a CPU; elsewhere flax's pooling.

The form is chosen when the program is lowered.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8
import numpy as np

Map = Float[Array, 'clip height width channel']
Pooled = Float[Array, 'clip rows columns channel']

# Window, strides, padding (and whether it counts) of the functions below, as
# flax's functions of the same name take them.
AVG_OPTIONS = (2, 2), (2, 2), 'SAME', False
MAX_OPTIONS = (3, 3), (2, 2), ((1, 1), (1, 1))


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


@jax.custom_vjp
def max_pool(x: Map) -> Pooled:
  """Maximum of 3x3 windows in steps of 2, with one pixel of padding.

  The gradient goes to the first of equal values, row by row. XLA scatters it,
  on a CPU in plain loops, which takes 20 times as long as gathering it.

  >>> max_pool(jnp.arange(9.0).reshape(1, 3, 3, 1))[0, ..., 0].tolist()
  [[4.0, 5.0], [7.0, 8.0]]

  Args:
    x: any float dtype.

  Returns:
    Half the height and width, rounded up.
  """
  return _plain_max_pool(x)


def _plain_max_pool(x):
  # Flax declares padding as text, but takes numbers of pixels, too.
  return nn.max_pool(x, *MAX_OPTIONS)  # pyright: ignore[reportArgumentType]


def _backward(x, gradient):
  def scattered(x, gradient):
    return jax.vjp(_plain_max_pool, x)[1](gradient)[0]

  return (
    jax.lax.platform_dependent(x, gradient, cpu=_gathered, default=scattered),
  )


max_pool.defvjp(lambda x: (_plain_max_pool(x), x), _backward)


def _first_largest(x: Map) -> Int8[Array, 'clip rows columns channel']:
  """Index, row by row, of the largest of each window's nine pixels."""
  rows, columns = ((size + 1) // 2 for size in x.shape[1:3])
  ends = 2 * rows - x.shape[1], 2 * columns - x.shape[2]
  x = jnp.pad(
    x,
    ((0, 0), (1, ends[0]), (1, ends[1]), (0, 0)),
    constant_values=-jnp.inf,
  )
  largest = x[:, : 2 * rows : 2, : 2 * columns : 2]
  which = jnp.zeros(largest.shape, jnp.int8)
  for pixel in range(1, 9):
    row, column = divmod(pixel, 3)
    value = x[:, row : row + 2 * rows : 2, column : column + 2 * columns : 2]
    larger = value > largest
    largest = jnp.where(larger, value, largest)
    which = jnp.where(larger, jnp.int8(pixel), which)
  return which


def _gathered(x: Map, gradient: Pooled) -> Map:
  """The gradient with respect to x, gathered from at most four windows.

  A pixel in an even row lies in the middle row of one window; a pixel in an odd
  row lies in the last row of one window and the first row of the next. The same
  holds for columns.
  """
  which = _first_largest(x)

  def of(pixel, down=0, right=0):
    chosen = jnp.where(which == pixel, gradient, 0)[:, down:, right:]
    return jnp.pad(chosen, ((0, 0), (0, down), (0, right), (0, 0)))

  even = jnp.stack([of(4), of(5) + of(3, right=1)], axis=3)
  odd = jnp.stack(
    [
      of(7) + of(1, down=1),
      of(8) + of(6, right=1) + of(2, down=1) + of(0, down=1, right=1),
    ],
    axis=3,
  )
  clips, rows, columns, _, channels = even.shape
  both = jnp.stack([even, odd], axis=2)
  both = both.reshape(clips, 2 * rows, 2 * columns, channels)
  return both[:, : x.shape[1], : x.shape[2]]
