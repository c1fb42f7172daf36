"""Parameters and feature maps of backbones, and what padding may influence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models.backbones.compact import Compact
from dianet_jax.models.backbones.resnet import ResNet18
from tests.support.slow import slow

# With the shape of the feature map of 64x64 images. He et al. (2016) have
# 11,689,512 parameters with the classifier of 513,000.
BACKBONES = {
  ResNet18: (11_689_512 - 513_000, (2, 2, 512)),
  Compact: (19_056, (8, 8, 48)),
}
SMALL = {ResNet18: (4, 4, 8, 8), Compact: (4, 8)}


@pytest.mark.parametrize('backbone', BACKBONES)
def test_parameters_and_feature_map(backbone):
  images = jnp.zeros((1, 64, 64, 3))
  features, variables = jax.eval_shape(
    lambda: backbone().init_with_output(
      jax.random.key(0), images, None, train=False
    )
  )
  parameters, shape = BACKBONES[backbone]
  leaves = jax.tree.leaves(variables['params'])
  assert sum(leaf.size for leaf in leaves) == parameters
  assert features.shape == (1, *shape)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_widths(backbone):
  images = jnp.zeros((1, 64, 64, 3))
  features, _ = jax.eval_shape(
    lambda: backbone(widths=SMALL[backbone]).init_with_output(
      jax.random.key(0), images, None, train=False
    )
  )
  assert features.shape[-1] == 8


@pytest.mark.slow
@pytest.mark.parametrize('backbone', BACKBONES)
def test_padded_clips_change_nothing(backbone):
  model = backbone(widths=SMALL[backbone])
  rng = np.random.default_rng(0)
  images = jnp.asarray(rng.normal(size=(6, 32, 32, 3)), jnp.float32)
  variables = model.init(jax.random.key(0), images, None, train=False)
  padded = images.at[4:].set(1e3)

  @jax.jit
  def train(images, valid):
    return model.apply(variables, images, valid, True, mutable='batch_stats')

  features, stats = train(padded, jnp.arange(6) < 4)
  alone, alone_stats = train(images[:4], jnp.ones(4, bool))
  np.testing.assert_allclose(features[:4], alone, rtol=1e-4, atol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    stats,
    alone_stats,
  )


@pytest.mark.parametrize('backbone', [Compact, *slow(ResNet18)])
def test_a_prediction_depends_on_no_other_clip(backbone):
  model = backbone(widths=SMALL[backbone])
  images = jax.random.normal(jax.random.key(1), (3, 32, 32, 3))
  variables = model.init(jax.random.key(0), images, None, train=False)

  @jax.jit
  def predict(images):
    return model.apply(variables, images, None, train=False)

  np.testing.assert_allclose(
    predict(images)[:1], predict(images[:1]), rtol=1e-5, atol=1e-6
  )
