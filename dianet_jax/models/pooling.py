"""Max pooling whose gradient is fast on a CPU."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8

Map = Float[Array, 'clip height width channel']


@jax.custom_vjp
def max_pool(x: Map) -> Map:
  """Largest value of 3x3 windows two pixels apart, one pixel of padding.

  The gradient goes to the first of equals, row by row, as
  `flax.linen.max_pool` has it. On a CPU XLA scatters it in plain loops, which
  takes 20 times the time of gathering it.

  Args:
    x: float.

  Returns:
    Half as high and wide, rounded up.
  """
  return _max_pool(x)


def _max_pool(x):
  return nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))


def _forward(x):
  return max_pool(x), x


def _backward(x, gradient):
  return (
    jax.lax.platform_dependent(
      x,
      gradient,
      cpu=_gathered,
      default=lambda x, gradient: jax.vjp(_max_pool, x)[1](gradient)[0],
    ),
  )


max_pool.defvjp(_forward, _backward)


def _first_largest(x: Map) -> Int8[Array, 'clip rows columns channel']:
  """Which of a window's nine pixels is the largest, counted row by row."""
  rows, columns = ((size + 1) // 2 for size in x.shape[1:3])
  edges = [(1, 2 * n - size) for n, size in zip((rows, columns), x.shape[1:3])]
  x = jnp.pad(x, ((0, 0), *edges, (0, 0)), constant_values=-jnp.inf)
  largest, which = x[:, : 2 * rows : 2, : 2 * columns : 2], 0
  which = jnp.zeros(largest.shape, jnp.int8)
  for pixel in range(1, 9):
    row, column = divmod(pixel, 3)
    value = x[:, row : row + 2 * rows : 2, column : column + 2 * columns : 2]
    larger = value > largest
    largest = jnp.where(larger, value, largest)
    which = jnp.where(larger, jnp.int8(pixel), which)
  return which


def _gathered(x: Map, gradient: Map) -> Map:
  """The gradient with respect to x: each pixel asks its windows, at most four.

  A pixel of even row lies in the middle row of one window, one of odd row in
  the last row of a window and the first of the next; columns alike.
  """
  which = _first_largest(x)

  def of(pixel, down=0, right=0):
    own = jnp.where(which == pixel, gradient, 0)[:, down:, right:]
    return jnp.pad(own, ((0, 0), (0, down), (0, right), (0, 0)))

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
