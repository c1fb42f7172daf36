"""How a run is evaluated: epochs, the oracle beside them, ensembles."""

import json
import shutil

import numpy as np
import pytest

from dianet_jax.evaluation import report
from dianet_jax.experiments import run
from dianet_jax.training import results as results_lib
from tests.experiments.run_test import (
  flow,  # noqa: F401
  flow_config,  # noqa: F401
  predictions,
)

OVERRIDES = {
  'seeds': 1,
  'train__epochs': 3,
  'evaluation__epochs': 'inner_split',
  'evaluation__oracle': True,
  'evaluation__ensemble': 2,
}


def result(subject, seed, shares, index, epochs=None):
  return results_lib.FoldResult(
    subject,
    seed,
    variables={},
    loss=np.zeros(2),
    accuracy=np.zeros(2),
    test_index=np.array(index),
    probabilities=np.array(shares),
    oracle_probabilities=None if epochs is None else np.array(epochs),
  )


def test_an_ensemble_is_the_mean_of_consecutive_seeds():
  shares = {0: 0.1, 1: 0.3, 2: 0.8, 3: 1.0}
  results = [
    result(subject, seed, [[p, 1 - p]], [i])
    for seed, p in reversed(shares.items())
    for i, subject in enumerate('ab')
  ]
  reported = report.ensemble(results, 2)
  assert {(r.seed, r.subject) for r in reported} == {
    (seed, subject) for seed in (0, 1) for subject in 'ab'
  }
  pooled = report.pool(reported, 2)
  assert pooled.seeds == (0, 1)
  np.testing.assert_allclose(
    pooled.probabilities[..., 0], [[0.2] * 2, [0.9] * 2]
  )
  assert report.ensemble(results, 1) == results


def test_the_oracle_takes_the_best_epoch_of_each_fold():
  right, wrong = [[1.0, 0], [0, 1.0]], [[0, 1.0], [1.0, 0]]
  labels = np.array([0, 1, 0, 1])
  results = [
    result('a', 0, wrong, [0, 1], [wrong, right, wrong]),
    result('b', 0, wrong, [2, 3], [right, wrong, wrong]),
  ]
  figures = report.oracle(results, labels)
  assert figures['uf1'] == {'mean': 1.0, 'seeds': [1.0]}
  # No single epoch reaches that, and the honest result is untouched.
  assert report.pool(results, 4).predictions.tolist() == [[1, 0, 1, 0]]
  line = report.oracle_line({'oracle': figures})
  assert line.startswith('oracle (epoch chosen on the test subjects; not a')
  assert line.endswith('UF1 1.000, UAR 1.000')
  assert report.oracle_line({}) == ''


@pytest.fixture
def finished(flow_config, tmp_path):  # noqa: F811
  config = flow_config(**OVERRIDES)
  return config, tmp_path / 'run', run.run(config, tmp_path / 'run')


@pytest.mark.slow
def test_the_oracle_is_not_below_the_result(flow_config, tmp_path):  # noqa: F811
  overrides = OVERRIDES | {'evaluation__ensemble': 1}
  summary = run.run(flow_config(**overrides), tmp_path / 'run')
  oracle, honest = (
    summary[part]['accuracy']['mean'] for part in ('oracle', 'overall')
  )
  assert oracle >= honest


@pytest.mark.slow
def test_a_whole_run_and_resuming_it(finished, capsys):
  config, workdir, summary = finished
  assert summary['seeds'] == [0] and len(predictions(workdir)) == 18
  assert len(list((workdir / 'checkpoints').glob('seed[01]/*'))) == 12
  chosen = summary['evaluation']['chosen']
  assert {(c['seed'], c['subject']) for c in chosen} == {
    (seed, row['fold']) for seed in (0, 1) for row in predictions(workdir)
  }
  assert {c['epoch'] for c in chosen} <= {1, 2, 3}
  assert 'test subjects; not a result' in summary['oracle']['label']
  page = (workdir / 'report.html').read_text()
  assert 'not a result)' in page and 'fixed in advance' not in page
  capsys.readouterr()
  run.run(config, workdir)
  assert 'not a result)' in capsys.readouterr().out

  before = predictions(workdir)
  saved = json.loads((workdir / 'metrics.json').read_text())
  (workdir / 'metrics.json').unlink()
  for fold in ('seed0/casme2_sub02', 'seed1/samm_005'):
    shutil.rmtree(workdir / 'checkpoints' / fold)
  again = run.run(config, workdir)
  assert '10 of 12 trainings are finished' in capsys.readouterr().out
  assert predictions(workdir) == before
  for part in ('evaluation', 'oracle', 'overall'):
    assert json.loads(json.dumps(again[part])) == saved[part]
