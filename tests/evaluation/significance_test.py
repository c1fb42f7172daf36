"""Paired tests: known values, planted and absent differences."""

import itertools

import numpy as np
import pytest
from scipy import stats

from dianet_jax.evaluation import metrics, significance


def confusions(truth, predictions, subjects):
  return metrics.subject_confusions(truth, np.array(predictions), subjects, 3)


def two_runs(rng, skills, subjects=10, clips=5, seeds=2):
  """Predictions of two runs that are right with these probabilities."""
  names = np.repeat([f's{i:03}' for i in range(subjects)], clips)
  truth = rng.integers(0, 3, len(names))
  runs = []
  for skill in skills:
    right = rng.random((seeds, len(names))) < skill
    wrong = (truth + rng.integers(1, 3, right.shape)) % 3
    runs.append(confusions(truth, np.where(right, truth, wrong), names))
  return runs


def test_a_run_does_not_differ_from_itself():
  run, _ = two_runs(np.random.default_rng(0), (0.6, 0.6), subjects=40)
  assert set(significance.permutation_test(run, run).values()) == {1.0}
  assert set(significance.paired_interval(run, run).values()) == {(0.0, 0.0)}


def test_a_planted_difference_is_found():
  a, b = two_runs(np.random.default_rng(1), (0.8, 0.55), subjects=40)
  p_values = significance.permutation_test(a, b)
  for name, (low, high) in significance.paired_interval(a, b).items():
    assert 0 < low < high
    assert p_values[name] == pytest.approx(1 / 10_001)


def test_the_test_has_two_sides():
  a, b = two_runs(np.random.default_rng(2), (0.7, 0.6), subjects=16)
  forth = significance.permutation_test(a, b, draws=500)
  back = significance.permutation_test(b, a, draws=500)
  assert forth == back


def test_exact_p_is_the_share_of_all_swaps():
  a, b = two_runs(np.random.default_rng(3), (0.7, 0.5), subjects=6)
  differences = []
  for swap in itertools.product((False, True), repeat=6):
    swap = np.array(swap)[:, None, None, None]
    one, other = np.where(swap, b, a), np.where(swap, a, b)
    differences.append(
      np.mean(metrics.uf1(one.sum(axis=0)) - metrics.uf1(other.sum(axis=0)))
    )
  sizes = np.abs(differences)
  expected = np.mean(sizes >= sizes[0] - 1e-12)
  assert 0.01 < expected < 1
  assert significance.permutation_test(a, b)['uf1'] == pytest.approx(expected)


def test_random_swaps_come_near_the_exact_p():
  a, b = two_runs(np.random.default_rng(4), (0.66, 0.6), subjects=10)
  exact = significance.permutation_test(a, b, draws=1024)
  drawn = significance.permutation_test(a, b, draws=1023)
  for name, p in exact.items():
    assert p != drawn[name] and abs(p - drawn[name]) < 0.06


def test_one_clip_a_subject_is_a_sign_test():
  # SciPy knows the case in which every subject has a clip and one run is right.
  subjects = [f's{i}' for i in range(12)]
  truth = np.zeros(12, int)
  better = np.array([0] * 9 + [1] * 3)
  a = confusions(truth, [better], subjects)
  b = confusions(truth, [1 - better], subjects)
  expected = stats.binomtest(9, 12).pvalue
  got = significance.permutation_test(a, b)
  assert got['accuracy'] == pytest.approx(expected)


@pytest.mark.slow
def test_p_values_are_uniform_where_there_is_no_difference():
  rng = np.random.default_rng(5)
  p_values = []
  for _ in range(1000):
    a, b = two_runs(rng, (0.6, 0.6), subjects=25, clips=6)
    p_values.append(significance.permutation_test(a, b, draws=499)['uf1'])
  for level in (0.05, 0.1, 0.25, 0.5, 0.75, 0.9):
    # Four standard errors.
    allowed = 4 * np.sqrt(level * (1 - level) / 1000)
    share = np.mean(np.array(p_values) <= level)
    assert share == pytest.approx(level, abs=allowed)


def test_mcnemar_by_hand():
  first = np.array([True] * 10 + [False] * 3 + [True] * 7)
  second = np.array([False] * 10 + [True] * 3 + [True] * 7)
  test = significance.mcnemar(first, second)
  assert (test.only_first, test.only_second) == (10, 3)
  # 2 (1 + 13 + 78 + 286) / 2^13.
  assert test.p == pytest.approx(2 * 378 / 8192)
  assert significance.mcnemar(first, first).p == 1


def test_holm_by_hand():
  np.testing.assert_allclose(
    significance.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]
  )
  np.testing.assert_allclose(significance.holm([0.7, 0.6]), [1, 1])
  np.testing.assert_allclose(significance.holm([0.04]), [0.04])
  assert len(significance.holm([])) == 0


def test_one_subject_has_no_interval():
  a, b = two_runs(np.random.default_rng(6), (0.7, 0.5), subjects=1)
  assert set(significance.paired_interval(a, b).values()) == {None}
  assert significance.permutation_test(a, b)['uf1'] == 1
