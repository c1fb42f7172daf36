"""Convolution as a product of matrices.

Many networks at once, `jax.vmap` over kernels and images, make of it one
batched product, which GPUs and TPUs are built for. Of the plain form they make
a grouped convolution, which GPUs are slow at.
"""

from collections.abc import Iterator, Sequence
import contextlib
import contextvars

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_USED = contextvars.ContextVar('convolutions_as_products', default=False)


def used() -> bool:
  """Whether convolutions that are traced now are to be products."""
  return _USED.get()


@contextlib.contextmanager
def everywhere() -> Iterator[None]:
  """Convolutions that are traced in this context are products of matrices.

  >>> with everywhere():
  ...   used()
  True
  >>> used()
  False
  """
  token = _USED.set(True)
  try:
    yield
  finally:
    _USED.reset(token)


def conv(
  x: Float[Array, 'clip height width channel'],
  kernel: Float[Array, 'rows columns channel feature'],
  strides: Sequence[int],
  padding: Sequence[tuple[int, int]] | str,
) -> Float[Array, 'clip new_height new_width feature']:
  """Convolution without dilation and groups.

  Takes as much more memory for the map as the kernel has pixels.

  Args:
    x: of any float type.
    kernel: of the same type.
    strides: of the kernel, down and to the right.
    padding: pixels of zeros above and below, to the left and to the right, or
      negative ones to cut off; or a name that `jax.lax.conv_general_dilated`
      knows.

  >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
  >>> conv(x, jnp.ones((2, 2, 1, 1)), (2, 2), 'VALID')[0, ..., 0].tolist()
  [[10.0, 18.0], [42.0, 50.0]]
  """
  rows, columns, _, features = kernel.shape
  if isinstance(padding, str):
    padding = jax.lax.padtype_to_pads(
      x.shape[1:3], (rows, columns), strides, padding
    )
  pads = [(0, 0, 0), *((*pad, 0) for pad in padding), (0, 0, 0)]
  x = jax.lax.pad(x, jnp.zeros((), x.dtype), pads)
  clips, height, width, channels = x.shape
  down, right = strides
  windows = [
    jax.lax.slice(
      x,
      (0, row, column, 0),
      (clips, height - rows + row + 1, width - columns + column + 1, channels),
      (1, down, right, 1),
    )
    for row in range(rows)
    for column in range(columns)
  ]
  patches = jnp.concatenate(windows, axis=-1)
  return patches @ kernel.reshape(-1, features)
