"""The demo as shipped: it learns, and learns nothing from shuffled labels."""

import re

import pytest

from tests.main_test import start

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
  return tmp_path_factory.mktemp('demo')


def pooled_uf1(output):
  """UF1 and its chance interval from the last table."""
  row = re.search(
    r'^ *all +60 +6 +\S+ +(\S+) +\S+ +(\S+) to (\S+) *$', output, re.MULTILINE
  )
  return tuple(map(float, row.groups()))


def run_demo(cache, workdir, *more):
  ended = start(
    '--config=configs/demo.py', f'--workdir={workdir}', *more, cache=cache
  )
  assert ended.returncode == 0, ended.stderr
  assert ended.stderr == ''
  lines = ended.stdout.strip().splitlines()
  assert lines[-1] == f'Results: {workdir}'
  assert 'SIMULATED' in ended.stdout
  return pooled_uf1(ended.stdout)


def test_the_demo_learns(cache, tmp_path):
  uf1, _, chance = run_demo(cache, tmp_path / 'run')
  assert uf1 > 0.5 > chance


def test_permuted_labels_give_chance(cache, tmp_path):
  # Half as long: enough to learn what there is.
  uf1, low, high = run_demo(
    cache,
    tmp_path / 'control',
    '--config.data.permute_labels=true',
    '--config.train.epochs=20',
  )
  assert low <= uf1 <= high
