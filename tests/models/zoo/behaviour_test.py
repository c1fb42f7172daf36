"""The characteristic parts of each system, on small networks."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models import layers, registry
from dianet_jax.models.registry import MODELS
from dianet_jax.models.zoo import (
  atm_gcn,
  flow_images,
  fused,
  magnifier,
  retention,
  skd_tstsan,
  slstt,
  tcm,
)
from tests.models.zoo import small


@pytest.fixture(autouse=True)
def plain_layers():
  """Programs compile in a fraction of the time."""
  with layers.cpu.switched_off():
    yield


def _initialised(name, clips=2, **settings):
  model, _ = small.make(name, **settings)
  inputs, _ = small.planted(name, clips)
  return model, small.variables_of(model, inputs), inputs


def _apply(model, variables, inputs):
  return small.jit(model.apply)(variables, inputs)


def _logits(model, variables, inputs):
  return np.asarray(_apply(model, variables, inputs).logits)


def _gradient(model, variables, inputs):
  """Of the squared logits, by parameters and inputs."""

  def loss(params, inputs):
    logits = model.apply(variables | {'params': params}, inputs).logits
    return (logits**2).sum()

  return small.jit(jax.grad(loss, (0, 1)))(variables['params'], inputs)


@pytest.mark.parametrize('repeats,acts', [((1, 1, 1), False), ((1, 1), True)])
def test_attention_of_htnet_acts_on_blocks_of_several_tokens(repeats, acts):
  model, variables, inputs = _initialised('htnet', repeats=repeats)

  def scaled(path, leaf):
    return leaf * -3 if 'query' in jax.tree_util.keystr(path) else leaf

  changed = jax.tree_util.tree_map_with_path(scaled, variables)
  one, other = (_logits(model, v, inputs) for v in (variables, changed))
  assert (np.abs(one - other).max() > 1e-5) == acts


def test_the_mosaic_is_that_of_the_fixed_landmarks():
  row, column = np.mgrid[:28, :28]
  image = jnp.asarray(np.stack([row, column], axis=-1), jnp.float32)
  mosaic = np.asarray(flow_images.mosaic(image))
  corners = {
    (0, 0): (2, 4), (13, 13): (15, 17), (0, 14): (14, 3), (13, 27): (27, 16),
    (14, 0): (3, 14), (27, 13): (16, 27), (14, 14): (13, 14),
    (27, 27): (26, 27),
  }  # fmt: skip
  for place, source in corners.items():
    assert tuple(mosaic[place]) == source
  # Twice as large, the same regions.
  large = flow_images.mosaic(jnp.repeat(jnp.repeat(image, 2, 0), 2, 1))
  np.testing.assert_array_equal(large[::2, ::2], mosaic)


def test_order_and_range_of_flow_images():
  images = jnp.linspace(-1, 1, 2 * 28 * 28 * 3).reshape(1, 2, 28, 28, 3)
  published = flow_images.Settings()
  found = flow_images.read({'phase_flow': images}, published)
  np.testing.assert_allclose(found, (images[..., ::-1] + 1) * 127.5, rtol=1e-5)
  plain = flow_images.Settings(channel_order='rgb', input_scale=1)
  np.testing.assert_array_equal(
    flow_images.read({'phase_flow': images}, plain), images
  )


def test_position_images():
  flow = np.random.default_rng(0).normal(size=(2, 2, 28, 28, 3))
  found = np.asarray(flow_images.position_images(jnp.asarray(flow)))
  levels = np.unique(found[..., :2].round(5))
  assert len(levels) == 31 and levels[0] == -1 and levels[-1] == 1
  assert (found[..., 2] == -1).all()
  still = flow_images.position_images(jnp.zeros((1, 1, 4, 4, 3)))
  assert (still[..., :2] == 0).all()


def test_centred_position_images_have_the_median_as_zero():
  flow = np.random.default_rng(0).normal(size=(1, 2, 28, 28, 3))
  moved = jnp.asarray(flow - np.median(flow, axis=(2, 3), keepdims=True) + 5)
  plain, centred = (
    np.asarray(flow_images.positions_of(moved, kind))[..., :2]
    for kind in flow_images.POSITIONS
  )
  assert (plain > 0).all() and (np.median(centred, axis=(2, 3)) == 0).all()
  np.testing.assert_allclose(
    centred,
    np.asarray(flow_images.position_images(moved - 5))[..., :2],
    atol=1 / 15,
  )


@pytest.mark.parametrize('stream', ['derived', 'centred'])
def test_the_position_stream_of_the_causal_blocks(stream):
  model, variables, inputs = _initialised('causal', position_stream=stream)
  plain, without, _ = _initialised('causal')
  assert 'position_backbone' not in without['params']
  gradient, _ = _gradient(model, variables, inputs)
  for name in ('position_backbone', 'backbone_0', 'backbone_1'):
    assert max(jnp.abs(g).max() for g in jax.tree.leaves(gradient[name])) > 0
  shapes = jax.tree.map(np.shape, gradient)
  del shapes['position_backbone']
  assert shapes == jax.tree.map(np.shape, dict(without['params']))
  # Each phase has its own positions: the streams alone decide what is attended.
  kernels = variables['params']['position_backbone']
  off = variables | {
    'params': variables['params']
    | {'position_backbone': jax.tree.map(jnp.zeros_like, kernels)}
  }
  one, other = (_logits(model, v, inputs) for v in (variables, off))
  assert np.abs(one - other).max() > 1e-4


def test_a_position_stream_needs_two_channels():
  for channels, expected in ((1, False), (3, True)):
    spec = {'dynamic_images': jax.ShapeDtypeStruct((2, 12, 12, channels), 'f4')}
    settings = fused.CausalSettings(position_stream='derived')
    holds = {key: valid for key, valid, _ in fused.Causal.check(settings, spec)}
    assert holds['position_stream'] == expected


def test_the_head_of_the_causal_blocks_is_linear():
  model, variables, inputs = _initialised('causal', hidden_width=5, dropout=0.0)
  layer = variables['params']['fusion']['hidden']
  assert layer['kernel'].shape == (3 * 8, 5)
  assert variables['params']['classifier']['kernel'].shape == (5, 3)

  def logits(factor):
    params = variables['params'] | {
      'fusion': variables['params']['fusion']
      | {'hidden': jax.tree.map(lambda leaf: factor * leaf, layer)}
    }
    bias = params['classifier']['bias']
    return _logits(model, variables | {'params': params}, inputs) - bias

  np.testing.assert_allclose(logits(-2.0), -2 * logits(1.0), atol=1e-5)


@pytest.mark.parametrize(
  'phases,reached', [('first', 1), ('channels', 2), ('networks', 2)]
)
def test_phases_that_ststnet_sees(phases, reached):
  model, variables, inputs = _initialised('ststnet', phases=phases)
  _, found = _gradient(model, variables, inputs)
  [found] = found.values()
  seen = (jnp.abs(found).max(axis=(0, 2, 3, 4)) > 0).sum()
  assert seen == reached


@pytest.mark.slow
def test_an_empty_phase_of_fmanet_is_finite():
  model, variables, inputs = _initialised('fmanet')
  empty = {k: jnp.asarray(v).at[0, 1].set(0) for k, v in inputs.items()}
  gradient, _ = _gradient(model, variables, empty)
  assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(gradient))


def test_fmanet_ignores_scale_and_zero_of_images():
  model, variables, inputs = _initialised('fmanet')
  moved = {k: 3 * v + 0.5 for k, v in inputs.items()}
  np.testing.assert_allclose(
    _logits(model, variables, inputs),
    _logits(model, variables, moved),
    atol=1e-4,
  )


def test_channel_attention_has_the_size_of_its_channels():
  for channels, size in ((64, 3), (128, 5)):
    x = jnp.ones((1, 1, 4, 4, channels))
    variables = skd_tstsan.ChannelAttention().init(jax.random.key(0), x)
    assert variables['params']['convolution']['kernel'].shape == (size, 1, 1)


@pytest.mark.slow
def test_amplification_magnifies():
  x = jax.random.normal(jax.random.key(0), (2, 2, 1, 12, 12, 3))
  module = magnifier.Magnifier(0.25)
  variables = small.jit(module.init)(jax.random.key(1), *x)
  strong = magnifier.Magnifier(0.25, amplification=9.0)
  # Without motion the amplifier has nothing to work on.
  for pair, differs in (((x[1], x[1]), False), ((x[0], x[1]), True)):
    one, other = (
      small.jit(m.apply)(variables, *pair) for m in (module, strong)
    )
    assert (jnp.abs(one - other).max() > 1e-4) == differs


@pytest.mark.parametrize('aggregator', ['lstm', 'mean'])
def test_class_tokens_of_slstt_give_the_logits_of_their_images(aggregator):
  model, variables, inputs = _initialised('slstt', aggregator=aggregator)
  variables['params'][
    {'lstm': 'classifier', 'mean': 'frame_classifier'}[aggregator]
  ]['kernel'] += 0.5
  tokens = small.jit(model.features)(variables, inputs)
  assert {name: x.shape for name, x in tokens.items()} == {
    'class_tokens': (2, 3, 12)
  }
  np.testing.assert_allclose(
    _logits(model, variables, tokens),
    _logits(model, variables, inputs),
    atol=1e-6,
  )
  # Of tokens, the encoder is no part of the network.
  [whole, rest] = (
    jax.eval_shape(model.init, jax.random.key(0), x)['params']
    for x in (inputs, tokens)
  )
  assert whole.keys() - rest.keys() == {'encoder'}


def test_a_class_token_is_of_its_image_alone():
  model, variables, inputs = _initialised('slstt', clips=3)
  features = small.jit(model.features)
  [before] = features(variables, inputs).values()
  [(name, images)] = inputs.items()
  changed = {name: jnp.asarray(images).at[1, 2].add(0.3)}
  [after] = features(variables, changed).values()
  moved = np.abs(after - before).max(axis=-1) > 0
  assert moved.tolist() == [[False] * 3, [False, False, True], [False] * 3]


@pytest.mark.parametrize(
  'encoder,pretrained,expected',
  [
    ('auto', '', ''),
    ('auto', 'vit.pth', 'encoder'),
    ('frozen', 'vit.pth', 'encoder'),
    ('finetune', 'vit.pth', ''),
  ],
)
def test_the_encoder_of_slstt_is_frozen_if_it_is_pretrained(
  encoder, pretrained, expected
):
  settings = slstt.SLSTTSettings(encoder=encoder, pretrained=pretrained)
  assert registry.frozen_part(settings) == expected


def test_the_lstm_remembers_the_order():
  x = jax.random.normal(jax.random.key(0), (1, 4, 3))
  module = slstt.LSTM(5)
  variables = module.init(jax.random.key(1), x)
  one, other = (module.apply(variables, y)[:, -1] for y in (x, x[:, ::-1]))
  assert jnp.abs(one - other).max() > 1e-3


def test_retention_fades_with_the_distance():
  x = jnp.zeros((1, 1, 6, 4)).at[0, 0, 0].set(1.0)
  module = retention.Retention(1, whole=True, spread=4)
  variables = module.init(jax.random.key(0), x)
  params = variables['params']
  params['query']['kernel'] *= 0
  params['local']['kernel'] *= 0
  params['value']['kernel'] = params['out']['kernel'] = jnp.eye(4)
  found = np.asarray(module.apply({'params': params}, x))[0, 0, :, 0]
  assert (np.diff(found) < 0).all()


@pytest.mark.slow
def test_only_the_first_phase_of_gamdss_predicts():
  model, variables, inputs = _initialised('gamdss')
  outputs = _apply(model, variables, inputs)
  assert outputs.logits.shape == (2, 1, 3)
  assert outputs.auxiliary['logits'].shape == (2, 1, 3)
  both, *_ = _initialised('gamdss', predicts='both')
  found = _apply(both, variables, inputs)
  assert found.auxiliary['logits'].shape == (2, 0, 3)
  heads = jnp.concatenate([outputs.logits, outputs.auxiliary['logits']], axis=1)
  np.testing.assert_allclose(
    found.logits, heads.mean(axis=1, keepdims=True), atol=1e-5
  )
  trained, _ = both.apply(
    variables, inputs, None, True, mutable=['batch_stats']
  )
  assert trained.logits.shape == (2, 2, 3)


@pytest.mark.slow
def test_both_phases_of_tsfmicro():
  # It has the parameters and the frames of GAMDSS.
  _, variables, inputs = _initialised('gamdss')
  [frames] = inputs.values()
  settings = small.make('tsfmicro')[0].settings
  two, one = (
    MODELS['tsfmicro'](3, dataclasses.replace(settings, two_phases=choice))
    for choice in (True, False)
  )

  def logits(model, images):
    return _logits(model, variables, {'images': images})

  # Apex minus onset with the onset's face, apex minus offset with the offset's.
  onset, apex, offset = (frames[:, view] for view in range(3))
  alone = [
    logits(one, jnp.stack([apex - face, face], axis=1))
    for face in (onset, offset)
  ]
  np.testing.assert_allclose(
    logits(two, frames), np.mean(alone, axis=0), atol=1e-5
  )
  assert np.abs(alone[0] - alone[1]).max() > 1e-4


def test_the_adjacency_of_the_graph():
  table = atm_gcn.adjacency(3, True)
  np.testing.assert_allclose(table.sum(axis=1), 1)
  assert table[0] == pytest.approx([0.25] * 4)
  near = np.array([1, 1, np.exp(-0.5), np.exp(-1)])
  assert table[1] == pytest.approx(near / near.sum())
  assert atm_gcn.adjacency(3, False).shape == (3, 3)


@pytest.mark.parametrize('graph', ['adaptive', 'fixed', 'attention'])
@pytest.mark.parametrize(
  'options',
  [{}, {'readout': 'mean'}, {'readout': 'mean', 'global_node': False}],
)
def test_ablations_of_the_graph(graph, options):
  model, specs = small.make('atm_gcn', graph=graph, **options)
  inputs = {
    k: jax.ShapeDtypeStruct((2, *s.shape), s.dtype) for k, s in specs.items()
  }
  variables = jax.eval_shape(model.init, jax.random.key(0), inputs)
  params = variables['params']['graph']
  assert ('keep' in params['layer_0']) == (graph == 'adaptive')
  assert ('query' in params['layer_0']) == (graph != 'fixed')
  assert ('global' in params) == options.get('global_node', True)


def test_correlation_is_that_of_its_definition():
  one, other = jax.random.normal(jax.random.key(0), (2, 1, 1, 4, 5, 3))
  found = np.asarray(tcm.correlation(one, other, 3))
  padded = np.pad(np.asarray(other)[0, 0], ((1, 1), (1, 1), (0, 0)))
  for y in range(4):
    for x in range(5):
      around = padded[y : y + 3, x : x + 3].reshape(9, 3)
      np.testing.assert_allclose(
        found[0, 0, y * 5 + x], around @ one[0, 0, y, x], rtol=1e-4, atol=1e-5
      )


def test_tcm_measures_a_known_displacement():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1, 1, 9, 9, 32)).astype(np.float32)
  x /= np.linalg.norm(x, axis=-1, keepdims=True)
  # One place down, two to the right.
  moved = np.roll(x, (1, 2), axis=(2, 3))
  u, v, sure = np.moveaxis(np.asarray(tcm.motion(x, moved, 7)), -1, 0)
  inner = np.s_[0, 0, 2:7, 2:6]
  np.testing.assert_allclose(u[inner], 2 / 3, atol=0.02)
  np.testing.assert_allclose(v[inner], 1 / 3, atol=0.02)
  np.testing.assert_allclose(sure[inner], 1, atol=1e-5)


@pytest.mark.slow
def test_spans_of_frames_are_processed_independently():
  model, variables, inputs = _initialised('slow_fast_tcm', spans=2)
  [images] = inputs.values()
  swapped = {
    k: np.concatenate([v[:, 2:], v[:, :2]], axis=1) for k, v in inputs.items()
  }
  np.testing.assert_allclose(
    _logits(model, variables, inputs),
    _logits(model, variables, swapped),
    atol=1e-4,
  )
  whole, variables, _ = _initialised('slow_fast_tcm')
  one, other = (_logits(whole, variables, x) for x in (inputs, swapped))
  assert np.abs(one - other).max() > 1e-4


@pytest.mark.parametrize('normalise', ['imagenet', 'half', 'none'])
def test_slstt_normalises_colours(normalise):
  model, variables, inputs = _initialised('slstt', normalise=normalise)
  plain, _ = small.make('slstt', normalise='none')
  mean, deviation = {
    'imagenet': ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    'half': (0.5, 0.5),
    'none': (0, 1),
  }[normalise]
  expected = {
    name: (images - np.asarray(mean, np.float32)) / np.float32(deviation)
    for name, images in inputs.items()
  }
  np.testing.assert_allclose(
    _logits(model, variables, inputs),
    _logits(plain, variables, expected),
    atol=1e-5,
  )


def test_blocks_of_slstt_start_as_in_its_code():
  model, inputs = small.make('slstt', width=64, mlp_width=128)
  inputs = {name: jnp.zeros((1, *x.shape)) for name, x in inputs.items()}
  params = small.jit(model.init)(jax.random.key(0), inputs)['params']
  block = params['encoder']['block_0']
  for layer in (*block['mlp'].values(), *block['attention'].values()):
    # Xavier: uniform within sqrt(6 / (inputs + outputs)).
    limit = np.sqrt(6 / sum(layer['kernel'].shape))
    assert 0.98 * limit < np.abs(layer['kernel']).max() <= limit
    assert 2e-7 < np.std(layer['bias']) < 4e-6


def test_dropout_of_slstt_is_not_within_the_mlp():
  """Half of what the MLP returns is dropped, and nothing before that."""
  x = jax.random.normal(jax.random.key(0), (1, 3, 8))
  mlp = layers.Mlp(16, dropout=0.5, hidden_dropout=0.0)
  variables = mlp.init(jax.random.key(1), x)
  whole = mlp.apply(variables, x)
  dropped = mlp.apply(variables, x, True, rngs={'dropout': jax.random.key(2)})
  kept = dropped != 0
  assert 0 < kept.sum() < kept.size
  np.testing.assert_allclose(dropped[kept], 2 * whole[kept], rtol=1e-5)
  model, _ = small.make('slstt', dropout=0.5)
  images = jax.random.uniform(jax.random.key(3), (1, 3, 16, 16, 3))
  _, state = model.init_with_output(
    {'params': jax.random.key(0), 'dropout': jax.random.key(1)},
    {'long_term_flow': images},
    train=True,
    capture_intermediates=lambda module, _: isinstance(module, nn.Dropout),
    mutable=True,
  )
  mlp = state['intermediates']['encoder']['block_0']['mlp']
  zeros = [(y == 0).mean() for layer in mlp.values() for [y] in layer.values()]
  assert min(zeros) == 0 and max(zeros) > 0.2
