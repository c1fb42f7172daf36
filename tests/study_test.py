"""Studies: rows, and an ablation that resumes."""

import csv
import importlib
import json
import sys
import types

from data_test import write_flow
import pytest
from run_test import flow_rows

from dianet_jax import config as configuration
from dianet_jax import errors, run, study

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


@pytest.fixture
def compared(monkeypatch):
  """Stands in for `compare`; holds the paths that it was given."""
  calls = []

  def print_tables(paths, format='text'):
    calls.append(dict(paths))
    print(f'a table as {format}')

  stub = types.SimpleNamespace(print_tables=print_tables)
  monkeypatch.setitem(sys.modules, 'dianet_jax.compare', stub)
  monkeypatch.setattr('dianet_jax.compare', stub, raising=False)
  return calls


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
    (': seed=1', 'expected .name: key=value'),
    ('x: train.epoch=1', 'nearest is --config.train.epochs'),
    ('x: epochs=1', 'nearest is --config.train.epochs'),
    ('x: data.phases.no=1', 'is not a configuration key'),
    ('x: train.epochs=many', "'x: train.epochs=many': .* expected int"),
    ('x: train.epochs=0', 'expected at least 1'),
    ('both added: seed=1', "two rows are called 'Both, added'"),
  ],
)
def test_mistakes_in_rows_are_named(make, row, message):
  with pytest.raises(errors.UserError, match=message):
    study.rows(make(study__rows=(*ROWS, row)))


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


def test_an_ablation_runs_and_resumes(
  make, compared, tmp_path, capsys, monkeypatch
):
  workdir = tmp_path / 'study'
  held = study.run(make(), workdir)
  shown = capsys.readouterr().out
  assert '2 of 3 rows can be run' in shown and 'a table as text' in shown
  assert 'Row 2 of 2: first only (about 0:' in shown
  # The reference is the first row that runs.
  folders = {'Both, added': 'both-added', 'first only': 'first-only'}
  paths = {name: workdir / folder for name, folder in folders.items()}
  assert compared == [paths, paths]
  markdown = (workdir / 'ablation.md').read_text()
  assert 'a table as markdown' in markdown
  assert 'whole: left out, megc2019_flow' in markdown
  assert held == json.loads((workdir / 'study.json').read_text())
  assert [list(row)[2] for row in held['rows']] == [
    'left_out', 'folder', 'folder',
  ]  # fmt: skip
  with (workdir / 'first-only' / 'predictions.csv').open() as file:
    assert len(list(csv.DictReader(file))) == 18

  (workdir / 'study.json').unlink()
  monkeypatch.setattr(run, 'train_folds', None)
  assert study.run(make(), workdir)['rows'] == held['rows']
  assert 'This run is finished' in capsys.readouterr().out


def test_the_estimate_grows_with_the_work():
  pace = study.Pace()
  pace.add(5.0, 0)
  assert 'after the first' in pace.left(10)
  pace.add(20.0, 10)
  assert pace.left(100) == 'about 0:03:20 left for all'
