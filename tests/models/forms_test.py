"""The forms of the layers that a program contains."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models import layers
from dianet_jax.models.backbones.resnet import ResNet18
from dianet_jax.models.layers.cpu import pooling
from tests.models.closeness import draw


class _Layers(nn.Module):
  """One of each layer, of this module or another."""

  of: object

  @nn.compact
  def __call__(self, x):
    x = self.of.Conv(4, (3, 3), name='few_channels')(x)
    x = self.of.Conv(64, (3, 3), name='four_channels')(x)
    x = self.of.Conv(64, (3, 3), name='many_channels')(x)
    x = self.of.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    return self.of.avg_pool(x, *pooling.AVG_OPTIONS)


def _gradient(of):
  """A new function each time, which jax has not traced yet."""

  def gradient(variables, x):
    return jax.grad(lambda *a: (_Layers(of).apply(*a) ** 2).sum(), (0, 1))(
      variables, x
    )

  return jax.jit(gradient)


X = draw('float32', 2, 16, 16, 3)
# In the text of a program, one that has several forms chooses by the platform.
CHOICE = 'platform_index'


def test_other_platforms_keep_the_forms_of_flax():
  variables = _Layers(nn).init(jax.random.key(0), X)
  traced = _gradient(layers).trace(variables, X)
  found = traced.lower(lowering_platforms=('tpu',)).as_text()
  assert 'select_and_scatter' in found
  assert 'dot_general' not in found
  found = traced.lower(lowering_platforms=('cpu',)).as_text()
  assert 'select_and_scatter' not in found
  assert 'dot_general' in found


@pytest.mark.slow
def test_switched_off_all_forms_are_those_of_flax():
  variables = _Layers(nn).init(jax.random.key(0), X)
  plain = _gradient(nn)
  with layers.cpu.switched_off():
    inside = _gradient(layers)
    traced = inside.trace(variables, X)
  before, after = (_gradient(layers).trace(variables, X) for _ in range(2))
  assert CHOICE in str(after.jaxpr) and CHOICE in str(before.jaxpr)
  for word in CHOICE, 'custom_vjp', 'optimization_barrier':
    assert word not in str(traced.jaxpr)
  expected = plain.lower(variables, X)
  assert traced.lower().as_text() == expected.as_text()
  # What was traced inside stays as it is.
  found = inside(variables, X)
  for one, other in zip(
    jax.tree.leaves(found), jax.tree.leaves(_gradient(layers)(variables, X))
  ):
    scale = np.abs(other).max()
    np.testing.assert_allclose(one / scale, other / scale, atol=1e-5)


def test_for_one_clip_kernels_are_not_transformed():
  variables = _Layers(nn).init(jax.random.key(0), X)

  def apply(variables, x):
    return jax.vmap(lambda one: _Layers(layers).apply(variables, one[None]))(x)

  many = jax.jit(lambda *a: apply(*a)).trace(variables, X)
  with layers.cpu.for_one_clip():
    one = jax.jit(lambda *a: apply(*a)).trace(variables, X)
  # The transforms hold barriers; the other forms choose by the platform.
  assert 'optimization_barrier' in str(many.jaxpr)
  assert 'optimization_barrier' not in str(one.jaxpr)
  assert CHOICE in str(one.jaxpr)
  found, expected = (
    form.lower().compile()(variables, X) for form in (one, many)
  )
  np.testing.assert_allclose(
    found, expected, atol=1e-5 * float(jnp.abs(expected).max())
  )


def test_the_switch_is_set_back_after_an_error():
  try:
    with layers.cpu.switched_off():
      assert not layers.cpu.enabled()
      raise KeyError
  except KeyError:
    assert layers.cpu.enabled()


@pytest.mark.slow
def test_a_backbone_without_cpu_forms():
  images = draw('float32', 2, 32, 32, 3)
  model = ResNet18(widths=(8, 8, 64, 64))
  variables = model.init(jax.random.key(0), images, None, False)

  def apply():
    return jax.jit(lambda v, x: model.apply(v, x, None, False)).trace(
      variables, images
    )

  with layers.cpu.switched_off():
    plain = apply()
  assert CHOICE not in str(plain.jaxpr) and CHOICE in str(apply().jaxpr)
  found, expected = (
    form.lower().compile()(variables, images) for form in (plain, apply())
  )
  np.testing.assert_allclose(
    found, expected, atol=1e-5 * float(jnp.abs(expected).max())
  )
