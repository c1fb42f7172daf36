"""The fastest strategy is chosen, cached and reused."""

import json

import jax
import pytest

from dianet_jax.core import errors
from dianet_jax.training import tuning


def planted(seconds, tried=None):
  """A fake measurement: (strategy, folds) -> seconds, or an error to raise."""

  def measure(strategy, folds):
    if tried is not None:
      tried.append((strategy, folds))
    found = seconds(strategy, folds)
    if isinstance(found, Exception):
      raise found
    return found, 1.0

  return measure


EXHAUSTED = jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory')


def test_folds_grow_until_they_get_no_faster():
  tried = []
  # Best with vmap; more than 16 at once gain nothing.
  choice = tuning.measured(
    planted(lambda s, n: 1 / min(n, 16) if s == 'vmap' else 2.0, tried),
    folds=100,
  )
  assert (choice.strategy, choice.folds) == ('vmap', 16)
  assert {strategy for strategy, _ in tried} == {*tuning.STRATEGIES}
  assert [n for s, n in tried if s == 'vmap'] == [4, 8, 16, 32]
  assert ('loop', 1) in tried


def test_folds_grow_until_memory_is_exhausted():
  choice = tuning.measured(
    planted(lambda s, n: EXHAUSTED if n > 8 or s == 'vmap' else 1 / n),
    folds=100,
  )
  assert choice.folds == 8
  failed = {(r.strategy, r.folds) for r in choice.rows if r.failure}
  assert ('vmap', 4) in failed and (choice.strategy, 16) in failed
  assert 'memory was exhausted' in '\n'.join(tuning.sentences(choice))


def test_folds_are_limited_by_their_number_and_by_the_setting():
  tried = []
  fast = planted(lambda s, n: 1 / n, tried)
  assert tuning.measured(fast, folds=3).folds == 3
  assert tuning.measured(fast, folds=11).folds == 11
  tried.clear()
  assert tuning.measured(fast, folds=11, folds_per_device=6).folds == 6
  assert {n for s, n in tried if s != 'loop'} == {6}


def test_a_loop_takes_one_fold():
  choice = tuning.measured(
    planted(lambda s, n: 0.1 if s == 'loop' else 1.0), folds=50
  )
  assert (choice.strategy, choice.folds) == ('loop', 1)


def test_without_a_strategy_that_fits_the_error_has_the_reason():
  refusal = errors.UserError('too large: set this and that')
  with pytest.raises(errors.UserError, match='No strategy.*set this and that'):
    tuning.measured(planted(lambda s, n: refusal), folds=5)


def test_no_measurement_starts_after_the_time_budget(monkeypatch):
  now = [0.0]
  monkeypatch.setattr(tuning.time, 'monotonic', lambda: now[0])

  def measure(strategy, folds):
    now[0] += 60
    return 1.0, 50.0

  choice = tuning.measured(measure, folds=50, budget_seconds=100)
  assert [row.strategy for row in choice.rows] == ['map', 'loop']


def test_a_choice_is_cached_by_all_that_it_depends_on(tmp_path):
  calls = []

  def choose():
    calls.append(1)
    return tuning.measured(planted(lambda s, n: 1 / n), folds=8)

  key = {'device': 'H100', 'jax': '0.12'}
  first = tuning.cached(tmp_path, key, choose)
  assert tuning.cached(tmp_path, key, choose) == first and len(calls) == 1
  [file] = tmp_path.glob('*.json')
  assert json.loads(file.read_text())['key'] == key
  tuning.cached(tmp_path, key | {'jax': '0.13'}, choose)
  assert len(calls) == 2
  file.write_text('{')
  assert tuning.cached(tmp_path, key, choose) == first and len(calls) == 3
