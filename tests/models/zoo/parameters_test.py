"""Numbers of parameters of the published sizes, by model and by part."""

import jax
import numpy as np
import pytest

from dianet_jax.models.fusions import biovilt, gban
from dianet_jax.models.registry import MODELS
from dianet_jax.models.zoo import atm_gcn, slstt, tcm, tsfmicro

FLOW = (2, 28, 28, 3)
COMPACT = {'width': 24, 'repeats': (1, 1, 2)}
ORIGINAL = {
  'width': 768,
  'depth': 12,
  'heads': 12,
  'mlp_width': 3072,
  'lstm_width': 512,
  'lstm_depth': 3,
}

# Model, settings, classes, shape of a clip's input, parameters.
ROWS = [
  ('ststnet', {}, 3, FLOW, 1_683),
  ('offapexnet', {}, 3, FLOW, 2_664_475),
  ('htnet', {}, 3, FLOW, 139_582_982),
  ('htnet', COMPACT, 3, FLOW, 314_694),
  ('causalnet', {}, 3, FLOW, 276_590_089),
  ('fmanet', {}, 3, FLOW, 356_599),
  ('fmanet', {}, 5, FLOW, 356_857),
  ('fmanet', {'stem': '7x7'}, 3, (2, 112, 112, 3), 364_279),
  ('fmanet', {'stem': '7x7'}, 5, (2, 112, 112, 3), 364_537),
  ('skd_tstsan', {}, 3, (1, 48, 48, 38), 2_943_904),
  ('skd_tstsan', {}, 5, (1, 48, 48, 38), 2_946_214),
  ('skd_tstsan', {}, 7, (1, 48, 48, 38), 2_948_524),
  ('skd_tstsan_t', {}, 3, FLOW, 977_897),
  ('tsfmicro', {}, 5, (2, 224, 224, 3), 12_793_003 - 3_590),
  ('tsfmicro', {}, 3, (2, 224, 224, 3), 12_790_953 - 3_590),
  ('tsfmicro', {}, 4, (2, 224, 224, 3), 12_791_978 - 3_590),
  ('tsfmicro', {}, 7, (2, 224, 224, 3), 12_795_053 - 3_590),
  ('gamdss', {}, 5, (3, 224, 224, 3), 12_793_003 - 3_590),
  ('atm_gcn', {}, 3, (15, 112, 112, 3), 3_123_577),
  ('atm_gcn', {}, 7, (15, 112, 112, 3), 3_124_605),
  # Without the head of the other aggregator.
  ('slstt', ORIGINAL, 5, (11, 384, 384, 3), 93_054_986 - 769 * 5),
  ('slstt', ORIGINAL, 3, (11, 384, 384, 3), 93_052_934 - 769 * 3),
]


def parameters(name, settings, classes, shape):
  cls = MODELS[name]
  model = cls(classes, cls.Settings(**settings))
  [read] = cls.reads
  inputs = {read: jax.ShapeDtypeStruct((1, *shape), 'float32')}
  return jax.eval_shape(model.init, jax.random.key(0), inputs)['params']


def count(tree):
  return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


@pytest.mark.slow
@pytest.mark.parametrize('row', ROWS, ids=lambda row: f'{row[0]}-{row[-1]}')
def test_published_sizes(row):
  *what, expected = row
  assert count(parameters(*what)) == expected


@pytest.mark.parametrize(
  'module,shapes,expected',
  [
    (biovilt.Pooler(), [(1, 196, 256)] * 2, 1_186_048),
    (biovilt.Projector(), [(1, 196, 512)], 82_304),
    (tcm.SlowFastTCM(), [(1, 8, 14, 14, 128)], 21_243),
    (tcm.SlowFastTCM(patch=7), [(1, 4, 7, 7, 512)], 71_163),
    (atm_gcn.Encoder(), [(1, 1, 64, 64, 3)], 2_528_884),
    (atm_gcn.Graph(5), [(1, 15, 512)], 595_207),
  ],
)
def test_parts(module, shapes, expected):
  inputs = [jax.ShapeDtypeStruct(shape, 'float32') for shape in shapes]
  variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
  assert count(variables['params']) == expected


def test_gates_of_gban():
  """8 d o of d features and o gates."""
  pair = [jax.ShapeDtypeStruct((1, 256), 'float32')] * 2
  variables = jax.eval_shape(
    gban.GroupGate(128).init, jax.random.key(0), pair, pair
  )
  assert count(variables) == 262_144


@pytest.mark.parametrize(
  'aggregator,expected', [('lstm', 6_962_181), ('mean', 5_381)]
)
def test_what_trains_of_slstt(aggregator, expected):
  settings = ORIGINAL | {'encoder': 'frozen', 'aggregator': aggregator}
  shape = 1, 2, 32, 32, 3
  model = slstt.SLSTT(5, slstt.SLSTT.Settings(**settings))
  inputs = {'long_term_flow': jax.ShapeDtypeStruct(shape, 'float32')}
  variables = jax.eval_shape(model.init, jax.random.key(0), inputs)
  blocks = [n for n in variables['params']['encoder'] if 'block_' in n]
  assert len(blocks) == 12
  tokens = jax.eval_shape(model.features, variables, inputs)
  trained = jax.eval_shape(model.init, jax.random.key(0), tokens)
  assert count(trained['params']) == expected


def test_a_retention_network_for_small_images():
  settings = tsfmicro.TSFmicro.Settings(position=False, stem_stride=1)
  assert settings.shape().position_depth == 0
  params = parameters(
    'tsfmicro', {'position': False, 'stem_stride': 1}, 3, FLOW
  )
  assert 'position' not in params['network']
