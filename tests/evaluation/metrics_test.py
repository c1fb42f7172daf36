"""Metrics against published counts and against scikit-learn."""

import csv
import io
import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from dianet_jax.evaluation import compare, metrics, report
from dianet_jax.training import results as results_lib
from tests.support import prediction_files


def test_uf1_and_uar_of_a_published_confusion_matrix():
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


def test_chance_interval_contains_chance_but_not_a_good_result():
  rng = np.random.default_rng(1)
  truth = rng.integers(0, 5, 300)
  low, high = metrics.chance_interval(truth, rng.permutation(truth)[None], 5)[
    'uf1'
  ]
  assert low < 0.2 < high < 0.3
  assert metrics.chance_interval(truth, truth[None], 5)['uf1'][1] < 0.3


def test_chance_interval_is_that_of_the_mean_over_seeds():
  rng = np.random.default_rng(2)
  truth = rng.integers(0, 3, 120)
  seeds = rng.integers(0, 3, (8, 120))
  one = metrics.chance_interval(truth, seeds[:1], 3)
  # Seeds that say the same are worth one; a mean of unlike ones varies less.
  alike = metrics.chance_interval(truth, seeds[[0, 0, 0]], 3)
  for name, interval in one.items():
    assert alike[name] == pytest.approx(interval)
  low, high = metrics.chance_interval(truth, seeds, 3)['uf1']
  assert high - low < 0.6 * (one['uf1'][1] - one['uf1'][0])


def test_chance_interval_shuffles_the_truth_equally_for_all_seeds():
  rng = np.random.default_rng(3)
  truth = rng.integers(0, 3, 60)
  seeds = rng.integers(0, 3, (2, 60))
  rng = np.random.default_rng(0)
  values = []
  for _ in range(50):
    shuffled = rng.permutation(truth)
    values.append(
      np.mean(
        [
          sklearn_metrics.f1_score(shuffled, seed, average='macro')
          for seed in seeds
        ]
      )
    )
  got = metrics.chance_interval(truth, seeds, 3, draws=50)['uf1']
  assert got == pytest.approx(np.quantile(values, metrics.TAILS).tolist())


def random_clips(rng, subjects=12, seeds=3, num_classes=3):
  """Truth, predictions [seed, clip] and subjects of unequal size."""
  names = np.repeat(
    [f's{i}' for i in range(subjects)], rng.integers(1, 9, subjects)
  )
  truth = rng.integers(0, num_classes, len(names))
  right = rng.random((seeds, len(names))) < 0.6
  guess = rng.integers(0, num_classes, (seeds, len(names)))
  return truth, np.where(right, truth, guess), names


def test_subject_confusions_add_up_to_the_pooled_ones():
  truth, predictions, subjects = random_clips(np.random.default_rng(4))
  order = np.random.default_rng(5).permutation(len(truth))
  parts = metrics.subject_confusions(
    truth[order], predictions[:, order], subjects[order], 3
  )
  for seed, prediction in enumerate(predictions):
    np.testing.assert_array_equal(
      parts[:, seed].sum(axis=0),
      sklearn_metrics.confusion_matrix(truth, prediction),
    )
  for index, name in enumerate(np.unique(subjects)):
    rows = subjects == name
    np.testing.assert_array_equal(
      parts[index, 1],
      sklearn_metrics.confusion_matrix(
        truth[rows], predictions[1, rows], labels=range(3)
      ),
    )


def test_a_bootstrap_draw_is_the_metric_of_the_drawn_clips():
  truth, predictions, subjects = random_clips(np.random.default_rng(6))
  names = np.unique(subjects)
  parts = metrics.subject_confusions(truth, predictions, subjects, 3)
  got = metrics.resample(parts, draws=20)
  times = np.random.default_rng(0).multinomial(
    len(names), np.full(len(names), 1 / len(names)), 20
  )
  for draw in range(20):
    clips = np.concatenate(
      [
        np.flatnonzero(subjects == name)
        for name, number in zip(names, times[draw])
        for _ in range(number)
      ]
    )
    uf1 = [
      sklearn_metrics.f1_score(truth[clips], seed[clips], average='macro')
      for seed in predictions
    ]
    assert got['uf1'][draw] == pytest.approx(np.mean(uf1))


def test_a_class_missing_from_a_bootstrap_draw_is_left_out_of_its_mean():
  # Class 1 is one subject's: a draw without that subject has recall 1.
  parts = metrics.subject_confusions(
    np.array([0, 0, 1]), np.array([[0, 0, 0]]), ['a', 'b', 'c'], 2
  )
  assert set(metrics.resample(parts)['uar'].tolist()) == {1, 0.5, 0}


def test_bootstrap_intervals_have_their_nominal_coverage():
  # Subjects differ: clips of a subject are not independent. An interval that
  # resamples clips covers the true 0.6 in fewer than 80 of 100 cases here.
  rng = np.random.default_rng(7)
  covered = 0
  for _ in range(300):
    skill = rng.beta(3, 2, 30)
    subjects = np.repeat(np.arange(30), 10)
    right = rng.random(300) < skill[subjects]
    truth = rng.integers(0, 2, 300)
    parts = metrics.subject_confusions(
      truth, np.where(right, truth, 1 - truth)[None], subjects, 2
    )
    low, high = metrics.bootstrap_interval(parts)['accuracy']
    covered += low <= 0.6 <= high
  assert 0.89 <= covered / 300 <= 0.98


def test_one_subject_has_no_interval():
  summary = metrics.summarise(
    np.array([0, 1]), np.array([[0, 1]]), ('a', 'b'), ['s', 's']
  )
  assert summary['uf1']['interval_95'] is None
  assert summary['uf1']['mean'] == 1


def test_summary_over_seeds():
  truth = np.array([0, 0, 1, 1])
  summary = metrics.summarise(
    truth,
    np.array([[0, 0, 1, 1], [0, 1, 1, 1]]),
    ('a', 'b', 'c'),
    ['s', 't', 's', 't'],
  )
  assert summary['n'] == 4
  assert summary['clips_per_class'] == {'a': 2, 'b': 2, 'c': 0}
  assert summary['accuracy']['seeds'] == [1.0, 0.75]
  assert summary['accuracy']['mean'] == pytest.approx(0.875)
  # Subject t has half of its clips right in one of two seeds.
  assert summary['accuracy']['interval_95'] == [0.75, 1.0]
  assert summary['recall_per_class'] == {'a': 0.75, 'b': 1.0, 'c': None}
  assert summary['f1_per_class']['a'] == pytest.approx((1 + 2 / 3) / 2)
  assert summary['confusion'][1] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
  assert json.loads(json.dumps(summary)) == summary


def precision(confusion):
  """Macro precision, of predictions that name every class."""
  right = np.diagonal(confusion, axis1=-2, axis2=-1)
  return (right / confusion.sum(axis=-2)).mean(axis=-1)


def test_a_new_metric_is_in_summaries_and_comparisons(tmp_path, monkeypatch):
  row = metrics.Metric('Precision', precision)
  monkeypatch.setitem(metrics.METRICS, 'precision', row)
  runs = {
    name: compare.load(
      prediction_files.write(
        tmp_path / name, prediction_files.rows(skill, rng_seed=seed)
      )
    )
    for seed, (name, skill) in enumerate((('a', 0.8), ('b', 0.6)))
  }
  run = runs['a']
  expected = np.mean(
    [
      sklearn_metrics.precision_score(run.truth, seed, average='macro')
      for seed in run.predictions
    ]
  )
  overall = metrics.summarise(
    run.truth, run.predictions, run.classes, run.subjects
  )
  assert overall['precision']['mean'] == pytest.approx(expected)
  low, high = overall['precision']['interval_95']
  assert low < expected < high

  summary = {'overall': overall, 'by_dataset': {}, 'folds': 10, 'seeds': [0, 1]}
  header, cells = report.rows(summary)
  cell = cells[header.index('Precision')]
  assert cell.startswith(f'{expected:.3f} ± ')

  result = results_lib.FoldResult(
    's',
    0,
    variables={},
    loss=np.zeros(1),
    accuracy=np.zeros(1),
    test_index=np.arange(len(run.truth)),
    probabilities=run.probabilities[0],
    oracle_probabilities=run.probabilities[:1],
  )
  oracle = report.oracle([result], run.truth)
  confusion = metrics.confusion_matrix(run.truth, run.predictions[0], 3)
  assert oracle['precision']['mean'] == pytest.approx(precision(confusion))
  assert ', Precision 0.' in report.oracle_line({'oracle': oracle})

  text = compare.table(runs)
  assert 'Precision' in text.splitlines()[2] and f'{expected:.3f}' in text
  table = list(csv.DictReader(io.StringIO(compare.table(runs, 'csv'))))
  [one] = [
    row for row in table if row['measure'] == 'precision' and row['run'] == 'a'
  ]
  assert float(one['value']) == pytest.approx(expected)
  [pair] = [
    row for row in table if row['measure'] == 'precision' and row['against']
  ]
  assert pair['run'] == 'b' and 0 <= float(pair['p']) <= 1
