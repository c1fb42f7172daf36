"""SLSTT: class tokens, the frozen encoder, colours, initial weights."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models import layers, registry
from dianet_jax.models.zoo import slstt
from tests.models.zoo import small

pytestmark = pytest.mark.usefixtures('plain_layers')


@pytest.mark.parametrize('aggregator', ['lstm', 'mean'])
def test_class_tokens_of_slstt_give_the_logits_of_their_images(aggregator):
  model, variables, inputs = small.initialised('slstt', aggregator=aggregator)
  variables['params'][
    {'lstm': 'classifier', 'mean': 'frame_classifier'}[aggregator]
  ]['kernel'] += 0.5
  tokens = small.jit(model.features)(variables, inputs)
  assert {name: x.shape for name, x in tokens.items()} == {
    'class_tokens': (2, 3, 12)
  }
  np.testing.assert_allclose(
    small.logits(model, variables, tokens),
    small.logits(model, variables, inputs),
    atol=1e-6,
  )
  # Of tokens, the encoder is no part of the network.
  [whole, rest] = (
    jax.eval_shape(model.init, jax.random.key(0), x)['params']
    for x in (inputs, tokens)
  )
  assert whole.keys() - rest.keys() == {'encoder'}


def test_a_class_token_is_of_its_image_alone():
  model, variables, inputs = small.initialised('slstt', clips=3)
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


@pytest.mark.parametrize('normalise', ['imagenet', 'half', 'none'])
def test_slstt_normalises_colours(normalise):
  model, variables, inputs = small.initialised('slstt', normalise=normalise)
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
    small.logits(model, variables, inputs),
    small.logits(plain, variables, expected),
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
