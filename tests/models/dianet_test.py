"""Parameter counts, shapes, and what padding and phases may influence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models import dianet, fusions
from dianet_jax.models.dianet import BACKBONES, DIANet, feature_width

# (backbone, fusion, shared) -> parameters with five classes, mean pooling,
# phase images of 64 x 64 x 3. ResNet-18 without classifier has 11,176,512.
PARAMETERS = {
  ('resnet18', 'cross_attention', False): 24_459_397,
  ('resnet18', 'cross_attention', True): 13_282_885,
  ('resnet18', 'concat', False): 22_358_149,
  ('resnet18', 'add', False): 22_355_589,
  ('resnet18', 'gated', False): 23_405_701,
  ('compact', 'cross_attention', False): 60_293,
  ('compact', 'concat', False): 38_597,
  ('compact', 'each_phase', True): 19_301,
}


def initialise(model, size=64):
  images = jnp.zeros((2, 2, size, size, 3))
  return jax.eval_shape(model.init, jax.random.key(0), images)


def count(variables):
  return sum(leaf.size for leaf in jax.tree.leaves(variables['params']))


@pytest.mark.parametrize('row', PARAMETERS, ids=str)
def test_parameter_counts(row):
  backbone, fusion_name, shared = row
  model = DIANet(
    5, backbone=backbone, fusion=fusion_name, share_backbone=shared
  )
  assert count(initialise(model)) == PARAMETERS[row]


def test_no_model_or_fusion_is_without_a_row():
  assert {row[0] for row in PARAMETERS} == set(BACKBONES)
  assert {row[1] for row in PARAMETERS} == set(fusions.FUSIONS)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_feature_widths(backbone):
  images = jnp.zeros((1, 64, 64, 3))
  module = BACKBONES[backbone]()
  features, _ = jax.eval_shape(
    lambda: module.init_with_output(jax.random.key(0), images, None, False)
  )
  assert features.shape[-1] == feature_width(backbone)


@pytest.mark.parametrize('fusion_name', fusions.FUSIONS)
@pytest.mark.parametrize('pool', ['mean', 'flatten'])
def test_logits_and_which_phases_reach_them(fusion_name, pool):
  each = fusion_name == 'each_phase'
  model = DIANet(
    3, backbone='compact', fusion=fusion_name, pool=pool, share_backbone=each
  )
  images = jax.random.normal(jax.random.key(1), (4, 2, 16, 16, 3))
  variables = model.init(jax.random.key(0), images)
  logits = model.apply(variables, images)
  assert logits.shape == ((4, 2, 3) if each else (4, 3))
  assert logits.dtype == jnp.float32
  gradient = jax.grad(lambda x: (model.apply(variables, x) ** 2).sum())(images)
  reached = [bool(jnp.abs(gradient[:, p]).max() > 0) for p in range(2)]
  assert reached == [True, True]


@pytest.mark.parametrize('backbone', BACKBONES)
def test_padded_clips_change_nothing(backbone):
  model = DIANet(3, backbone=backbone)
  rng = np.random.default_rng(0)
  images = jnp.asarray(rng.normal(size=(6, 2, 32, 32, 3)), jnp.float32)
  variables = model.init(jax.random.key(0), images)
  padded = images.at[4:].set(1e3)
  valid = jnp.arange(6) < 4

  def train(batch, mask):
    return model.apply(variables, batch, mask, mutable=['batch_stats'])

  logits, stats = train(padded, valid)
  alone, alone_stats = train(images[:4], valid[:4])
  np.testing.assert_allclose(logits[:4], alone, rtol=1e-4, atol=1e-5)
  for one, other in zip(
    jax.tree.leaves(stats), jax.tree.leaves(alone_stats), strict=True
  ):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_bfloat16_keeps_parameters_and_logits_in_float32():
  model = DIANet(3, backbone='compact', dtype=jnp.bfloat16)
  images = jnp.ones((2, 2, 16, 16, 3))
  variables = model.init(jax.random.key(0), images)
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {
    jnp.dtype('float32')
  }
  assert model.apply(variables, images).dtype == jnp.float32


@pytest.mark.parametrize('backbone', ['compact', 'resnet18'])
def test_bfloat16_trains_in_a_compiled_program(backbone):
  # Forms for several platforms are compared when a program is traced.
  model = DIANet(3, backbone=backbone, dtype=jnp.bfloat16)
  images = jnp.ones((2, 2, 20, 20, 3))
  variables = jax.eval_shape(model.init, jax.random.key(0), images)

  def loss(params, statistics):
    logits, _ = model.apply(
      {'params': params, 'batch_stats': statistics},
      images,
      jnp.ones(2, bool),
      mutable=['batch_stats'],
    )
    return logits.sum()

  found = jax.eval_shape(
    jax.jit(jax.grad(loss)), variables['params'], variables['batch_stats']
  )
  assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {'float32'}


@pytest.mark.parametrize('phases', [1, 2, 3])
def test_each_phase_is_classified_by_itself(phases):
  model = DIANet(
    3, backbone='compact', fusion='each_phase', share_backbone=True
  )
  images = jax.random.normal(jax.random.key(1), (4, phases, 16, 16, 3))
  variables = model.init(jax.random.key(0), images)
  logits = model.apply(variables, images)
  assert logits.shape == (4, phases, 3)
  for phase in range(phases):
    alone = model.apply(variables, images[:, phase : phase + 1])
    np.testing.assert_allclose(logits[:, phase], alone[:, 0], atol=1e-5)


def test_each_phase_has_the_batch_statistics_of_all_phases():
  model = DIANet(
    3, backbone='compact', fusion='each_phase', share_backbone=True
  )
  images = jax.random.normal(jax.random.key(1), (4, 2, 16, 16, 3))
  variables = model.init(jax.random.key(0), images)
  stacked = jnp.concatenate([images[:, :1], images[:, 1:]])
  valid = jnp.array([True, True, True, False])
  _, one = model.apply(variables, images, valid, mutable=['batch_stats'])
  _, other = model.apply(
    variables, stacked, jnp.tile(valid, 2), mutable=['batch_stats']
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    one,
    other,
  )


def test_a_hidden_phase_is_never_both():
  ones = [jnp.ones((1000, 2, 3))] * 2
  tokens = dianet._hide_a_phase(jax.random.key(0), ones, 0.3)
  gone = np.stack([(t == 0).all(axis=(1, 2)) for t in tokens])
  kept = np.stack([(t == 1).all(axis=(1, 2)) for t in tokens])
  assert (gone ^ kept).all()
  assert gone.sum(axis=0).max() == 1
  assert gone.sum(axis=1) == pytest.approx(150, abs=45)


def test_phase_dropout_hides_nothing_when_predicting():
  images = jax.random.normal(jax.random.key(1), (4, 2, 16, 16, 3))
  plain = DIANet(3, backbone='compact')
  hiding = DIANet(3, backbone='compact', phase_dropout=0.9)
  variables = plain.init(jax.random.key(0), images)
  np.testing.assert_array_equal(
    plain.apply(variables, images), hiding.apply(variables, images)
  )

  def train(model):
    return model.apply(
      variables,
      images,
      jnp.ones(4, bool),
      mutable=['batch_stats'],
      rngs={'dropout': jax.random.key(2)},
    )[0]

  assert jnp.abs(train(plain) - train(hiding)).max() > 1e-4


@pytest.mark.parametrize(
  'backbone,widths', [('compact', (4, 8)), ('resnet18', (4, 4, 8, 8))]
)
def test_widths(backbone, widths):
  model = DIANet(3, backbone=backbone, widths=widths, heads=2)
  variables = initialise(model, 32)
  assert variables['params']['classifier']['kernel'].shape == (16, 3)
  assert feature_width(backbone, widths) == 8
