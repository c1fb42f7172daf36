"""Studies: rows, and an ablation that resumes."""

import csv
import importlib
import json

import pytest

from dianet_jax.core import config as configuration
from dianet_jax.core import errors
from dianet_jax.data import folds as folds_lib
from dianet_jax.experiments import run, study
from dianet_jax.training import resume as resume_lib
from tests.data.dataset_test import write_flow
from tests.experiments.run_test import flow_rows

ROWS = (
  "whole: data.phases=('onset_offset',) model.fusion=first_phase",
  'Both, added: model.fusion=add',
  'first only: model.fusion=first_phase train.learning_rate=2e-3',
)


@pytest.fixture(scope='module')
def flow(tmp_path_factory):
  return write_flow(tmp_path_factory.mktemp('flow'), flow_rows())


@pytest.fixture
def make(make_config, flow):
  def make_study(module='megc2019', **overrides):
    overrides = {
      'data__manual_dir': str(flow),
      'seeds': 1,
      'train__epochs': 1,
      'study__kind': 'ablation',
      'study__rows': ROWS,
    } | overrides
    source = importlib.import_module(f'configs.{module}')
    return make_config(source, **overrides)

  return make_study


def test_rows_are_configurations(make):
  config = make()
  whole, both, first = study.rows(config)
  assert both.config.model.fusion == 'add' and both.folder == 'both-added'
  assert first.config.train.learning_rate == 2e-3
  assert first.config.data == config.data and first.phases_read == 1
  assert both.phases_read == 2 and not both.lacking
  assert whole.config.data.phases == ('onset_offset',)
  assert 'not the whole clip' in whole.lacking
  for row in (whole, both, first):
    assert row.config.study.kind == '' and row.config.study.rows == ()
    assert row.config.name == row.name


@pytest.mark.parametrize(
  'row,message',
  [
    ('no colon', 'expected .name: key=value'),
    (': train.epochs=1', 'expected .name: key=value'),
    ('x: model.fusion add', "'model.fusion add' is not key=value"),
    ('x: train.epochs=1 train.epochs=2', 'train.epochs is set twice'),
    ('x: name=y', 'name is one for all rows'),
    ('x: study.groups=4', 'study.groups is one for all rows'),
    ('x: seed=1', 'seed is one for all rows'),
    ('x: seeds=2', 'seeds is one for all rows'),
    ('x: evaluation.ensemble=2', 'evaluation.ensemble is one for all rows'),
    ('x: model={}', 'model is not a configuration key'),
    ('x: model.fusion={[]: 1}', 'expected one of|out of range'),
    ('x: train.epoch=1', 'nearest is --config.train.epochs'),
    ('x: epochs=1', 'nearest is --config.train.epochs'),
    ('x: data.phases.no=1', 'is not a configuration key'),
    ('x: train.epochs=many', "'x: train.epochs=many': .* expected int"),
    ('x: train.epochs=0', 'expected at least 1'),
    ('both added: train.epochs=1', "two rows are called 'Both, added'"),
  ],
)
def test_mistakes_in_rows_are_named(make, row, message):
  with pytest.raises(errors.UserError, match=message):
    study.rows(make(study__rows=(*ROWS, row)))


def test_blanks_may_follow_commas(make):
  row = "x: data.phases=('onset_apex', 'apex_offset')  train.epochs=3"
  (found,) = study.rows(make(study__rows=(row,)))
  assert found.config.data.phases == ('onset_apex', 'apex_offset')
  assert found.config.train.epochs == 3


def test_nothing_to_run(make):
  with pytest.raises(errors.UserError, match='can feed none'):
    study.rows(make(study__rows=ROWS[:1]))


@pytest.mark.parametrize('base', ['demo', 'megc2019', 'samm'])
@pytest.mark.parametrize('kind', ['ablation', 'nested'])
def test_shipped_studies_can_start_from_every_config(kind, base):
  module = importlib.import_module(f'configs.{kind}')
  config = configuration.from_mapping(module.get_config(base).to_dict())
  found = study.rows(config)
  assert config.study.kind == kind and config.data.dataset in (
    'casme2', 'megc2019_flow', 'samm',
  )  # fmt: skip
  lacking = [row.name for row in found if row.lacking]
  expected = base == 'megc2019' and kind == 'ablation'
  assert lacking == (['whole clip'] if expected else [])


def test_the_ablation_has_the_rows_of_the_question():
  module = importlib.import_module('configs.ablation')
  values = module.get_config('casme2').to_dict()
  rows = {r.name: r for r in study.rows(configuration.from_mapping(values))}
  assert next(iter(rows)) == 'dual cross-attention'
  assert {name: row.phases_read for name, row in rows.items()} == {
    'dual cross-attention': 2,
    'whole clip': 1,
    'onset-apex only': 1,
    'apex-offset only': 1,
    'dual concat': 2,
    'dual add': 2,
    'dual gated': 2,
    'dual cross-attention shared': 2,
    'phase-aware augmentation': 3,
  }


def test_an_unknown_base_is_named():
  module = importlib.import_module('configs.ablation')
  with pytest.raises(errors.UserError, match="'nope' is no .* casme2"):
    module.get_config('nope')


def test_an_ablation_runs_and_resumes(make, tmp_path, capsys, monkeypatch):
  workdir = tmp_path / 'study'
  held = study.run(make(), workdir)
  shown = capsys.readouterr().out
  assert '2 of 3 rows can be run' in shown
  assert 'Row 2 of 2: first only' in shown
  assert shown.count('for all that is left of the study') == 2
  # The reference is the first row that runs; each data set has its tables.
  markdown = (workdir / 'ablation.md').read_text()
  for text in (shown, markdown):
    assert 'first only - Both, added' in text and 'samm, differences' in text
    assert 'whole: left out, megc2019_flow' in text
  assert '| run' in markdown and '| run' not in shown
  assert held == json.loads((workdir / 'ablation.json').read_text())
  assert [list(row)[2] for row in held['rows']] == [
    'left_out', 'folder', 'folder',
  ]  # fmt: skip
  with (workdir / 'first-only' / 'predictions.csv').open() as file:
    assert len(list(csv.DictReader(file))) == 18

  (workdir / 'ablation.json').unlink()
  monkeypatch.setattr(resume_lib, 'train_folds', None)
  assert study.run(make(), workdir)['rows'] == held['rows']
  assert 'This run is finished' in capsys.readouterr().out
  # A row may go, and come back.
  fewer = study.run(make(study__rows=ROWS[1:]), workdir)
  assert fewer['rows'] == held['rows'][1:]
  for other in (make(seeds=2), make(study__kind='nested', study__groups=3)):
    with pytest.raises(errors.UserError, match='another configuration'):
      study.run(other, workdir)
  plain = make(study__kind='', study__rows=())
  with pytest.raises(errors.UserError, match='study.kind: .ablation. there'):
    run.run(plain, workdir)


def test_rows_of_changed_data_are_not_mixed(make, tmp_path, monkeypatch):
  held = tmp_path / 'study' / 'first-only'
  held.mkdir(parents=True)
  (held / 'data.json').write_text('{"fingerprint": "old", "simulated": false}')
  monkeypatch.setattr(resume_lib, 'train_folds', None)
  with pytest.raises(errors.UserError, match='data have changed.*first-only'):
    study.run(make(), tmp_path / 'study')


def test_rows_on_other_clips_are_refused(make, tmp_path, monkeypatch):
  monkeypatch.setattr(resume_lib, 'train_folds', None)
  rows = (*ROWS, 'x: data.permute_labels=true')
  with pytest.raises(errors.UserError, match="'x': its labels are not those"):
    study.run(make(study__rows=rows), tmp_path / 'study')


def test_rows_without_a_kind_are_refused(make):
  with pytest.raises(errors.UserError, match='study.kind.*ablation or nested'):
    make(study__kind='')


def test_the_estimate_is_of_all_that_is_left(make, tmp_path):
  pace = study.Pace()
  # Before anything is known, the timed step speaks for what follows.
  assert 'about 0:01:50 for all' in pace.of_all(10, 100)(10.0)
  pace.add(5.0, 0)
  pace.add(20.0, 10)
  assert 'about 0:03:30 for all' in pace.of_all(10, 100)(10.0)


def test_finished_trainings_are_not_estimated(make, tmp_path):
  row = study.rows(make())[1]
  folds = folds_lib.leave_one_subject_out(list('aabb'), [0, 1, 0, 1], 2)
  # Two folds of two training clips, both phases, one epoch.
  assert study.work(row, folds, tmp_path) == 8
  (tmp_path / 'checkpoints/seed0/a').mkdir(parents=True)
  (tmp_path / 'checkpoints/seed0/b.orbax-checkpoint-tmp-1').mkdir()
  assert study.work(row, folds, tmp_path) == 4
