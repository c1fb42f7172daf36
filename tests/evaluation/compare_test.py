"""Runs side by side: agreement of formats, pairing, and what is refused."""

import csv
import dataclasses
import io
import math
import threading

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from dianet_jax.core import errors
from dianet_jax.evaluation import compare
from tests.support import prediction_files


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """good and poor differ, poor and same do not; alone has one seed."""
  root = tmp_path_factory.mktemp('runs')
  made = {
    'good': prediction_files.rows(0.9, 20, rng_seed=1),
    'poor': prediction_files.rows(0.5, 20, rng_seed=2),
    'same': prediction_files.rows(0.5, 20, rng_seed=2),
    'alone': prediction_files.rows(0.6, 20, seeds=(0,), rng_seed=3),
  }
  return {
    name: prediction_files.write(root / name, rows)
    for name, rows in made.items()
  }


@pytest.fixture(scope='module')
def runs(folders):
  return {name: compare.load(path) for name, path in folders.items()}


def rows_of(text):
  return list(csv.DictReader(io.StringIO(text), strict=True))


def test_csv_agrees_with_scikit_learn(runs):
  rows = rows_of(compare.table(runs, 'csv', by_dataset=True))
  scores = {
    'accuracy': sklearn_metrics.accuracy_score,
    'uf1': lambda t, p: sklearn_metrics.f1_score(t, p, average='macro'),
    'uar': sklearn_metrics.balanced_accuracy_score,
  }
  checked = 0
  for row in rows:
    run = runs[row['run']]
    if row['dataset'] != 'all':
      run = run.only(run.datasets == row['dataset'])
    if row['against'] or row['measure'] not in scores:
      continue
    values = [
      scores[row['measure']](run.truth, seed) for seed in run.predictions
    ]
    assert float(row['value']) == pytest.approx(np.mean(values))
    if len(values) > 1:
      assert float(row['std']) == pytest.approx(np.std(values, ddof=1))
    else:
      assert row['std'] == ''
    assert float(row['low']) < float(row['value']) < float(row['high'])
    assert (int(row['n']), int(row['seeds'])) == (len(run.truth), len(values))
    assert int(row['folds']) == len(set(run.subjects))
    checked += 1
  assert checked == 4 * 3 * 3


def test_csv_has_every_class(runs):
  run = runs['good']
  rows = rows_of(compare.table({'good': run}, 'csv'))
  for measure, score in (
    ('f1', sklearn_metrics.f1_score),
    ('recall', sklearn_metrics.recall_score),
  ):
    values = np.mean(
      [score(run.truth, seed, average=None) for seed in run.predictions],
      axis=0,
    )
    found = [row for row in rows if row['measure'] == measure]
    assert [row['class'] for row in found] == list(run.classes)
    assert [float(row['value']) for row in found] == pytest.approx(values)
    counts = np.bincount(run.truth).tolist()
    assert [int(row['n']) for row in found] == counts


def test_a_planted_difference_is_significant_and_equal_runs_do_not_differ(runs):
  planted = compare.differences(runs['good'], runs['poor'])
  none = compare.differences(runs['same'], runs['poor'])
  for name, difference in planted.metrics.items():
    assert difference.value > 0.2 and difference.p < 0.001
    assert 0 < difference.interval[0] < difference.value
    assert difference.value < difference.interval[1]
    assert none.metrics[name] == compare.significance.Difference(
      0.0, (0.0, 0.0), 1.0, 1.0
    )
  assert planted.mcnemar.p < 0.01
  assert planted.mcnemar.only_first > planted.mcnemar.only_second
  assert (none.mcnemar.only_first, none.mcnemar.p) == (0, 1)


def test_swapping_the_runs_changes_the_sign(runs):
  forth = compare.differences(runs['good'], runs['poor'])
  back = compare.differences(runs['poor'], runs['good'])
  for name, difference in forth.metrics.items():
    other = back.metrics[name]
    assert difference.value == pytest.approx(-other.value)
    assert difference.interval == pytest.approx(
      [-bound for bound in reversed(other.interval)]
    )
    assert difference.p == other.p
  assert forth.mcnemar.only_first == back.mcnemar.only_second


def test_mcnemar_votes_by_the_mean_probability_of_the_seeds(runs):
  a, b = runs['good'], runs['poor']
  right = [
    run.probabilities.mean(axis=0).argmax(axis=-1) == run.truth
    for run in (a, b)
  ]
  test = compare.differences(a, b).mcnemar
  assert test.only_first == np.sum(right[0] & ~right[1])
  assert test.only_second == np.sum(~right[0] & right[1])


def test_unequal_numbers_of_seeds_are_reported(runs):
  pair = {'poor': runs['poor'], 'alone': runs['alone']}
  assert compare.differences(*pair.values()).seeds == 1
  text = compare.table(pair)
  assert 'alone - poor: the numbers of seeds differ, so the first 1' in text
  assert 'unequal' not in compare.table({'a': runs['good'], 'b': runs['poor']})


@settings(max_examples=10, deadline=None)
@given(
  order=st.permutations(range(3)),
  names=st.lists(st.integers(-99, 99), min_size=3, max_size=3, unique=True),
)
def test_names_and_order_of_seeds_do_not_matter(tmp_path_factory, order, names):
  rows = prediction_files.rows(seeds=(0, 1, 2), rng_seed=4)
  other = prediction_files.rows(seeds=(0, 1, 2), skill=0.6, rng_seed=5)
  root = tmp_path_factory.mktemp('runs')

  def values(suffix):
    return [
      compare.load(prediction_files.write(root / f'{which}{suffix}', one))
      for which, one in (('a', rows), ('b', other))
    ]

  plain = values('')
  for row in rows + other:
    row['seed'] = str(names[order[int(row['seed'])]])
  turned = values('turned')
  before, after = (compare.differences(*pair) for pair in (plain, turned))
  assert after.mcnemar == before.mcnemar
  for name, difference in before.metrics.items():
    assert after.metrics[name].value == pytest.approx(difference.value)
    assert after.metrics[name].interval == pytest.approx(difference.interval)
    assert after.metrics[name].p == difference.p


def test_several_comparisons_are_adjusted(runs):
  rows = rows_of(compare.table(runs, 'csv', all_pairs=True))
  paired = [row for row in rows if row['against']]
  assert len(paired) == 6 * 4
  for measure in ('accuracy', 'uf1', 'uar', 'clips'):
    family = [row for row in paired if row['measure'] == measure]
    p_values, adjusted = (
      [float(row[key]) for row in family] for key in ('p', 'p_holm')
    )
    assert adjusted == pytest.approx(compare.significance.holm(p_values))
  two = dict(list(runs.items())[:2])
  assert 'Holm' in compare.table(runs) and 'Holm' not in compare.table(two)


def test_the_reference_can_be_chosen(runs):
  rows = rows_of(compare.table(runs, 'csv', against='same'))
  assert {row['against'] for row in rows} == {'', 'same'}
  assert {row['run'] for row in rows if row['against']} == set(runs) - {'same'}
  with pytest.raises(errors.UserError, match="'other'.*good, poor"):
    compare.table(runs, against='other')


def test_all_formats_have_the_same_values(runs):
  values = {
    (row['run'], row['measure']): float(row['value'])
    for row in rows_of(compare.table(runs, 'csv'))
    if not row['against'] and not row['class']
  }
  for format_ in ('text', 'markdown', 'latex'):
    text = compare.table(runs, format_)
    assert '10,000' in text and '95 ' in text
    for value in values.values():
      assert f'{value:.3f}' in text
  with pytest.raises(errors.UserError, match="'html'.*text, markdown"):
    compare.table(runs, 'html')


def test_comparing_no_runs_is_refused():
  with pytest.raises(errors.UserError, match='no run'):
    compare.table({})


def test_one_run_has_no_differences(runs):
  text = compare.table({'good': runs['good']})
  assert 'difference' not in text and 'good' in text


def changed(tmp_path, change, **options):
  """CSV comparison of a run and the same run after `change` of its rows."""
  rows = prediction_files.rows()
  first = compare.load(prediction_files.write(tmp_path / 'a', rows))
  rows = change(rows) or rows
  second = compare.load(prediction_files.write(tmp_path / 'b', rows))
  return compare.table({'a': first, 'b': second}, **options)


def test_different_clips_are_refused_without_the_option_common(tmp_path):
  def shorten(rows):
    gone = {rows[0]['clip_id'], rows[5]['clip_id']}
    return [row for row in rows if row['clip_id'] not in gone]

  message = (
    "a and b.*2 only in the first .'casme2/s00/c000', 'samm/s01/c005'.*--common"
  )
  with pytest.raises(errors.UserError, match=message):
    changed(tmp_path, shorten)
  text = changed(tmp_path, shorten, common=True)
  assert 'a: 2 of 40 clips are left out' in text and 'b: ' not in text
  text = changed(tmp_path, shorten, common=True, format='csv')
  left_out = {(row['run'], row['left_out']) for row in rows_of(text)}
  assert left_out == {('a', '2'), ('b', '0')}


def test_runs_without_a_common_clip_are_refused(tmp_path):
  def rename(rows):
    for row in rows:
      row['clip_id'] += 'x'

  with pytest.raises(errors.UserError, match='a, b have no clip in common'):
    changed(tmp_path, rename, common=True)


@pytest.mark.parametrize('common', [False, True])
def test_different_truth_or_subjects_are_refused(tmp_path, common):
  def relabel(rows):
    for row in rows:
      if row['clip_id'].endswith('c007'):
        row['truth'] = 'surprise'

  with pytest.raises(errors.UserError, match="truth of 1 clip.*c007.*'surpr"):
    changed(tmp_path, relabel, common=common)

  def regroup(rows):
    for row in rows:
      if row['clip_id'].endswith('c007'):
        row['fold'] = 'samm/s99'

  with pytest.raises(errors.UserError, match="subject of 1 clip.*c007.*'samm/"):
    changed(tmp_path, regroup, common=common)


def test_different_classes_are_refused(tmp_path):
  def rename(rows):
    return [
      {key.replace('surprise', 'x'): v for key, v in row.items()}
      | {k: row[k].replace('surprise', 'x') for k in ('truth', 'prediction')}
      for row in rows
    ]

  with pytest.raises(errors.UserError, match='classes negative, .*positive, x'):
    changed(tmp_path, rename)


def test_the_order_of_classes_does_not_matter(tmp_path):
  def turn(rows):
    return [dict(reversed(row.items())) for row in rows]

  rows = rows_of(changed_csv(tmp_path, turn))
  assert {float(r['value']) for r in rows if r['against']} == {0.0}


def changed_csv(tmp_path, change):
  rows = prediction_files.rows()
  first = compare.load(prediction_files.write(tmp_path / 'a', rows))
  second = compare.load(prediction_files.write(tmp_path / 'b', change(rows)))
  return compare.table({'a': first, 'b': second}, 'csv')


def test_simulated_data_are_marked_in_every_format(tmp_path, folders):
  folder = prediction_files.write(tmp_path / 'sim', prediction_files.rows())
  (folder / 'metrics.json').write_text('{"simulated": true}')
  run = compare.load(folder)
  for format_ in compare.FORMATS:
    assert 'SIMULATED DATA' in compare.table({'sim': run}, format_)
  assert 'SIMULATED DATA, all clips' in compare.table({'sim': run})
  real = compare.load(folders['good'])
  text = compare.table({'real': real, 'sim': run}, common=True)
  assert 'SIMULATED DATA (sim), all clips' in text


def test_command_compares_folders_and_files(folders, tmp_path, capsys):
  paths = [str(folders['good']), str(folders['poor'] / 'predictions.csv')]
  compare.main([*paths, f'short={folders["same"]}', '--by_dataset'])
  text = capsys.readouterr().out
  assert 'poor - good' in text and 'short - good' in text and 'samm' in text
  output = tmp_path / 'table.csv'
  compare.main([*paths, '--format=csv', f'--output={output}'])
  assert capsys.readouterr().out == ''
  rows = rows_of(output.read_text())
  assert all(math.isfinite(float(row['value'])) for row in rows)


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['nothing'], 'nothing.*No such file'),
    (['good', 'good'], "Two runs are named 'good'"),
    (['x=good', 'x=poor'], "Two runs are named 'x'.*NAME=RUN"),
    (['good', 'x=poor', '--against=poor'], "against 'poor'"),
    (['good', '--output=no/where'], '--output=no/where cannot'),
  ],
)
def test_command_line_errors(folders, monkeypatch, arguments, message):
  monkeypatch.chdir(folders['good'].parent)
  with pytest.raises(errors.UserError, match=message):
    compare.main(arguments)


def test_runs_with_equal_names_are_shown_by_their_paths(tmp_path, capsys):
  paths = [
    str(prediction_files.write(tmp_path / name / 'run', rows))
    for name, rows in (
      ('a', prediction_files.rows()),
      ('b', prediction_files.rows(rng_seed=1)),
    )
  ]
  compare.main(paths)
  assert f'{paths[1]} - {paths[0]}' in capsys.readouterr().out


def test_more_classes_than_memory_can_hold_are_refused(runs):
  one = next(iter(runs.values()))
  classes = (*one.classes, *(f'class {n}' for n in range(300)))
  zeros = np.zeros((*one.predictions.shape, 300))
  probabilities = np.concatenate([one.probabilities, zeros], axis=-1)
  many = dataclasses.replace(one, classes=classes, probabilities=probabilities)
  with pytest.raises(errors.UserError, match='303 classes and . seeds are too'):
    compare.table({'many': many})


def test_a_long_comparison_shows_progress_on_stderr(
  folders, monkeypatch, capsys
):
  printed = threading.Event()
  table, print_ = compare.table, compare.progress.error_console.print

  def slow(*arguments, **options):
    assert printed.wait(60)
    return table(*arguments, **options)

  def note(line):
    print_(line)
    printed.set()

  monkeypatch.setattr(compare.progress, 'FIRST_LINE_SECONDS', 0.01)
  monkeypatch.setattr(compare.progress.error_console, 'print', note)
  monkeypatch.setattr(compare, 'table', slow)
  compare.main([str(folder) for folder in folders.values()])
  captured = capsys.readouterr()
  # The table may go to a file.
  assert 'Comparing' in captured.err and 'Comparing' not in captured.out
