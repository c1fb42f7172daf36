"""Convolution in forms that XLA runs fast on a CPU; elsewhere the plain form.

The form is chosen when the program is lowered, so programs for other platforms
do not change.
"""

from collections.abc import Callable, Sequence
import functools
from typing import NamedTuple

import jax
from jax.experimental import xla_metadata
import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.models.layers import cpu
from dianet_jax.models.layers.cpu import winograd

Map = Float[Array, 'clip height width channel']
Kernel = Float[Array, 'rows columns channel_of_group feature']

_LAYOUT = ('NHWC', 'HWIO', 'NHWC')

# Output pixels of a row that are computed at once if there are few channels.
_BLOCK = 4

# From this number of channels and features on, XLA's plain loops are fast.
_SOME = 16

# From this number of channels and features on, Winograd's form is the fastest
# for a 3x3 kernel.
_MANY = 64


def conv(
  x: Map,
  kernel: Kernel,
  strides: Sequence[int],
  padding: Sequence[tuple[int, int]] | str,
) -> Float[Array, 'clip new_height new_width feature']:
  """Convolution without dilation.

  It has first derivatives in reverse mode only. There are as many groups as the
  kernel's channels go into those of x.

  >>> x, kernel = jnp.ones((1, 2, 4, 1)), jnp.ones((1, 3, 1, 1))
  >>> conv(x, kernel, (1, 1), 'SAME')[0, ..., 0].tolist()
  [[2.0, 3.0, 3.0, 2.0], [2.0, 3.0, 3.0, 2.0]]

  Args:
    x: any float dtype.
    kernel: of the same dtype.
    strides: of the kernel, down and to the right.
    padding: pixels of zeros ((above, below), (left, right)), or a name that
      `jax.lax.conv_general_dilated` knows.

  Returns:
    [clip, new height, new width, feature], in the dtype of x.
  """
  if isinstance(padding, str):
    padding = jax.lax.padtype_to_pads(
      x.shape[1:3], kernel.shape[:2], strides, padding
    )
  strides, pads = tuple(strides), tuple(map(tuple, padding))
  size = _new_size(x.shape, kernel.shape, strides, pads)
  if min(size) < 1 or x.shape[0] == 0 or min(map(min, pads)) < 0:
    # An empty result or negative padding: not worth a form of its own.
    return _plain(strides, pads, x, kernel)
  return _conv(x, kernel, strides, pads)


def _plain(strides, padding, x, kernel):
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    strides,
    padding,
    dimension_numbers=_LAYOUT,
    feature_group_count=_groups(x, kernel),
  )


def _groups(x, kernel):
  return x.shape[-1] // max(kernel.shape[2], 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv(x, kernel, strides, padding):
  cpu = _cpu_form(x, kernel, strides, padding).new
  return jax.lax.platform_dependent(
    x,
    kernel,
    cpu=functools.partial(cpu, strides, padding),
    default=functools.partial(_plain, strides, padding),
  )


def _forward(x, kernel, strides, padding):
  return _conv(x, kernel, strides, padding), (x, kernel)


def _backward(strides, padding, residuals, gradient):
  x, kernel = residuals
  _, *cpu_gradients = _cpu_form(x, kernel, strides, padding)
  return tuple(
    # Separate calls: XLA removes the unused gradient of the first layer's x.
    jax.lax.platform_dependent(
      x,
      kernel,
      gradient,
      cpu=functools.partial(cpu_gradient, strides, padding),
      default=functools.partial(_gradient(_plain, of), strides, padding),
    )
    for of, cpu_gradient in enumerate(cpu_gradients)
  )


_conv.defvjp(_forward, _backward)


def _gradient(form, of):
  """The gradient of a form with respect to x (0) or the kernel (1)."""

  def gradient_of(strides, padding, x, kernel, gradient):
    arguments = [x, kernel]

    def alone(argument):
      arguments[of] = argument
      return form(strides, padding, *arguments)

    return jax.vjp(alone, arguments[of])[1](gradient)[0]

  return gradient_of


def _new_size(x_shape, kernel_shape, strides, padding):
  return [
    (size + before + after - window) // stride + 1
    for size, window, stride, (before, after) in zip(
      x_shape[1:3], kernel_shape, strides, padding
    )
  ]


class _Form(NamedTuple):
  """The forward function and both gradients.

  Each takes (strides, padding, x, kernel[, gradient of the output]).
  """

  new: Callable
  gradient_of_x: Callable
  gradient_of_kernel: Callable


def _derived(form):
  return _Form(form, _gradient(form, 0), _gradient(form, 1))


def _cpu_form(x, kernel, strides, padding):
  size = _new_size(x.shape, kernel.shape, strides, padding)
  rows, columns, channels, features = kernel.shape
  if _groups(x, kernel) > 1:
    if channels == 1 and features == x.shape[-1] and x.dtype.itemsize >= 4:
      return _derived(_by_shifts)
    return _derived(_with_whole_kernel if x.shape[-1] < _SOME else _plain)
  if (rows, columns) == (1, 1) or size[0] < rows or size[1] < columns:
    return _derived(_by_patches)
  if strides == (1, 1):
    if channels < 8 and columns < 7:
      return _derived(_by_blocks)
    if min(channels, features) < _SOME and columns > 2:
      return _derived(_by_wide_pixels)
    if (
      cpu.for_batches()
      and (rows, columns) == (3, 3)
      and min(channels, features) >= _MANY
      and max(map(max, padding)) <= 2
      and x.dtype.itemsize >= 4
    ):
      return _WINOGRAD
  return _derived(_plain)._replace(gradient_of_kernel=_of_kernel)


_WINOGRAD = _Form(
  lambda strides, padding, x, kernel: winograd.conv(padding, x, kernel),
  lambda strides, padding, x, kernel, gradient: winograd.gradient_of_x(
    padding, kernel, gradient
  ),
  lambda strides, padding, x, kernel, gradient: winograd.gradient_of_kernel(
    padding, x, gradient
  ),
)


def _patches(strides, padding, x, kernel):
  """What each place of the kernel sees of x, row by row."""
  height, width = _new_size(x.shape, kernel.shape, strides, padding)
  x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
  down, right = strides
  return [
    x[
      :,
      row : row + down * (height - 1) + 1 : down,
      column : column + right * (width - 1) + 1 : right,
    ]
    for row in range(kernel.shape[0])
    for column in range(kernel.shape[1])
  ]


def _by_shifts(strides, padding, x, kernel):
  """Sums what each place of the kernel sees of x, times the kernel there.

  For one feature of each channel, for which XLA's plain loops are 30 to 160
  times slower.
  """
  patches = _patches(strides, padding, x, kernel)
  weights = kernel.reshape(len(patches), -1)
  return functools.reduce(jnp.add, map(jnp.multiply, patches, weights))


def _with_whole_kernel(strides, padding, x, kernel):
  """Computes all groups at once, with zeros between them; few channels."""
  rows, columns, channels, features = kernel.shape
  groups = _groups(x, kernel)
  kernel = kernel.reshape(rows, columns, channels, groups, -1)
  whole = jnp.einsum('rcigo,hg->rchigo', kernel, jnp.eye(groups, dtype=x.dtype))
  whole = whole.reshape(rows, columns, groups * channels, features)
  return _cpu_form(x, whole, strides, padding).new(strides, padding, x, whole)


def _by_patches(strides, padding, x, kernel):
  """Multiplies the patches under the kernel by the kernel as a matrix.

  For outputs smaller than the kernel, for which XLA's plain loops are 200 times
  slower, and for 1x1 kernels, whose gradient is slow.
  """
  patches = _patches(strides, padding, x, kernel)
  matrix = kernel.reshape(-1, kernel.shape[-1])
  # Two axes, because with more the gradient needs a transposition.
  new = jnp.concatenate(patches, -1).reshape(-1, len(matrix)) @ matrix
  return new.reshape(*patches[0].shape[:3], -1)


def _by_blocks(strides, padding, x, kernel):
  """Computes blocks of pixels of a row by one product; few channels, stride 1.

  A block reads a contiguous stretch of a row of x, longer than the few values
  that one row of the kernel reads. The matrix holds the kernel, shifted, once
  for each pixel of the block, and zeros elsewhere.
  """
  clips, _, _, channels = x.shape
  rows, columns, _, features = kernel.shape
  new_height, new_width = _new_size(x.shape, kernel.shape, strides, padding)
  blocks = -(-new_width // _BLOCK)
  seen = _BLOCK + columns - 1
  above_and_below, (left, right) = padding
  # The last block may be cut short.
  right += blocks * _BLOCK - new_width
  x = jnp.pad(x, ((0, 0), above_and_below, (left, right), (0, 0)))
  x = x.reshape(clips, x.shape[1], -1)
  pieces = [
    x[:, row : row + new_height, first * channels : (first + seen) * channels]
    for first in range(0, blocks * _BLOCK, _BLOCK)
    for row in range(rows)
  ]
  pieces = jnp.concatenate(pieces, -1).reshape(-1, rows * seen * channels)
  matrix = _shifted(kernel, _BLOCK).reshape(-1, _BLOCK * features)
  new = (pieces @ matrix).reshape(clips, new_height, -1, features)
  return new[:, :, :new_width]


def _shifted(kernel, pixels):
  """[row, column, channel, pixel, feature]: a column further for each pixel."""
  return jnp.stack(
    [
      jnp.pad(kernel, ((0, 0), (shift, pixels - 1 - shift), (0, 0), (0, 0)))
      for shift in range(pixels)
    ],
    axis=3,
  )


def _by_wide_pixels(strides, padding, x, kernel):
  """Makes one pixel of several of a row; few channels or features, stride 1.

  That is a mere reshaping, which gives them as many times the channels and the
  features. A wide pixel has one pixel less than the kernel has columns, so that
  it reads two wide pixels of x. The wide kernel holds the kernel, shifted, once
  for each pixel of a wide one, and zeros elsewhere.
  """
  clips, _, _, channels = x.shape
  rows, columns, _, features = kernel.shape
  new_height, new_width = _new_size(x.shape, kernel.shape, strides, padding)
  pixels = columns - 1
  wide = -(-new_width // pixels)
  above_and_below, (left, _) = padding
  # The last wide pixel may be cut short.
  right = (wide + 1) * pixels - x.shape[2] - left
  x = jnp.pad(x, ((0, 0), above_and_below, (left, right), (0, 0)))
  x = x.reshape(clips, x.shape[1], wide + 1, pixels * channels)
  kernel = _shifted(kernel, pixels)
  kernel = kernel.reshape(rows, 2, pixels * channels, pixels * features)
  new = _unpadded(x, kernel)
  return new.reshape(clips, new_height, -1, features)[:, :, :new_width]


@jax.custom_vjp
def _unpadded(x, kernel):
  return _plain((1, 1), ((0, 0), (0, 0)), x, kernel)


def _unpadded_backward(arguments, gradient):
  x, kernel = arguments
  return tuple(
    gradient_of((1, 1), ((0, 0), (0, 0)), x, kernel, gradient)
    for gradient_of in (_gradient(_plain, 0), _of_kernel)
  )


_unpadded.defvjp(
  lambda *arguments: (_unpadded(*arguments), arguments), _unpadded_backward
)


@jax.jit
def _channels_first(x):
  return x.transpose(3, 1, 2, 0)


def _of_kernel(strides, padding, x, kernel, gradient):
  """The plain form's gradient with respect to the kernel, a sum over clips.

  XLA would fuse the transposition of x with the normalisation that made x, and
  recompute the latter for each value, in an order that is slow to read and
  write. A call that is not inlined keeps the transposition separate.
  """
  with xla_metadata.set_xla_metadata(inlineable='false'):
    x = _channels_first(x)
  befores = [before for before, _ in padding]
  afters = [
    window + stride * (new - 1) - old - before
    for window, stride, new, old, before in zip(
      kernel.shape, strides, gradient.shape[1:3], x.shape[1:3], befores
    )
  ]
  of_kernel = jax.lax.conv_general_dilated(
    x,
    gradient.transpose(1, 2, 0, 3),
    (1, 1),
    list(zip(befores, afters)),
    rhs_dilation=strides,
    dimension_numbers=_LAYOUT,
  )
  return of_kernel.transpose(1, 2, 0, 3)
