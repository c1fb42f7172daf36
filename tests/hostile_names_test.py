"""Hostile names of folders, classes and runs are escaped in every output."""

import csv
import dataclasses
import html
import re

import numpy as np
import pytest

from dianet_jax.core import config as config_lib
from dianet_jax.core import errors, escape
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.evaluation import compare, page, predictions, report
from dianet_jax.motion.registry import Channel
from dianet_jax.training import checkpoints
from dianet_jax.training.results import FoldResult
from tests.support import hostile, prediction_files

# Those with control characters never get as far as a data set.
PLAIN = tuple(name for name in hostile.NAMES if escape.is_plain(name))
COMMANDS = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]')


@pytest.fixture(scope='module')
def dataset():
  """Every plain name is a subject, a class and a clip; notes hold all."""
  clips = len(PLAIN)
  return dataset_lib.Dataset(
    clips=tuple(dataset_lib.Clip(f'{n}/{n}', n, '=data', n, '') for n in PLAIN),
    inputs={'images': np.zeros((1, clips, 1, 4, 4, 1), np.float32)},
    representations={'images': 'dynamic_images'},
    channels={'images': (Channel('grey', ''),)},
    views={'images': ('onset to apex',)},
    labels=np.arange(clips, dtype=np.int32),
    classes=PLAIN,
    simulated=False,
    control=False,
    fingerprint='',
    notes=hostile.NAMES,
  )


@pytest.fixture(scope='module')
def results():
  number = len(PLAIN)
  return [
    FoldResult(
      subject=name,
      seed=0,
      variables={'params': np.ones(3, np.float32)},
      loss=np.ones(1, np.float32),
      accuracy=np.ones(1, np.float32),
      test_index=np.array([index]),
      probabilities=np.eye(number)[[index]],
      made_by=('float32, loop, cpu',),
    )
    for index, name in enumerate(PLAIN)
  ]


@pytest.fixture
def written(dataset, results, tmp_path):
  """predictions.csv of two runs, and the pooled result."""
  pooled = report.pool(results, len(PLAIN))
  for run in ('one', 'two'):
    (tmp_path / run).mkdir()
    predictions.write(tmp_path / run / 'predictions.csv', dataset, pooled)
  return pooled


def test_csv(written, dataset, tmp_path):
  with (tmp_path / 'one' / 'predictions.csv').open(newline='') as file:
    rows = list(csv.reader(file))
  for cell in (cell for row in rows for cell in row):
    assert not cell.startswith(tuple('=+-@'))
  read = predictions.load(tmp_path / 'one')
  assert read.classes == PLAIN
  assert sorted(read.subjects.tolist()) == sorted(dataset.subjects)
  assert {clip for _, clip in read.clips} == {
    clip.clip_id for clip in dataset.clips
  }


@pytest.mark.parametrize('key', ['fold', 'clip_id', 'dataset', 'p_positive'])
def test_control_characters_in_a_file_are_refused(tmp_path, key):
  rows = prediction_files.rows(subjects=2)
  if key.startswith('p_'):
    rows = [
      {f'{k}\x1b[2J' if k == key else k: row[k] for k in row} for row in rows
    ]
  else:
    rows[3][key] += '\x1b[2J'
  run = prediction_files.write(tmp_path / 'run', rows)
  with pytest.raises(errors.UserError, match='holds a control character'):
    predictions.load(run)


@pytest.mark.parametrize('format_', compare.FORMATS)
def test_comparisons(written, tmp_path, capsys, format_):
  runs = [
    f'{n}={tmp_path / run}' for n, run in (('=a\x1b[2J', 'one'), ('b', 'two'))
  ]
  # An equals sign in front is no name.
  runs[0] = runs[0].replace('=a', '@a', 1)
  compare.main([*runs, f'--format={format_}'])
  out = capsys.readouterr().out
  assert not COMMANDS.search(out)
  if format_ == 'csv':
    rows = list(csv.DictReader(out.splitlines()))
    for row in rows:
      for key in ('run', 'against', 'dataset', 'class'):
        assert not row[key].startswith(tuple('=+-@'))
    assert {row['run'] for row in rows} == {"'@a\\x1b[2J", 'b'}


def test_pages(written, dataset, results, tmp_path):
  summary = report.summarise('n', dataset, written, [(PLAIN[0], 1)])
  summary['trained_by'] = {'[/bold]': 1}
  path = tmp_path / 'report.html'
  page.write(
    path,
    config_lib.Config(name='n'),
    dataset,
    written,
    results,
    summary,
    {},
    {},
  )
  text = path.read_text()
  assert not COMMANDS.search(text)
  assert '<script' not in text and '<img src=x>' not in text
  for name in hostile.NAMES:
    assert escape.shown(name) in html.unescape(text)


def test_terminal(written, dataset, capsys):
  summary = report.summarise('[/bold]x', dataset, written, [])
  report.print_table(summary)
  out = capsys.readouterr().out
  assert '[/bold]x' in out and not COMMANDS.search(out)


def test_files_and_tensorboard(results, tmp_path):
  workdir = tmp_path / 'run'
  report.write_events(workdir / 'tensorboard', results)
  saved = checkpoints.Checkpoints(workdir)
  for result in results:
    saved.save(result)
  saved.wait()
  for result in results:
    assert saved.holds(0, result.subject)
    assert saved.load(0, result.subject).subject == result.subject
  saved.close()
  assert [path.name for path in tmp_path.iterdir()] == ['run']
  names = {escape.file_name(name) for name in PLAIN}
  for kind in ('checkpoints', 'weights', 'tensorboard'):
    found = {path.name for path in (workdir / kind / 'seed0').iterdir()}
    assert found == names and len(names) == len(PLAIN)


@pytest.mark.parametrize('name', ['a[b]', 'a\\b'])
def test_workdirs_that_orbax_would_search_by_pattern(tmp_path, name):
  with pytest.raises(errors.UserError, match='cannot be read from'):
    checkpoints.Checkpoints(tmp_path / name)


def test_subjects_that_would_share_a_folder():
  checkpoints.check_names(['a/b', 'c', 'a/b'])
  with pytest.raises(errors.UserError, match="'a/b' and 'a_b' would be in one"):
    checkpoints.check_names(['a/b', 'c', 'a_b'])


@pytest.mark.parametrize('field', ['clip_id', 'subject', 'emotion'])
def test_control_characters_in_records_are_refused(field):
  record = dict.fromkeys(
    ('clip_id', 'subject', 'dataset', 'emotion', 'notes'), b'x'
  )
  dataset_lib._clip(record, simulated=False)
  with pytest.raises(errors.UserError, match=r"'x\\x1b\[2J'.* Rename it"):
    dataset_lib._clip(record | {field: b'x\x1b[2J'}, simulated=False)


def test_all_names_of_a_clip_are_tested():
  assert {f.name for f in dataclasses.fields(dataset_lib.Clip)} == {
    'clip_id', 'subject', 'dataset', 'emotion', 'notes'
  }  # fmt: skip
