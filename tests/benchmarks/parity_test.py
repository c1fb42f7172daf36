"""Comparison with other code, on a fixture that is made here."""

import json
import sys

import numpy as np
import pytest

from benchmarks import parity
from dianet_jax.core import errors

SHAPES = {
  **{f'conv{n}.weight': [f, 3, 3, 3] for n, f in ((1, 3), (2, 5), (3, 8))},
  **{f'conv{n}.bias': [f] for n, f in ((1, 3), (2, 5), (3, 8))},
}
KINDS = {
  'weight': '1+f',
  'bias': 'f',
  'running_mean': 'f',
  'running_var': '1+0.5*abs(f)',
}


@pytest.fixture
def fixture():
  rows = [(name, shape, 'f') for name, shape in SHAPES.items()]
  for number, filters in ((1, 3), (2, 5), (3, 8)):
    rows += [
      (f'bn{number}.{leaf}', [filters], kind) for leaf, kind in KINDS.items()
    ]
    rows.append((f'bn{number}.num_batches_tracked', [], 'zero'))
  rows += [('fc.weight', [3, 400], 'f'), ('fc.bias', [3], 'f')]
  logits = {'logits': [[0.0] * 3] * 2}
  return {
    'system': 'ststnet',
    'fill_rule': 'f[i] = 0.05*sin(0.7*k + 0.013*i)',
    'fill_rule_2': 'f[i] = 0.2*sin(0.7*k + ((i*i) mod 1009))',
    'entries': [[k, *row] for k, row in enumerate(rows)],
    'inputs': {'image': {'shape': [2, 3, 28, 28]}},
    'outputs': logits,
    'outputs_fill2': logits,
  }


def test_entries_are_filled_by_the_rules(fixture):
  plain, second = (parity.tensors(fixture, fill) for fill in parity.FILLS)
  assert plain['conv2.weight'].dtype == np.float64
  assert plain['conv2.weight'].ravel()[7] == pytest.approx(
    0.05 * np.sin(0.7 * 1 + 0.013 * 7)
  )
  assert second['conv2.weight'].ravel()[40] == pytest.approx(
    0.2 * np.sin(0.7 * 1 + (1600 % 1009))
  )
  assert plain['bn1.running_var'].min() > 1
  assert plain['bn1.weight'][0] == pytest.approx(1 + 0.05 * np.sin(0.7 * 6))
  assert 'bn1.num_batches_tracked' not in plain


def test_it_prints_both_fills(fixture, tmp_path, monkeypatch, capsys):
  path = tmp_path / 'ststnet.json'
  path.write_text(json.dumps(fixture))

  def run(*options):
    monkeypatch.setattr(sys, 'argv', ['parity', str(path), *options])
    parity.main()
    return capsys.readouterr().out

  printed = run()
  assert printed.startswith('ststnet: within ')
  plain = json.loads(run('--json'))['ststnet']
  cosine = json.loads(run('--json', '--wave=cos', '--rate=0.03'))['ststnet']
  same = json.loads(run('--json', '--wave=sin', '--rate=0.017'))['ststnet']
  assert plain == same
  assert plain.keys() == {'outputs', 'outputs_fill2'}
  for key in plain:
    one, other = (np.array(x[key]['logits']) for x in (plain, cosine))
    assert one.shape == (2, 3)
    assert np.abs(one - other).max() > 1e-4
  assert plain['outputs'] != plain['outputs_fill2']


def test_an_input_of_its_own_takes_no_options(tmp_path, monkeypatch):
  path = tmp_path / 'losses.json'
  path.write_text(json.dumps({'system': 'skd_losses', 'outputs': {}}))
  monkeypatch.setattr(sys, 'argv', ['parity', str(path), '--wave=cos'])
  with pytest.raises(SystemExit, match='skd_losses has a rule of its own'):
    parity.main()


def test_another_file_is_refused(tmp_path):
  path = tmp_path / 'other.json'
  path.write_text('{"system": "resnet"}')
  with pytest.raises(errors.UserError, match="'resnet'.*Known are: ststnet"):
    parity.read(path)
  path.write_text('no json')
  with pytest.raises(errors.UserError, match='expected a fixture'):
    parity.read(path)
  with pytest.raises(errors.UserError, match='none.json'):
    parity.read(tmp_path / 'none.json')


def test_differences():
  assert parity.difference([[1.0, 2.0]], [[1.0, 2.5]]) == pytest.approx(0.2)
  assert parity.difference({'a': 0.1}, {'a': 0.2}) == pytest.approx(0.1)
  assert parity.difference([1.0], [1.0, 2.0]) == float('inf')
  assert parity.difference({'a': 1.0}, {'b': 1.0}) == float('inf')
