"""Every model can be explained; the maps of a still clip are empty."""

import jax
import numpy as np
import pytest

from dianet_jax.explanation import maps, occlusion, regions
from dianet_jax.models.registry import MODELS
from tests.models.zoo import small
from tests.support import explained_networks

# One with both kinds of map, one with a stack of attention; each takes seconds.
QUICK = ('dianet', 'slstt')
# Nothing of these lies on the face: one cuts it into a mosaic.
WITHOUT_MAPS = {'htnet', 'causalnet'}
ATTENTION = {
  'dianet': {'fusion/first_attention', 'fusion/second_attention'},
  'slstt': {'encoder/block_0/attention'},
}


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name in MODELS
  ],
)
def test_every_model_has_maps_that_are_empty_without_motion(name, monkeypatch):
  monkeypatch.setattr(jax, 'jit', small.jit)
  model, specs = small.make(name)
  [(read, spec)] = specs.items()
  batch = {read: jax.ShapeDtypeStruct((1, *spec.shape), spec.dtype)}
  variables = small.variables_of(model, batch)
  made = explained_networks.of_model(model, read, spec.shape)
  rng = np.random.default_rng(0)
  inputs = {read: rng.uniform(-1, 1, size=spec.shape).astype(np.float32)}
  found = made([variables], inputs, 1)
  assert tuple(found.evidence) == regions.NAMES
  assert any(found.evidence.values())
  still = occlusion.still(inputs, made.feed, made.channels)
  empty = made([variables], still, 1)
  assert set(empty.evidence.values()) == {0.0}
  assert set(empty.shares.values()) == {0.0}
  for group, none in (
    (found.activation, empty.activation),
    (found.attention, empty.attention),
  ):
    assert group.keys() == none.keys()
    for layer, heat in group.items():
      assert heat.ndim == 2 and np.isfinite(heat).all() and heat.min() >= 0
      assert not none[layer].any()
  heats = [*found.activation.values(), *found.attention.values()]
  assert (name in WITHOUT_MAPS) == (not heats)
  # The features of a map of one place may speak against a class.
  for class_ in (0, 2):
    other = made([variables], inputs, class_)
    heats += other.activation.values()
  assert not heats or max(heat.max() for heat in heats) > 0
  if name in ATTENTION:
    assert found.attention.keys() == ATTENTION[name]
    assert all(heat.max() <= 1 for heat in found.attention.values())


def test_attention_rollout_and_attention_of_a_class_token():
  first, second = np.array([[0.5, 0.5], [0.0, 1.0]]), np.eye(2)
  rolled = maps._rollout([first, second])
  np.testing.assert_allclose(rolled, [[0.75, 0.25], [0.0, 1.0]])
  weights = np.zeros((5, 5))
  weights[0] = [0.2, 0.1, 0.2, 0.3, 0.2]
  np.testing.assert_array_equal(
    maps._looked_at(weights), [[0.1, 0.2], [0.3, 0.2]]
  )
  # Nothing square: a row, as of nodes of a graph.
  assert maps._looked_at(np.ones((3, 3))).shape == (1, 3)
  assert maps._looked_at(np.ones((9, 9))).shape == (3, 3)
  names = ['block_10/a', 'block_2/a']
  assert sorted(names, key=maps._by_number) == ['block_2/a', 'block_10/a']


def test_calls_of_one_layer_are_numbered():
  assert maps._numbered(['a', 'b', 'a']) == ['a', 'b', 'a (2)']
