"""The characteristic parts of the other systems, on small networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models.zoo import atm_gcn, magnifier, skd_tstsan
from tests.models.zoo import small

pytestmark = pytest.mark.usefixtures('plain_layers')


@pytest.mark.parametrize('repeats,acts', [((1, 1, 1), False), ((1, 1), True)])
def test_attention_of_htnet_acts_on_blocks_of_several_tokens(repeats, acts):
  model, variables, inputs = small.initialised('htnet', repeats=repeats)

  def scaled(path, leaf):
    return leaf * -3 if 'query' in jax.tree_util.keystr(path) else leaf

  changed = jax.tree_util.tree_map_with_path(scaled, variables)
  one, other = (small.logits(model, v, inputs) for v in (variables, changed))
  assert (np.abs(one - other).max() > 1e-5) == acts


@pytest.mark.parametrize(
  'phases,reached', [('first', 1), ('channels', 2), ('networks', 2)]
)
def test_phases_that_ststnet_sees(phases, reached):
  model, variables, inputs = small.initialised('ststnet', phases=phases)
  _, found = small.gradient(model, variables, inputs)
  [found] = found.values()
  seen = (jnp.abs(found).max(axis=(0, 2, 3, 4)) > 0).sum()
  assert seen == reached


@pytest.mark.slow
def test_an_empty_phase_of_fmanet_is_finite():
  model, variables, inputs = small.initialised('fmanet')
  empty = {k: jnp.asarray(v).at[0, 1].set(0) for k, v in inputs.items()}
  gradient, _ = small.gradient(model, variables, empty)
  assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(gradient))


def test_fmanet_ignores_scale_and_zero_of_images():
  model, variables, inputs = small.initialised('fmanet')
  moved = {k: 3 * v + 0.5 for k, v in inputs.items()}
  np.testing.assert_allclose(
    small.logits(model, variables, inputs),
    small.logits(model, variables, moved),
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
