"""An ablation: rows that run, resume, and are compared."""

import csv
import json

import pytest

from dianet_jax.core import errors
from dianet_jax.experiments import ablation, export, run, workdirs
from dianet_jax.experiments import rows as rows_lib
from dianet_jax.training import resume as resume_lib
from tests.experiments.conftest import ROWS


@pytest.mark.slow
def test_an_ablation_runs_and_resumes(make, tmp_path, capsys, monkeypatch):
  workdir = tmp_path / 'study'
  result = ablation.run(make(), workdir)
  shown = capsys.readouterr().out
  assert '2 of 3 rows can be run' in shown
  assert 'Row 2 of 2: first only' in shown
  assert shown.count('for the rest of the study') == 2
  # The reference is the first row that runs; each data set has its tables.
  markdown = (workdir / 'ablation.md').read_text()
  for text in (shown, markdown):
    assert 'first only - Both, added' in text and 'samm, differences' in text
    assert 'whole: left out, megc2019' in text
    assert 'leaderboard, samm' in text
  assert '| run' in markdown and '| run' not in shown
  assert result == json.loads((workdir / 'ablation.json').read_text())
  assert [list(row)[2] for row in result['rows']] == [
    'left_out', 'folder', 'folder',
  ]  # fmt: skip
  with (workdir / 'first-only' / 'predictions.csv').open() as file:
    assert len(list(csv.DictReader(file))) == 18

  (workdir / 'ablation.json').unlink()
  monkeypatch.setattr(resume_lib, 'train_folds', None)
  assert ablation.run(make(), workdir)['rows'] == result['rows']
  assert 'This run is finished' in capsys.readouterr().out
  # A row may go, and come back.
  fewer = ablation.run(make(study__rows=ROWS[1:]), workdir)
  assert fewer['rows'] == result['rows'][1:]
  for other in (make(seed=2), make(study__kind='nested', study__groups=3)):
    with pytest.raises(errors.UserError, match='another configuration'):
      ablation.run(other, workdir)
  plain = make(study__kind='', study__rows=())
  with pytest.raises(errors.UserError, match='study.kind: .ablation. there'):
    run.run(plain, workdir)


@pytest.mark.slow
def test_a_study_trains_the_seeds_that_its_rows_lack(make, tmp_path, capsys):
  rows = (ROWS[2], ROWS[1] + ' seeds=1')
  ablation.run(make(study__rows=rows), tmp_path)
  capsys.readouterr()
  ablation.run(make(study__rows=rows, seeds=2), tmp_path)
  shown = capsys.readouterr().out
  assert '6 of 12 trainings are finished' in shown
  assert f'This run is finished: {tmp_path / "both-added"}' in shown
  recorded = workdirs.load_config(tmp_path)
  assert (recorded.seeds, recorded.study.rows) == (2, rows)
  seeds = {
    folder: workdirs.load_summary(tmp_path / folder)['seeds']
    for folder in ('first-only', 'both-added')
  }
  assert seeds == {'first-only': [0, 1], 'both-added': [0]}


@pytest.mark.slow
def test_some_rows_are_trained_first(make, tmp_path, capsys):
  result = ablation.run(make(study__only=('first only',)), tmp_path)
  assert (
    '2 of 3 rows can be run, 1 to be trained now.' in capsys.readouterr().out
  )
  assert [list(row)[2] for row in result['rows']] == [
    'left_out', 'missing', 'folder',
  ]  # fmt: skip
  result = ablation.run(make(study__only=('Both, added',)), tmp_path)
  assert 'This run is finished' in capsys.readouterr().out
  assert [list(row)[2] for row in result['rows']] == [
    'left_out', 'folder', 'folder',
  ]  # fmt: skip
  # What has a result with fewer seeds is shown, too.
  changes = {'study__only': ('Both, added',), 'seeds': 2}
  result = ablation.run(make(**changes), tmp_path)
  assert [list(row)[2] for row in result['rows']] == [
    'left_out', 'folder', 'folder',
  ]  # fmt: skip
  table = (tmp_path / 'ablation.md').read_text()
  assert 'first only - Both, added: the numbers of seeds differ' in table


def test_rows_that_are_not_there_are_named(make, tmp_path):
  for name in ('first', 'whole'):
    with pytest.raises(
      errors.UserError, match=f'{name}.*There are: Both, added; first only'
    ):
      ablation.run(make(study__only=(name,)), tmp_path)
  with pytest.raises(errors.UserError, match='study.only'):
    make(study__only=('Both, added',), study__kind='nested')


@pytest.mark.slow
def test_a_failing_row_is_reported_and_the_others_run(
  make, tmp_path, capsys, monkeypatch
):
  real = run.run

  def fails(config, *args):
    if config.name == 'Both, added':
      raise MemoryError('too large')
    return real(config, *args)

  monkeypatch.setattr(run, 'run', fails)
  with pytest.raises(errors.UserError, match='1 of 2 rows.*added: MemoryError'):
    ablation.run(make(), tmp_path / 'study')
  assert 'Both, added FAILED: MemoryError: too large' in capsys.readouterr().out
  result = json.loads((tmp_path / 'study/ablation.json').read_text())
  assert [list(row)[2] for row in result['rows']] == [
    'left_out', 'failed', 'folder',
  ]  # fmt: skip
  assert 'failed, MemoryError' in (tmp_path / 'study/ablation.md').read_text()
  # Mended, the same command goes on with what is missing.
  monkeypatch.setattr(run, 'run', real)
  result = ablation.run(make(), tmp_path / 'study')
  assert 'folder' in result['rows'][1]


def test_rows_of_changed_data_are_not_mixed(make, tmp_path, monkeypatch):
  row = tmp_path / 'study' / 'first-only'
  row.mkdir(parents=True)
  (row / 'data.json').write_text('{"fingerprint": "old", "simulated": false}')
  monkeypatch.setattr(resume_lib, 'train_folds', None)
  with pytest.raises(errors.UserError, match='data have changed.*first-only'):
    ablation.run(make(), tmp_path / 'study')


def test_a_row_whose_input_the_clips_lack_is_left_out(make):
  positions = "model.name=causalnet data.inputs=('flow_and_positions',)"
  positions += ' model.position_images=stored model.width=8'
  rows = (f'positions: {positions}', *ROWS[1:])
  found = rows_lib.parse(make(study__rows=rows))
  assert not any(row.unsupported for row in found)
  ready, lacking = rows_lib.load_rows(found, run.read_dataset)
  assert [one.row.name for one in ready] == ['Both, added', 'first only']
  names = [row.name for row in rows_lib.with_reasons(found, lacking)]
  assert names == [row.name for row in found]
  [row] = lacking
  assert row.name == 'positions' and 'no position images' in row.unsupported
  with pytest.raises(errors.MissingInputError):
    rows_lib.load_rows(found[:1], run.read_dataset)
  # Nor can what such a row trains be made of the frames of a video.
  with pytest.raises(errors.UserError, match='position_images=derived'):
    export._refuse_stored_positions(row.config)


def test_rows_on_other_clips_are_refused(make, tmp_path, monkeypatch):
  monkeypatch.setattr(resume_lib, 'train_folds', None)
  rows = (*ROWS, 'x: data.permute_labels=true')
  with pytest.raises(
    errors.UserError, match="'x': its labels differ from those"
  ):
    ablation.run(make(study__rows=rows), tmp_path / 'study')
