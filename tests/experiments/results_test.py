"""The committed results follow from their predictions, and pages quote them."""

import csv
import json
import pathlib

import numpy as np
import pytest

from dianet_jax.evaluation import compare, metrics, predictions
from dianet_jax.experiments import ablation

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / 'benchmarks/results'
FOLDERS = sorted(path.parent for path in RESULTS.rglob('metrics.json'))
STUDIES = sorted(path.parent for path in RESULTS.rglob('ablation.json'))
PAGES = '\n'.join(
  (ROOT / page).read_text() for page in ('README.md', 'docs/evaluation.md')
)


def name(folder):
  return str(folder.relative_to(RESULTS))


@pytest.mark.parametrize('folder', FOLDERS, ids=name)
def test_metrics_follow_from_the_predictions(folder):
  summary = json.loads((folder / 'metrics.json').read_text())
  classes = summary['classes']
  with (folder / 'predictions.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  # Across data sets the column names the tested subject, no fold.
  held_out = 'dataset' if summary.get('cross_dataset') else 'fold'
  assert len({row[held_out] for row in rows}) == summary['folds']
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


@pytest.mark.parametrize('folder', FOLDERS, ids=name)
def test_intervals_follow_from_the_predictions(folder):
  summary = json.loads((folder / 'metrics.json').read_text())
  run = predictions.load(folder)
  for part, committed in (
    ('', summary['overall']),
    *summary['by_dataset'].items(),
  ):
    chosen = run.only(run.datasets == part) if part else run
    made = metrics.summarise(
      chosen.truth, chosen.predictions, chosen.classes, chosen.subjects
    )
    for name in metrics.METRICS:
      for interval in ('interval_95', 'chance_95'):
        assert made[name][interval] == pytest.approx(committed[name][interval])
    for key in ('f1_per_class', 'recall_per_class', 'clips_per_class'):
      assert made[key] == pytest.approx(committed[key])


def mean_and_deviation(metric):
  mean, deviation = metric['mean'], metric['std']
  return f'{mean:.3f}' + (f' ± {deviation:.3f}' if deviation else '')


def interval(metric, key='interval_95'):
  return '{:.3f} to {:.3f}'.format(*metric[key])


@pytest.mark.parametrize(
  'folder', ['ablation-megc2019/dual-cross-attention', 'nested-megc2019']
)
def test_pages_quote_the_committed_results(folder):
  summary = json.loads((RESULTS / folder / 'metrics.json').read_text())
  parts = {'all': summary['overall'], **summary['by_dataset']}
  names = {'casme2': 'CASME II', 'samm': 'SAMM', 'all': 'all'}
  for part, committed in parts.items():
    folds = committed.get('folds', summary['folds'])
    uf1 = committed['uf1']
    cells = [names[part], str(committed['n']), str(folds)]
    cells += [
      mean_and_deviation(committed['accuracy']),
      mean_and_deviation(uf1),
    ]
    cells += [interval(uf1), mean_and_deviation(committed['uar'])]
    line = f'| {" | ".join(cells)} |'
    if 'ablation' in folder:
      line += f' {interval(uf1, "chance_95")} |'
    assert line in PAGES


ABLATIONS = [path for path in STUDIES if path.match('ablation-*')]


@pytest.mark.parametrize('folder', ABLATIONS, ids=name)
def test_pages_quote_the_committed_tables(folder):
  study = json.loads((folder / 'ablation.json').read_text())
  table = (folder / 'ablation.md').read_text()
  first = study['rows'][0]['name']
  for row in study['rows']:
    if 'left_out' in row:
      assert f'| {row["name"]} | left out' in PAGES
      continue
    summary = json.loads((folder / row['folder'] / 'metrics.json').read_text())
    committed = [summary['overall'], *summary['by_dataset'].values()]
    values = [mean_and_deviation(part['uf1']) for part in committed]
    cells = [row['name'], values[0], interval(committed[0]['uf1'])]
    cells += values[1:] if len(committed) > 2 else []
    if row['name'] != first:
      start = f'| {row["name"]} - {first} | UF1 | '
      line = next(x for x in table.splitlines() if x.startswith(start))
      difference, of_it, _, holm = line[len(start) : -2].split(' | ')
      cells += [difference, of_it, holm.replace('\\', '')]
    assert f'| {" | ".join(cells)} |' in PAGES


@pytest.mark.slow
@pytest.mark.parametrize('folder', STUDIES, ids=name)
def test_tables_follow_from_the_predictions(folder):
  study = json.loads((folder / 'ablation.json').read_text())
  runs = {
    row['name']: compare.load(folder / row['folder'])
    for row in study['rows']
    if 'folder' in row
  }
  made = compare.table(runs, 'markdown', by_dataset=True)
  assert made in (folder / 'ablation.md').read_text()


def test_the_leaderboard_follows_from_the_committed_results():
  folder = RESULTS / 'zoo-megc2019'
  study = json.loads((folder / 'ablation.json').read_text())
  committed = (folder / 'ablation.md').read_text()
  assert ablation.markdown(folder, study) == committed
  assert 'leaderboard, samm' in committed


def test_pages_quote_the_leaderboard():
  folder = RESULTS / 'zoo-megc2019'
  section = PAGES.split('\n## Published systems, one protocol\n')[1]
  lines = [x for x in section.split('\n## ')[0].splitlines() if '| 0.' in x]
  quoted = {line.strip('| ').split(' | ')[0]: line for line in lines}
  assert len(quoted) == len(lines) >= 5
  for row in json.loads((folder / 'ablation.json').read_text())['rows']:
    if line := quoted.pop(row['name'], None):
      uf1 = json.loads((folder / row['folder'] / 'metrics.json').read_text())
      uf1 = uf1['overall']['uf1']
      assert len(uf1['seeds']) == 3
      begin = f'| {row["name"]} | {uf1["mean"]:.3f} | {interval(uf1)} |'
      assert line.startswith(begin)
  assert not quoted


def test_pages_quote_a_comparison():
  begin = PAGES.index('$ dianet compare \\')
  lines = PAGES[begin:].split('\n```')[0].splitlines()
  arguments = ' '.join(line.rstrip('\\').strip() for line in lines[1:3]).split()
  runs = dict(argument.split('=') for argument in arguments)
  loaded = {key: compare.load(ROOT / path) for key, path in runs.items()}
  made = compare.table(loaded, 'text').splitlines()
  assert [line.rstrip() for line in made] == lines[3:]
