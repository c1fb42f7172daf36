"""The position stream and the head of CausalNet's blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models.zoo import fused
from tests.models.zoo import small

pytestmark = pytest.mark.usefixtures('plain_layers')


@pytest.mark.parametrize('stream', ['derived', 'centred'])
def test_the_position_stream_of_the_causal_blocks(stream):
  model, variables, inputs = small.initialised('causal', position_stream=stream)
  plain, without, _ = small.initialised('causal')
  assert 'position_backbone' not in without['params']
  gradient, _ = small.gradient(model, variables, inputs)
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
  one, other = (small.logits(model, v, inputs) for v in (variables, off))
  assert np.abs(one - other).max() > 1e-4


def test_a_position_stream_needs_two_channels():
  for channels, expected in ((1, False), (3, True)):
    spec = {'dynamic_images': jax.ShapeDtypeStruct((2, 12, 12, channels), 'f4')}
    settings = fused.CausalSettings(position_stream='derived')
    holds = {key: valid for key, valid, _ in fused.Causal.check(settings, spec)}
    assert holds['position_stream'] == expected


def test_the_head_of_the_causal_blocks_is_linear():
  model, variables, inputs = small.initialised(
    'causal', hidden_width=5, dropout=0.0
  )
  layer = variables['params']['fusion']['hidden']
  assert layer['kernel'].shape == (3 * 8, 5)
  assert variables['params']['classifier']['kernel'].shape == (5, 3)

  def logits(factor):
    params = variables['params'] | {
      'fusion': variables['params']['fusion']
      | {'hidden': jax.tree.map(lambda leaf: factor * leaf, layer)}
    }
    bias = params['classifier']['bias']
    return small.logits(model, variables | {'params': params}, inputs) - bias

  np.testing.assert_allclose(logits(-2.0), -2 * logits(1.0), atol=1e-5)
