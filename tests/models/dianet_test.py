"""DIANet: parameter counts, shapes, and what may influence the logits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models import fusions
from dianet_jax.models import views as views_lib
from dianet_jax.models.dianet import BACKBONES, DIANet
from dianet_jax.models.registry import MODELS
from tests.support.slow import slow

# (backbone, fusion, shared, views) -> parameters with five classes, mean
# pooling, images of 64 x 64 x 3. ResNet-18 without classifier has 11,176,512.
PARAMETERS = {
  ('resnet18', 'cross_attention', False, 2): 24_459_397,
  ('resnet18', 'cross_attention', True, 2): 13_282_885,
  ('resnet18', 'concat', False, 2): 22_358_149,
  ('resnet18', 'concat', False, 1): 11_179_077,
  ('resnet18', 'add', False, 2): 22_355_589,
  ('resnet18', 'gated', False, 2): 23_405_701,
  ('resnet18', 'adaptive', False, 2): 23_143_045,
  ('compact', 'cross_attention', False, 2): 60_293,
  ('compact', 'concat', False, 2): 38_597,
  ('compact', 'each_phase', True, 2): 19_301,
  ('compact', 'biovilt', False, 2): 81_317,
  ('compact', 'gban', False, 2): 88_005,
  ('compact', 'causal', False, 2): 142_181,
  ('compact', 'adaptive', False, 2): 45_365,
}


def network(classes=3, dtype=None, **settings):
  settings = {'backbone': 'compact', 'dropout': 0.0} | settings
  return DIANet(classes, DIANet.Settings(**settings), dtype)


def read(images):
  return {'dynamic_images': images}


def noise(*shape):
  return jax.random.normal(jax.random.key(1), shape)


def initialise(model, size=64, views=2):
  images = jnp.zeros((2, views, size, size, 3))
  return jax.eval_shape(model.init, jax.random.key(0), read(images))


@functools.partial(jax.jit, static_argnums=0)
def init(model, images):
  return model.init(jax.random.key(0), read(images))


@functools.partial(jax.jit, static_argnums=0)
def train(model, variables, images, valid):
  """Logits and new statistics of a step of training."""
  outputs, statistics = model.apply(
    variables,
    read(images),
    valid,
    True,
    mutable=['batch_stats'],
    rngs={'dropout': jax.random.key(2)},
  )
  return outputs.logits, statistics


@functools.partial(jax.jit, static_argnums=0)
def predict(model, variables, images):
  return model.apply(variables, read(images)).logits


def assert_close(one, other, rtol=1e-4, atol=1e-5):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol),
    one,
    other,
  )


@pytest.mark.parametrize('row', PARAMETERS, ids=str)
def test_parameter_counts(row):
  backbone, fusion, shared, views = row
  model = network(5, backbone=backbone, fusion=fusion, share_backbone=shared)
  params = initialise(model, views=views)['params']
  assert sum(p.size for p in jax.tree.leaves(params)) == PARAMETERS[row]


def test_every_backbone_and_fusion_is_tested():
  assert {row[0] for row in PARAMETERS} == set(BACKBONES)
  assert {row[1] for row in PARAMETERS} == set(fusions.FUSIONS)
  assert MODELS['dianet'] is DIANet


@pytest.mark.parametrize('backbone', BACKBONES)
def test_a_backbone_alone(backbone):
  # He et al. (2016): 11,689,512 with the classifier of 513,000.
  model = network(5, backbone=backbone, fusion='concat')
  params = initialise(model, views=1)['params']['backbone_0']
  expected = {'resnet18': 11_689_512 - 513_000, 'compact': 19_056}
  assert sum(p.size for p in jax.tree.leaves(params)) == expected[backbone]


@pytest.mark.parametrize(
  'backbone,widths', [('compact', (4, 8)), ('resnet18', (4, 4, 8, 8))]
)
def test_widths(backbone, widths):
  model = network(backbone=backbone, widths=widths, heads=2)
  params = initialise(model, 32)['params']
  assert params['classifier']['kernel'].shape == (16, 3)
  assert model.settings.feature_width == 8


@pytest.mark.slow
@pytest.mark.parametrize('fusion', fusions.FUSIONS)
@pytest.mark.parametrize('pool', ['mean', 'flatten'])
def test_every_view_reaches_the_logits(fusion, pool):
  each = fusion == 'each_phase'
  model = network(fusion=fusion, pool=pool, share_backbone=each)
  images = noise(4, 2, 16, 16, 3)
  variables = init(model, images)
  logits = predict(model, variables, images)
  assert logits.shape == (4, 1, 3)
  assert logits.dtype == jnp.float32
  gradient = jax.grad(lambda x: (predict(model, variables, x) ** 2).sum())
  reached = jnp.abs(gradient(images)).max(axis=(0, 2, 3, 4))
  assert (reached > 0).all()


@pytest.mark.parametrize(
  'settings',
  [
    {}, {'fusion': 'adaptive'},
    {'fusion': 'each_phase', 'share_backbone': True},
    *slow({'backbone': 'resnet18'}),
  ],
  ids=str,
)  # fmt: skip
def test_padded_clips_change_nothing(settings):
  model = network(**settings)
  images = noise(6, 2, 32, 32, 3)
  variables = init(model, images)
  valid = jnp.arange(6) < 4
  logits, statistics = train(model, variables, images.at[4:].set(1e3), valid)
  alone, alone_statistics = train(model, variables, images[:4], valid[:4])
  assert_close(logits[:4], alone)
  assert_close(statistics, alone_statistics)
  # Without a mask all of them count.
  everything, _ = train(model, variables, images, None)
  assert_close(everything, train(model, variables, images, valid | True)[0])


@pytest.mark.slow
def test_bfloat16_keeps_parameters_and_logits_in_float32():
  model = network(dtype=jnp.bfloat16)
  images = jnp.ones((2, 2, 16, 16, 3))
  variables = init(model, images)
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {
    jnp.dtype('float32')
  }
  assert predict(model, variables, images).dtype == jnp.float32


@pytest.mark.slow
@pytest.mark.parametrize('backbone', BACKBONES)
def test_bfloat16_trains_in_a_compiled_program(backbone):
  # Forms for several platforms are compared when a program is traced.
  model = network(backbone=backbone, dtype=jnp.bfloat16)
  images = jnp.ones((2, 2, 20, 20, 3))
  variables = jax.eval_shape(model.init, jax.random.key(0), read(images))

  def loss(params, statistics):
    variables = {'params': params, 'batch_stats': statistics}
    return train(model, variables, images, jnp.ones(2, bool))[0].sum()

  found = jax.eval_shape(
    jax.jit(jax.grad(loss)), variables['params'], variables['batch_stats']
  )
  assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {'float32'}


EACH = {'fusion': 'each_phase', 'share_backbone': True}
THREE = ('onset_apex', 'onset_offset', 'apex_offset')


def each_alone(images, **settings):
  """The network's variables, and the logits of every view by itself."""
  model = network(**EACH, **settings)
  variables = init(model, images)
  alone = [
    predict(model, variables, images[:, view : view + 1])
    for view in range(images.shape[1])
  ]
  return variables, jnp.concatenate(alone, axis=1)


@pytest.mark.parametrize('views', [1, 2, 3])
def test_each_view_is_classified_by_itself(views):
  images = noise(4, views, 16, 16, 3)
  variables, alone = each_alone(images)
  logits = predict(network(**EACH), variables, images)
  np.testing.assert_allclose(logits[:, 0], alone.mean(axis=1), atol=1e-5)
  # In training, too, where each has a loss of its own.
  outputs, _ = network(**EACH).apply(
    variables,
    read(images),
    None,
    True,
    mutable=['batch_stats'],
    rngs={'dropout': jax.random.key(2)},
  )
  assert outputs.logits.shape == (4, views, 3) and outputs.present.all()


@pytest.mark.parametrize('predicts', ['', 'whole', 'mean'])
@pytest.mark.parametrize('known', [THREE, THREE[:1] + THREE[2:]])
def test_the_image_of_the_whole_clip_predicts_if_there_is_one(predicts, known):
  images = noise(5, len(known), 16, 16, 3)
  # A clip without its second phase, one without a whole, one without motion.
  images = images.at[1, -1].set(0).at[2, :-1].set(0).at[3].set(0)
  model = DIANet(3, network(**EACH, predicts=predicts).settings, phases=known)
  if predicts == 'whole' and THREE[1] not in known:
    assert [key for key, *_ in broken(model.settings, known)] == ['predicts']
    return
  assert not broken(model.settings, known)
  variables, alone = each_alone(images)
  last = alone[2, -1]
  expected = alone.mean(axis=1).at[1].set(alone[1, :-1].mean(axis=0))
  if predicts != 'mean' and len(known) == 3:
    expected = alone[:, 1]
  found = predict(model, variables, images)[:, 0]
  np.testing.assert_allclose(found, expected.at[2].set(last), atol=1e-5)
  assert jnp.abs(alone[0, 0] - alone[0, 1]).max() > 1e-3


def broken(settings, phases):
  return [row for row in DIANet.check_phases(settings, phases) if not row[1]]


def test_each_view_has_the_batch_statistics_of_all_views():
  model = network(**EACH)
  images = noise(4, 2, 16, 16, 3)
  variables = init(model, images)
  stacked = jnp.concatenate([images[:, :1], images[:, 1:]])
  valid = jnp.array([True, True, True, False])
  _, one = train(model, variables, images, valid)
  _, other = train(model, variables, stacked, jnp.tile(valid, 2))
  assert_close(one, other)


@pytest.mark.parametrize('sampling', ['all', 'random_one'])
def test_a_missing_phase_trains_nothing(sampling):
  model = network(**EACH, phase_sampling=sampling)
  images = noise(4, 2, 16, 16, 3).at[:2, 0].set(0).at[3, 1].set(0)
  variables = init(model, images)
  outputs, statistics = model.apply(
    variables, read(images), None, True, mutable=['batch_stats'],
    rngs={'dropout': jax.random.key(2)},
  )  # fmt: skip
  # Those of the images that there are: one of every clip, both of the third.
  there = [(0, 1), (1, 1), (2, 0), (2, 1), (3, 0)]
  expected = [[False, True], [False, True], [True, True], [True, False]]
  if sampling == 'random_one':
    assert outputs.logits.shape == (4, 1, 3) and outputs.present.all()
    assert not outputs.auxiliary
    expected = [[True]] * 4
    chosen = [_drawn_by(model, variables, images, clip) for clip in range(4)]
    assert chosen[:2] == [1, 1] and chosen[3] == 0
    there = list(enumerate(chosen))
  np.testing.assert_array_equal(outputs.present, expected)
  alone = jnp.stack([images[clip, view] for clip, view in there])[:, None]
  _, other = train(network(**EACH), variables, alone, None)
  assert_close(statistics, other)


def _drawn_by(model, variables, images, clip):
  """The only view of a clip that the logits of this step depend on."""

  def logits(images):
    return train(model, variables, images, None)[0][clip].sum()

  reached = jnp.abs(jax.grad(logits)(images))[clip].max(axis=(1, 2, 3)) > 0
  [view] = np.flatnonzero(reached) if reached.sum() == 1 else [-1]
  return int(view)


def test_one_of_the_views_is_drawn_with_equal_odds():
  present = jnp.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]], bool)

  def drawn(seed):
    key, views = jax.random.key(seed), jnp.tile(present, (900, 1))
    return np.asarray(views_lib.drawn(key, views))

  odds = [[1 / 3] * 3, [0, 1 / 2, 1 / 2], [0, 0, 1], [1, 0, 0]]
  for row, expected in enumerate(odds):
    found = np.bincount(drawn(0)[row::4], minlength=3) / 900
    assert found == pytest.approx(expected, abs=0.06)
  np.testing.assert_array_equal(drawn(0), drawn(0))
  assert (drawn(1) != drawn(0)).any()


def test_phase_dropout_never_hides_both_views():
  hidden = np.asarray(views_lib.hidden(jax.random.key(0), 1000, 2, 0.3))
  assert hidden.shape == (1000, 2)
  assert hidden.sum(axis=1).max() == 1
  assert hidden.sum(axis=0) == pytest.approx(150, abs=45)


def test_the_setting_chooses_the_gate():
  params = initialise(network(fusion='adaptive', gate='image'))['params']
  assert params['fusion']['weights'].shape == (2,)


@pytest.mark.slow
def test_an_image_without_motion_is_a_missing_phase():
  model = network(fusion='biovilt')
  images = noise(4, 2, 16, 16, 3).at[:, 1].set(0)
  variables = init(model, images)

  def loss(params, images):
    return predict(model, variables | {'params': params}, images).sum()

  gradient = jax.jit(jax.grad(loss))
  for missing, reached in ((images, False), (images.at[:, 1].add(1), True)):
    own = gradient(variables['params'], missing)['backbone_1']
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(own)) == reached


def test_phase_dropout_hides_nothing_when_predicting():
  images = noise(4, 2, 16, 16, 3)
  plain, hiding = network(), network(phase_dropout=0.9)
  variables = init(plain, images)
  np.testing.assert_array_equal(
    predict(plain, variables, images), predict(hiding, variables, images)
  )
  one, other = (
    train(model, variables, images, jnp.ones(4, bool))[0]
    for model in (plain, hiding)
  )
  assert jnp.abs(one - other).max() > 1e-4


@pytest.mark.parametrize('settings,views,key', [
  ({'heads': 5}, 2, 'heads'), ({'fusion': 'gated'}, 1, 'fusion'),
  ({'fusion': 'cross_attention'}, 3, 'fusion'),
  ({'fusion': 'each_phase'}, 2, 'share_backbone'),
  ({'fusion': 'adaptive'}, 4, 'fusion'), ({'gate': 'image'}, 2, 'gate'),
  ({'phase_sampling': 'random_one'}, 2, 'phase_sampling'),
  ({'predicts': 'mean'}, 2, 'predicts'),
])  # fmt: skip
def test_settings_that_do_not_fit_are_named(settings, views, key):
  found = DIANet.check(
    DIANet.Settings(backbone='compact', **settings),
    {'dynamic_images': jax.ShapeDtypeStruct((views, 16, 16, 3), 'float32')},
  )
  assert [name for name, holds, _ in found if not holds] == [key]
