"""The kept results are what their predictions say, and what README says."""

import csv
import json
import pathlib

import numpy as np
import pytest

from dianet_jax import metrics, predictions

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = sorted(
  path.parent for path in ROOT.glob('benchmarks/results/*/metrics.json')
)


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda folder: folder.name)
def test_metrics_follow_from_the_predictions(folder):
  summary = json.loads((folder / 'metrics.json').read_text())
  classes = summary['classes']
  with (folder / 'predictions.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert len({row['fold'] for row in rows}) == summary['folds']
  for index, seed in enumerate(summary['seeds']):
    chosen = [row for row in rows if row['seed'] == str(seed)]
    assert len(chosen) == summary['overall']['n']
    truth, prediction = (
      np.array([classes.index(row[key]) for row in chosen])
      for key in ('truth', 'prediction')
    )
    confusion = metrics.confusion_matrix(truth, prediction, len(classes))
    for name, metric in metrics.METRICS.items():
      assert metric(confusion) == pytest.approx(
        summary['overall'][name]['seeds'][index]
      )


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda folder: folder.name)
def test_intervals_follow_from_the_predictions(folder):
  summary = json.loads((folder / 'metrics.json').read_text())
  run = predictions.load(folder)
  for part, kept in (('', summary['overall']), *summary['by_dataset'].items()):
    chosen = run.only(run.datasets == part) if part else run
    made = metrics.summarise(
      chosen.truth, chosen.predictions, chosen.classes, chosen.subjects
    )
    for name in metrics.METRICS:
      for interval in ('interval_95', 'chance_95'):
        assert made[name][interval] == pytest.approx(kept[name][interval])
    for key in ('f1_per_class', 'recall_per_class', 'clips_per_class'):
      assert made[key] == pytest.approx(kept[key])


def test_readme_quotes_the_kept_result():
  summary = json.loads(
    (ROOT / 'benchmarks/results/megc2019/metrics.json').read_text()
  )
  uf1 = summary['overall']['uf1']
  quoted = f'{uf1["mean"]:.3f} ± {uf1["std"]:.3f}'
  text = (ROOT / 'README.md').read_text()
  assert quoted in text
  for interval in ('interval_95', 'chance_95'):
    low, high = uf1[interval]
    assert f'{low:.3f} to {high:.3f}' in text
