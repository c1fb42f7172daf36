"""`layers.Conv` against `flax.linen.Conv`, and its CPU forms one by one."""

import re

import flax.linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models import layers
from dianet_jax.models.layers import conv
from dianet_jax.models.layers.cpu import convolution
from tests.models.closeness import assert_close, assert_same, draw, precision


def assert_is_that_of_flax(x, dtype, features, kernel_size, **options):
  """Shapes, values and gradients with respect to parameters and x."""
  own = layers.Conv(features, kernel_size, **options)
  reference = nn.Conv(features, kernel_size, **options)
  variables, expected = (
    jax.eval_shape(module.init, jax.random.key(0), x)
    for module in (own, reference)
  )
  assert variables == expected
  kernel = draw(dtype, *variables['params']['kernel'].shape)
  arguments = [x, kernel]
  if options.get('use_bias', True):
    arguments.append(draw(dtype, features))

  def applied(module):
    def apply(x, *params):
      return module.apply({'params': dict(zip(('kernel', 'bias'), params))}, x)

    return apply

  assert_same(applied(own), applied(reference), arguments, dtype)


def test_a_convolution_starts_as_that_of_flax():
  x = draw('float32', 1, 5, 5, 3)
  found, expected = (
    module(4, (3, 3)).init(jax.random.key(0), x)
    for module in (layers.Conv, nn.Conv)
  )
  jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.slow
@pytest.mark.parametrize('channels', [3, 9])
@pytest.mark.parametrize(
  'size,kernel,stride',
  [
    # The stem; a block; the first of a stage, of odd size as well.
    (16, 7, 2),
    (9, 3, 1),
    (8, 3, 2),
    (9, 3, 2),
    # New maps smaller than the kernel.
    (4, 3, 2),
    (2, 3, 1),
    (1, 3, 1),
    # Shortcuts.
    (8, 1, 2),
    (7, 1, 2),
  ],
)
def test_the_convolutions_of_resnet(precision, size, kernel, stride, channels):
  assert_is_that_of_flax(
    draw(precision, 3, size, size + 1, channels),
    precision,
    5,
    (kernel, kernel),
    strides=stride,
    padding=kernel // 2,
    use_bias=False,
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  'options',
  [
    {'kernel_dilation': 2},
    {'kernel_dilation': (1, 3), 'padding': 2},
    {'input_dilation': 2, 'padding': 1},
    {'feature_group_count': 2},
    {'feature_group_count': 4, 'strides': 2},
    # One feature of each channel, computed by shifts.
    {'feature_group_count': 4, 'features': 4},
    {'feature_group_count': 4, 'features': 4, 'padding': ((2, 0), (0, 3))},
    {'precision': 'highest'},
    {'precision': jax.lax.Precision.HIGH, 'use_bias': False},
    {'padding': 'VALID'},
    {'padding': 'SAME', 'strides': 2},
    {'padding': 'CIRCULAR'},
    {'padding': 'REFLECT', 'kernel_dilation': 2},
    {'padding': ((2, 0), (-1, 2))},
    {'padding': ((0, 5), (3, 1)), 'strides': (1, 3)},
    {'mask': np.arange(3 * 3 * 4 * 8).reshape(3, 3, 4, 8) % 2},
  ],
  ids=str,
)
def test_every_option_is_honoured(precision, options):
  x = draw(precision, 2, 7, 8, 4)
  features = options.get('features', 8)
  options = {k: v for k, v in options.items() if k != 'features'}
  assert_is_that_of_flax(x, precision, features, (3, 3), **options)


@pytest.mark.slow
@pytest.mark.parametrize(
  'shape,kernel_size,options',
  [
    ((2, 9, 4), 3, {}),
    ((2, 9, 4), (4,), {'padding': 'CAUSAL', 'kernel_dilation': 2}),
    ((2, 5, 6, 4, 3), (3, 2, 3), {'strides': (1, 2, 1)}),
    ((2, 5, 6, 4, 2), (2, 2, 2), {'feature_group_count': 2}),
    # Several axes of clips, and none.
    ((2, 3, 5, 6, 4), (3, 3), {}),
    ((5, 6, 4), (3, 3), {}),
    # No clip, and no pixel left.
    ((0, 5, 6, 4), (3, 3), {}),
    ((2, 3, 3, 4), (5, 5), {'padding': 'VALID'}),
  ],
  ids=str,
)
def test_every_rank(precision, shape, kernel_size, options):
  x = draw(precision, *shape)
  assert_is_that_of_flax(x, precision, 4, kernel_size, **options)


@st.composite
def _convolutions(draw_from):
  """(shape of x, features, kernel size, options)."""
  rank = draw_from(st.integers(1, 3))

  def each(low, high):
    return st.tuples(*[st.integers(low, high)] * rank)

  groups = draw_from(st.sampled_from([1, 1, 1, 2]))
  channels, features = (
    groups * draw_from(st.integers(1, high)) for high in (9, 4)
  )
  options = {
    'strides': draw_from(each(1, 3)),
    'padding': draw_from(
      st.sampled_from(['SAME', 'VALID', 'CIRCULAR'])
      | st.integers(0, 3)
      | st.tuples(*[st.tuples(*[st.integers(-1, 2)] * 2)] * rank)
    ),
    'kernel_dilation': draw_from(st.just(1) | each(1, 2)),
    'feature_group_count': groups,
    'use_bias': draw_from(st.booleans()),
    'precision': draw_from(st.sampled_from([None, None, 'highest'])),
  }
  if not isinstance(options['padding'], str):
    # With a named padding, jax refuses it.
    options['input_dilation'] = draw_from(st.sampled_from([1, 2]))
  # At least one pixel of x is left by a padding of -1 on both sides.
  shape = (draw_from(st.integers(1, 3)), *draw_from(each(3, 9)), channels)
  return shape, features, draw_from(each(1, 4)), options


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(_convolutions())
def test_any_convolution(convolution):
  shape, features, kernel_size, options = convolution
  x = draw('float32', *shape)
  assert_is_that_of_flax(x, 'float32', features, kernel_size, **options)


def test_the_type_of_the_sums_is_honoured():
  x, kernel = (
    draw('bfloat16', *shape) for shape in ((2, 8, 8, 9), (3, 3, 9, 4))
  )
  options = conv._DEFAULTS | {'preferred_element_type': jnp.float32}
  arguments = x, kernel, (1, 1), 'SAME'
  found = conv.conv_general_dilated(*arguments, **options)
  assert found.dtype == jnp.float32
  expected = jax.lax.conv_general_dilated(*arguments, **options)
  np.testing.assert_array_equal(found, expected)


def test_channels_that_the_kernel_does_not_have_are_refused():
  x, kernel = jnp.ones((2, 8, 8, 6)), jnp.ones((3, 3, 3, 4))
  with pytest.raises(ValueError, match='feature_group_count'):
    conv.conv_general_dilated(x, kernel, (1, 1), 'SAME', **conv._DEFAULTS)


def test_an_unknown_option_is_refused():
  x, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
  with pytest.raises(TypeError, match='dilatation'):
    conv.conv_general_dilated(
      x, kernel, (1, 1), 'SAME', **conv._DEFAULTS, dilatation=2
    )


@pytest.mark.slow
@pytest.mark.parametrize(
  'clips,size,padding,step',
  [
    (3, (8, 9), ((1, 1), (1, 1)), 4),
    (2, (9, 5), ((0, 2), (2, 1)), 4),
    (3, (7, 7), ((0, 0), (0, 0)), 4),
    # Hardly more pixels than the kernel has.
    (1, (4, 3), ((1, 1), (1, 1)), 2),
    (1, (3, 5), ((1, 2), (0, 0)), 2),
  ],
)
def test_convolution_of_many_channels(precision, clips, size, padding, step):
  x, kernel = draw(precision, clips, *size, 64), draw(precision, 3, 3, 64, 72)

  def own(x, kernel):
    return convolution.conv(x, kernel, (1, 1), padding)

  def reference(x, kernel):
    return jax.lax.conv_general_dilated(
      x, kernel, (1, 1), padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )

  # A product for each place in the tile.
  assert re.search(
    rf'dot_general.*tensor<{(step + 2) ** 2}x',
    jax.jit(own).lower(x, kernel).as_text(),
  )
  # The transforms of tiles of four have weights up to 8.
  assert_same(own, reference, (x, kernel), precision, factor=10)


@pytest.mark.slow
@pytest.mark.parametrize('channels,features', [(8, 5), (9, 16), (20, 3)])
@pytest.mark.parametrize(
  'size,kernel,padding',
  [
    ((8, 9), (3, 3), ((1, 1), (1, 1))),
    ((9, 11), (5, 3), ((2, 0), (0, 3))),
    ((8, 10), (7, 7), ((3, 3), (3, 3))),
    ((13, 14), (7, 7), ((0, 0), (0, 0))),
  ],
)
def test_convolution_of_few_channels(
  precision, channels, features, size, kernel, padding
):
  x = draw(precision, 3, *size, channels)
  weights = draw(precision, *kernel, channels, features)

  def own(x, kernel):
    return convolution.conv(x, kernel, (1, 1), padding)

  def reference(x, kernel):
    return jax.lax.conv_general_dilated(
      x, kernel, (1, 1), padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )

  # As many channels as several pixels have.
  wide = (kernel[1] - 1) * channels
  text = jax.jit(own).lower(x, weights).as_text()
  assert re.search(rf'convolution.*x{wide}x', text)
  assert_same(own, reference, (x, weights), precision)


def test_bfloat16_is_not_transformed():
  x, kernel = jnp.ones((3, 8, 8, 64)), jnp.ones((3, 3, 64, 64))

  def products(dtype):
    lowered = jax.jit(convolution.conv, static_argnums=(2, 3)).lower(
      x.astype(dtype), kernel.astype(dtype), (1, 1), 'SAME'
    )
    return lowered.as_text().count('stablehlo.dot_general')

  assert products('float32') == 1
  assert products('bfloat16') == 0


@pytest.mark.parametrize('padding', ['SAME', 'VALID', 'SAME_LOWER'])
def test_padding_by_name(padding):
  x, kernel = draw('float32', 2, 7, 8, 3), draw('float32', 2, 2, 3, 4)
  expected = jax.lax.conv_general_dilated(
    x, kernel, (1, 1), padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )
  found = convolution.conv(x, kernel, (1, 1), padding)
  assert_close(found, expected, 'float32')


@pytest.mark.parametrize('channels', [9, 64])
def test_vmapped_convolutions(channels):
  x = draw('float32', 2, 3, 6, 6, channels)
  kernel = draw('float32', 2, 3, 3, channels, 64)

  @jax.jit
  def gradient(x, kernel):
    return jax.grad(
      lambda k: (convolution.conv(x, k, (1, 1), 'SAME') ** 2).sum()
    )(kernel)

  together = jax.jit(jax.vmap(gradient))(x, kernel)
  for fold in range(2):
    assert_close(together[fold], gradient(x[fold], kernel[fold]), 'float32')
