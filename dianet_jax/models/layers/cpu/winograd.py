"""3x3 convolution with a quarter of the multiplications.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
CVPR 2016, F(4x4, 3x3) and F(2x2, 3x3). Tiles of 6x6 pixels, which overlap by
two, and the kernel are transformed. After that, 4x4 output pixels take 36
multiplications instead of 144, each of them a matrix product over the channels.
The transforms are sums of a few terms: the more channels, the less they matter.

In float32 the error is about 1e-5 of the largest value; with 2x2 output pixels
per tile, 1e-6.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

Map = Float[Array, 'clip height width channel']
NewMap = Float[Array, 'clip new_height new_width feature']
Kernel = Float[Array, '3 3 channel feature']
Padding = Sequence[tuple[int, int]]


class _Transforms(NamedTuple):
  """The paper's matrices B^T, G and A^T: of tile, kernel and products."""

  of_tile: np.ndarray
  of_kernel: np.ndarray
  of_products: np.ndarray


# Output pixels per side of a tile -> transforms; paper, sections 4.1 and 4.3.
_TRANSFORMS = {
  2: _Transforms(
    np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
    np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2,
    np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
  ),
  4: _Transforms(
    np.array(
      [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
      ]
    ),
    np.array(
      [
        [6, 0, 0],
        [-4, -4, -4],
        [-4, 4, -4],
        [1, 2, 4],
        [1, -2, 4],
        [0, 0, 24],
      ]
    )
    / 24,
    np.array(
      [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
      ]
    ),
  ),
}


class _Tiling(NamedTuple):
  """How outputs are cut into tiles.

  Attributes:
    step: output pixels per side of a tile; it reads two more of x.
    rows: number of rows of tiles.
    columns: number of columns of tiles.
  """

  step: int
  rows: int
  columns: int

  @property
  def transforms(self):
    return _TRANSFORMS[self.step]


def conv(padding: Padding, x: Map, kernel: Kernel) -> NewMap:
  """Convolution with stride 1.

  Args:
    padding: pixels of zeros ((above, below), (left, right)).
    x: float32 or wider.
    kernel: of the same dtype.

  Returns:
    The dtype of x.
  """
  return _conv(padding, x, kernel, 'pxy,pyz->pxz')


def gradient_of_x(padding: Padding, kernel: Kernel, gradient: NewMap) -> Map:
  """Gradient of `conv` with respect to x; padding is at most two pixels."""
  rest = [(2 - before, 2 - after) for before, after in padding]
  return _conv(rest, gradient, kernel[::-1, ::-1], 'pxy,pzy->pxz')


def gradient_of_kernel(padding: Padding, x: Map, gradient: NewMap) -> Kernel:
  """Gradient of `conv` with respect to the kernel."""
  clips, height, width, features = gradient.shape
  tiling = _tiling(clips, (height, width), x.shape[-1], features)
  step, rows, columns = tiling
  _, of_kernel, of_products = tiling.transforms
  x = _transformed_tiles(padding, tiling, x)
  gradient = _pad_to((step * rows, step * columns), [(0, 0)] * 2, gradient)
  places = [slice(i, None, step) for i in range(step)]
  gradient = _combine(of_products.T, [gradient[:, at] for at in places])
  gradient = _combine(of_products.T, [gradient[..., at, :] for at in places])
  kernel = jnp.einsum('pxy,pxz->pyz', _by_place(x), _by_place(gradient))
  kernel = kernel.reshape(step + 2, step + 2, *kernel.shape[1:])
  kernel = _combine(of_kernel.T, kernel)
  return _combine(of_kernel.T, kernel.swapaxes(0, 1))


def _conv(padding, x, kernel, product):
  height, width = (
    size + sum(pixels) - 2 for size, pixels in zip(x.shape[1:3], padding)
  )
  tiling = _tiling(len(x), (height, width), *kernel.shape[2:])
  step, rows, columns = tiling
  _, of_kernel, of_products = tiling.transforms
  x = _transformed_tiles(padding, tiling, x)
  kernel = _combine(of_kernel, kernel)
  kernel = _combine(of_kernel, kernel.swapaxes(0, 1))
  new = jnp.einsum(product, _by_place(x), _by_place(kernel))
  new = new.reshape(*x.shape[:-1], new.shape[-1])
  new = _combine(of_products, new, axis=-2)
  new = _combine(of_products, new, axis=2)
  new = new.reshape(new.shape[0], step * rows, step * columns, new.shape[-1])
  return new[:, :height, :width]


def _tiling(clips, new_size, channels, features):
  """Steps of four pixels, or two if the kernel is much larger than the maps."""
  for step in (4, 2):
    rows, columns = (-(-size // step) for size in new_size)
    maps = clips * rows * columns * (channels + features)
    if channels * features <= 4 * maps:
      break
  return _Tiling(step, rows, columns)


def _transformed_tiles(padding, tiling, x):
  """[column, row (in the tile), clip, row, column (of tiles), channel]."""
  step, rows, columns = tiling
  of_tile = tiling.transforms.of_tile
  x = _pad_to((step * rows + 2, step * columns + 2), padding, x)

  def places(count):
    return [slice(i, i + step * (count - 1) + 1, step) for i in range(step + 2)]

  x = _combine(of_tile, [x[:, place] for place in places(rows)])
  return _combine(of_tile, [x[..., place, :] for place in places(columns)])


def _pad_to(size, padding, x):
  pixels = [
    (before, new - old - before)
    for (before, _), new, old in zip(padding, size, x.shape[1:3])
  ]
  return jnp.pad(x, ((0, 0), *pixels, (0, 0)))


def _by_place(x):
  """One matrix for each position in the tile."""
  places = len(x) ** 2
  return x.reshape(places, x.size // (places * x.shape[-1]), x.shape[-1])


def _combine(
  matrix: np.ndarray, parts: Sequence[jax.Array] | jax.Array, axis: int = 0
) -> jax.Array:
  """The matrix times the parts, as sums that skip weights of 0."""
  sums = []
  for row in matrix:
    first, *others = (
      part if weight == 1 else float(weight) * part
      for weight, part in zip(row, parts, strict=True)
      if weight
    )
    sums.append(sum(others, first))
  # Otherwise XLA fuses the sums with their uses and recomputes them there.
  return jax.lax.optimization_barrier(jnp.stack(sums, axis))
