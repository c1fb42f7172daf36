"""Networks against the numbers of their authors' code, in double precision."""

import json
import pathlib

import jax
import pytest

from benchmarks import parity, parity_flow, parity_systems
from dianet_jax.models.zoo import causalnet
from tests.models.zoo.parameters_test import count
from tests.support.slow import slow_but

FOLDER = pathlib.Path(__file__).parents[4] / 'shared/reference/parity'
pytestmark = pytest.mark.skipif(
  not FOLDER.is_dir(), reason='the fixtures are not here'
)
# Hundreds of millions of parameters: by their number alone.
TOO_LARGE = ('htnet', 'causalnet')
# Many layers, which take long to compile.
SLOW = (
  'slstt', 'slstt_small', 'tsfmicro', 'tsfmicro_small', 'gamdss',
  'gamdss_small', 'biovilt_pooler', 'biovilt_pooler_small', 'ca_encoder',
  'skd_tstsan', 'fmanet_ours',
)  # fmt: skip


def _fixture(name):
  return json.loads((FOLDER / f'{name}.json').read_text(encoding='utf-8'))


def test_every_fixture_has_a_system():
  assert {path.stem for path in FOLDER.glob('*.json')} == set(
    parity_systems.SYSTEMS
  )


@pytest.mark.parametrize(
  'name',
  slow_but(
    sorted(set(parity_systems.SYSTEMS) - set(TOO_LARGE)),
    set(parity_systems.SYSTEMS) - set(SLOW),
  ),
)
def test_it_gives_the_numbers_of_the_original(name):
  if name == 'mm_cof':
    pytest.importorskip('dianet_jax.motion.mm_cof')
  fixture = _fixture(name)
  found = parity.evaluate(fixture)
  tolerance = fixture.get('suggested_tolerance', 1e-9)
  for key, outputs in found.items():
    assert outputs.keys() == fixture[key].keys() and outputs
    for output, values in outputs.items():
      off = parity.difference(values, fixture[key][output])
      assert off <= tolerance, (key, output)


@pytest.mark.parametrize('name', TOO_LARGE)
def test_a_large_one_has_an_entry_for_every_parameter(name):
  """Each of the original's has its place, and there is no other."""
  fixture = _fixture(name)
  if name == 'htnet':
    module = parity_flow.htnet_of(name)
    inputs = {'phase_flow': jax.ShapeDtypeStruct((1, 1, 28, 28, 3), 'float32')}
  else:
    module = causalnet.Network(3, causalnet.CausalNet.Settings())
    inputs = [jax.ShapeDtypeStruct((1, 2, 28, 28, 3), 'float32')] * 2
  shapes = jax.eval_shape(module.init, jax.random.key(0), inputs)
  assert count(shapes) == fixture['parameter_count']
  names = module.official_names
  there = [
    piece
    for _, entry, _, kind in fixture['entries']
    if kind != 'kept' and not names.ignores(entry)
    for piece in names.pieces(entry)
  ]
  assert len(set(there)) == len(there) == len(jax.tree.leaves(shapes))
