"""Convolution, pooling and normalisation against what flax has for each."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models.dianet import DIANet
from dianet_jax.models.layers import normalization, pooling
from dianet_jax.models.layers.cpu import convolution

# Relative to the largest value.
TOLERANCE = {'float32': 2e-6, 'float64': 1e-14}


@pytest.fixture(params=TOLERANCE)
def precision(request):
  with jax.enable_x64(request.param == 'float64'):
    yield request.param


def assert_close(found, expected, dtype, factor=1):
  largest = max(float(jnp.abs(expected).max()), 1e-30)
  assert found.dtype == expected.dtype == jnp.dtype(dtype)
  np.testing.assert_allclose(
    found / largest, expected / largest, atol=factor * TOLERANCE[dtype], rtol=0
  )


def assert_same(own, reference, arguments, dtype, factor=1):
  """Values and gradients with respect to all arguments."""
  value, transposed = jax.vjp(jax.jit(own), *arguments)
  expected, expected_transposed = jax.vjp(reference, *arguments)
  assert_close(value, expected, dtype, factor)
  rng = np.random.default_rng(1)
  weights = jnp.asarray(rng.normal(size=expected.shape), dtype)
  for one, other in zip(
    transposed(weights), expected_transposed(weights), strict=True
  ):
    assert_close(one, other, dtype, factor)


def draw(dtype, *shape):
  return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


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
def test_convolution(precision, size, kernel, stride, channels):
  x = draw(precision, 3, size, size + 1, channels)
  weights = draw(precision, kernel, kernel, channels, 5)
  options = {'strides': stride, 'padding': kernel // 2, 'use_bias': False}
  reference = nn.Conv(5, (kernel, kernel), **options)
  own = nn.Conv(
    5, (kernel, kernel), conv_general_dilated=convolution.conv, **options
  )
  assert_same(
    lambda x, k: own.apply({'params': {'kernel': k}}, x),
    lambda x, k: reference.apply({'params': {'kernel': k}}, x),
    (x, weights),
    precision,
  )


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


def test_few_bits_are_not_transformed():
  x, kernel = jnp.ones((3, 8, 8, 64)), jnp.ones((3, 3, 64, 64))

  def products(dtype):
    lowered = jax.jit(convolution.conv, static_argnums=(2, 3)).lower(
      x.astype(dtype), kernel.astype(dtype), (1, 1), 'SAME'
    )
    return lowered.as_text().count('stablehlo.dot_general')

  assert products('float32') == 1
  assert products('bfloat16') == 0


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
def test_padding_by_name(padding):
  x, kernel = draw('float32', 2, 7, 8, 3), draw('float32', 3, 3, 3, 4)
  expected = nn.Conv(4, (3, 3), padding=padding, use_bias=False).apply(
    {'params': {'kernel': kernel}}, x
  )
  found = convolution.conv(x, kernel, (1, 1), padding)
  assert_close(found, expected, 'float32')


@pytest.mark.parametrize('channels', [9, 64])
def test_convolutions_side_by_side(channels):
  x = draw('float32', 2, 3, 6, 6, channels)
  kernel = draw('float32', 2, 3, 3, channels, 64)

  def gradient(x, kernel):
    return jax.grad(
      lambda k: (convolution.conv(x, k, (1, 1), 'SAME') ** 2).sum()
    )(kernel)

  together = jax.vmap(gradient)(x, kernel)
  for fold in range(2):
    assert_close(together[fold], gradient(x[fold], kernel[fold]), 'float32')


@pytest.mark.parametrize('size', [1, 2, 5, 8])
@pytest.mark.parametrize('name', ['max_pool', 'avg_pool'])
def test_pooling(precision, name, size):
  # Many equal values, as behind a ReLU.
  x = jnp.maximum(draw(precision, 3, size, size + 1, 4), 0)
  if name == 'max_pool':
    window, padding, options = (3, 3), ((1, 1), (1, 1)), {}
  else:
    window, padding = (2, 2), 'SAME'
    options = {'count_include_pad': False}
  assert_same(
    getattr(pooling, name),
    lambda x: getattr(nn, name)(x, window, (2, 2), padding, **options),
    (x,),
    precision,
  )


def test_max_pool_keeps_what_is_not_a_number():
  x = jnp.zeros((1, 4, 4, 1)).at[0, 3, 3].set(jnp.nan)
  assert jnp.isnan(pooling.max_pool(x)).any()


@pytest.mark.parametrize('valid', [None, (True,) * 5, (True, False) * 2 + (1,)])
def test_normalisation(valid):
  x = draw('float32', 5, 4, 3, 6) * 3 + 2
  mask = None if valid is None else jnp.array(valid, bool)
  own = normalization.BatchNorm()
  variables = own.init(jax.random.key(0), x, mask)
  reference = nn.BatchNorm(use_running_average=valid is None, momentum=0.9)
  weights = draw('float32', *x.shape)
  if mask is not None:
    weights = jnp.where(mask[:, None, None, None], weights, 0)

  def run(apply):
    def loss(params, x):
      y, updated = apply({**variables, 'params': params}, x)
      return (y * weights).sum(), (y * (weights != 0), updated)

    gradients, aux = jax.grad(loss, (0, 1), has_aux=True)(
      variables['params'], x
    )
    return gradients, aux

  def apply_reference(variables, x):
    inner = {kind: tree['BatchNorm_0'] for kind, tree in variables.items()}
    spread = None if mask is None else mask[:, None, None, None]
    y, updated = reference.apply(inner, x, mask=spread, mutable=['batch_stats'])
    return y, jax.tree.map(lambda t: t, updated)

  found = run(lambda v, x: own.apply(v, x, mask, mutable=['batch_stats']))
  expected = run(apply_reference)
  ones, others = jax.tree.leaves(found), jax.tree.leaves(expected)
  for one, other in zip(ones, others, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


def test_other_platforms_keep_the_forms_of_flax():
  x, kernel = jnp.zeros((2, 8, 8, 3)), jnp.zeros((3, 3, 3, 4))

  def loss(x, kernel):
    x = convolution.conv(x, kernel, (1, 1), 'SAME')
    return pooling.avg_pool(pooling.max_pool(x)).sum()

  traced = jax.jit(jax.grad(loss, (0, 1))).trace(x, kernel)
  found = traced.lower(lowering_platforms=('tpu',)).as_text()
  assert 'select_and_scatter' in found
  assert 'dot_general' not in found
  found = traced.lower(lowering_platforms=('cpu',)).as_text()
  assert 'select_and_scatter' not in found
  assert 'dot_general' in found


def test_the_number_of_devices_changes_no_bit():
  model = DIANet(3, backbone='resnet18', widths=(8, 8, 16, 16), heads=2)
  images = draw('float32', 6, 2, 40, 40, 3)
  valid = jnp.arange(6) < 5
  variables = jax.jit(model.init)(jax.random.key(0), images)

  def gradient(params, images):
    def loss(params):
      logits, updated = model.apply(
        {**variables, 'params': params}, images, valid, mutable=['batch_stats']
      )
      return (logits**2).sum(), updated

    return jax.grad(loss, has_aux=True)(params)

  def on(devices):
    def spread(leaf):
      return jnp.broadcast_to(leaf, (devices, *leaf.shape))

    arguments = jax.tree.map(spread, (variables['params'], images))
    run = jax.pmap(gradient, devices=jax.devices()[:devices])
    return jax.tree.map(lambda leaf: np.asarray(leaf[0]), run(*arguments))

  jax.tree.map(np.testing.assert_array_equal, on(1), on(4))
