"""Metrics against published counts and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from dianet_jax import metrics


def test_the_published_check():
  # STSTNet, MEGC 2019 composite: pooled (TP, FP, FN) of three classes, 442
  # clips. Off the diagonal any matrix with these margins serves.
  tp, fp, fn = np.array([(195, 48, 55), (68, 46, 41), (64, 21, 19)]).T
  confusion = np.diag(tp)
  # c01 + c02 = 55, c10 + c12 = 41, c20 + c21 = 19; columns 48, 46, 21.
  c01 = 40
  confusion[0, 1], confusion[0, 2] = c01, fn[0] - c01
  confusion[2, 1] = fp[1] - c01
  confusion[2, 0] = fn[2] - confusion[2, 1]
  confusion[1, 0] = fp[0] - confusion[2, 0]
  confusion[1, 2] = fn[1] - confusion[1, 0]
  assert (confusion >= 0).all() and confusion.sum() == 442
  np.testing.assert_array_equal(confusion.sum(axis=0) - tp, fp)
  assert round(float(metrics.uf1(confusion)), 4) == 0.7209
  assert round(float(metrics.uar(confusion)), 4) == 0.7250


def test_agrees_with_scikit_learn():
  rng = np.random.default_rng(0)
  truth, prediction = rng.integers(0, 4, (2, 200))
  confusion = metrics.confusion_matrix(truth, prediction, 4)
  np.testing.assert_array_equal(
    confusion, sklearn_metrics.confusion_matrix(truth, prediction)
  )
  assert metrics.uf1(confusion) == pytest.approx(
    sklearn_metrics.f1_score(truth, prediction, average='macro')
  )
  assert metrics.uar(confusion) == pytest.approx(
    sklearn_metrics.balanced_accuracy_score(truth, prediction)
  )
  assert metrics.accuracy(confusion) == pytest.approx(
    sklearn_metrics.accuracy_score(truth, prediction)
  )


def test_a_class_that_never_occurs_is_left_out_of_the_mean():
  confusion = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
  assert np.isnan(metrics.f1_per_class(confusion)[2])
  assert metrics.uf1(confusion) == pytest.approx((6 / 7 + 8 / 9) / 2)
  assert metrics.uar(confusion) == pytest.approx((3 / 4 + 1) / 2)


def test_a_class_predicted_but_absent_counts_as_zero_f1():
  confusion = np.array([[2, 1], [0, 0]])
  assert metrics.uf1(confusion) == pytest.approx((4 / 5 + 0) / 2)


def test_chance_interval_covers_chance_and_not_skill():
  rng = np.random.default_rng(1)
  truth = rng.integers(0, 5, 300)
  low, high = metrics.chance_interval(truth, rng.permutation(truth), 5)['uf1']
  assert low < 0.2 < high < 0.3
  assert metrics.chance_interval(truth, truth, 5)['uf1'][1] < 0.3


def test_summary_over_seeds():
  truth = np.array([0, 0, 1, 1])
  summary = metrics.summarise(
    truth, np.array([[0, 0, 1, 1], [0, 1, 1, 1]]), ('a', 'b')
  )
  assert summary['n'] == 4 and summary['clips_per_class'] == {'a': 2, 'b': 2}
  assert summary['accuracy']['seeds'] == [1.0, 0.75]
  assert summary['accuracy']['mean'] == pytest.approx(0.875)
  assert summary['confusion'][1] == [[1, 1], [0, 2]]
