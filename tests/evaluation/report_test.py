"""The table at the end of a run, and the curves of its page."""

import types

from matplotlib import axes
import numpy as np

from dianet_jax.evaluation import metrics, report
from dianet_jax.evaluation import page as page_lib


def summary(seeds):
  rng = np.random.default_rng(0)
  truth = rng.integers(0, 2, 40)
  predictions = np.where(rng.random((seeds, 40)) < 0.8, truth, 1 - truth)
  overall = metrics.summarise(
    truth, predictions, ('a', 'b<'), np.repeat(np.arange(8), 5)
  )
  return {
    'overall': overall,
    'by_dataset': {'samm': overall | {'folds': 8}},
    'folds': 8,
    'seeds': list(range(seeds)),
  }


def test_rows_have_mean_deviation_and_interval():
  values = summary(seeds=3)
  header, *rows = report.rows(values)
  assert [row[0] for row in rows] == ['all', 'samm']
  uf1 = values['overall']['uf1']
  low, high = uf1['interval_95']
  cell = rows[0][header.index('UF1')]
  assert cell == (
    f'{uf1["mean"]:.3f} ± {uf1["std"]:.3f}\n{low:.3f} to {high:.3f}'
  )
  assert low < uf1['mean'] < high
  low, high = uf1['chance_95']
  assert rows[0][-1] == f'{low:.3f} to {high:.3f}'
  one = report.rows(summary(seeds=1))[1]
  assert '±' not in ''.join(one) and '\n' in one[header.index('UF1')]


def test_an_older_run_is_shown_with_the_metrics_it_has():
  values = summary(seeds=1)
  for part in (values['overall'], *values['by_dataset'].values()):
    del part['uar']
  header, row, _ = report.rows(values)
  assert header == ['clips', 'n', 'folds', 'accuracy', 'UF1', 'chance UF1']
  assert len(row) == len(header)


def test_learning_curves_may_have_different_lengths(monkeypatch):
  drawn = []
  plot = axes.Axes.plot

  def spy(self, epochs, values, **options):
    drawn.append((epochs, values))
    return plot(self, epochs, values, **options)

  monkeypatch.setattr(axes.Axes, 'plot', spy)
  results = [
    types.SimpleNamespace(loss=np.array(c), accuracy=np.array(c))
    for c in ([4.0, 2.0, 1.0], [2.0])
  ]
  assert page_lib._curves(results).startswith('<svg')
  epochs, curves = drawn[0]
  np.testing.assert_array_equal(epochs, [1, 2, 3])
  np.testing.assert_array_equal(curves.T, [[4, 2, 1], [2, np.nan, np.nan]])
  # The mean is over the folds that train so long.
  np.testing.assert_array_equal(drawn[1][1], [3, 2, 1])


def test_a_summary_without_intervals_is_still_shown():
  values = summary(seeds=1)
  for part in (values['overall'], *values['by_dataset'].values()):
    for name in metrics.METRICS:
      part[name].pop('interval_95', None)
  uf1 = values['overall']['uf1']['mean']
  header, row, _ = report.rows(values)
  assert row[header.index('UF1')] == f'{uf1:.3f}'
