"""What older versions have left still opens, and means the same."""

import dataclasses
import importlib
import json
import pathlib
import shutil
import types

import pytest

from dianet_jax.core import errors
from dianet_jax.experiments import (
  configuration,
  migrations,
  rows,
  run,
  workdirs,
)
from dianet_jax.models.registry import MODELS

ROOT = pathlib.Path(__file__).parents[2]
KEPT = sorted((ROOT / 'benchmarks/results').rglob('config.json'))
FOLDERS = [path.parent for path in KEPT]
DATA = types.SimpleNamespace(
  fingerprint='ab', simulated=False, clips=(), subjects=[], listing=''
)


def name(folder):
  return str(folder.relative_to(ROOT / 'benchmarks/results'))


def test_there_are_kept_workdirs():
  assert len(KEPT) >= 19


@pytest.mark.parametrize('folder', FOLDERS, ids=name)
def test_kept_workdirs_open(folder):
  config = workdirs.load_config(folder)
  assert config.model.name in MODELS
  # And are configurations that could be run today.
  path = folder / 'config.json'
  held = migrations.migrate(json.loads(path.read_text()), path)
  assert configuration.from_mapping(held['config']) == config
  assert held['sessions'][0]['jax']
  workdirs.check_config(folder, config)


def test_a_finished_run_of_an_older_version_is_shown(tmp_path, capsys):
  kept = ROOT / 'benchmarks/results/ablation-megc2019'
  config = importlib.import_module('configs.ablation').get_config('megc2019')
  study = configuration.from_mapping(config.to_dict())
  [row] = [row for row in rows.parse(study) if row.name == 'onset-apex only']
  shutil.copytree(kept / row.folder, tmp_path / 'run')
  # Its data are not at hand, and not needed.
  summary = run.run(row.config, tmp_path / 'run')
  assert summary == json.loads((kept / row.folder / 'metrics.json').read_text())
  shown = capsys.readouterr().out
  assert 'This run is finished' in shown and '0.745' in shown
  changed = dataclasses.replace(row.config, seed=4)
  with pytest.raises(errors.UserError, match='seed: 0 there, 4 here'):
    run.run(changed, tmp_path / 'run')


@pytest.mark.parametrize('base', ['demo', 'megc2019'])
def test_kept_ablations_are_those_of_today(base):
  module = importlib.import_module('configs.ablation')
  config = configuration.from_mapping(module.get_config(base).to_dict())
  folder = ROOT / f'benchmarks/results/ablation-{base}'
  compared = 0
  for row in rows.parse(config):
    if row.unsupported:
      continue
    workdirs.check_config(folder / row.folder, row.config)
    compared += 1
  assert compared == len([path for path in KEPT if folder in path.parents])


@pytest.mark.parametrize('base', ['demo', 'megc2019'])
def test_the_kept_zoo_is_that_of_today(base):
  values = importlib.import_module('configs.zoo').get_config(base)
  config = configuration.from_mapping(values.to_dict())
  folder = ROOT / f'benchmarks/results/zoo-{base}'
  held = json.loads((folder / 'ablation.json').read_text())
  kept = {row['name']: row for row in held['rows'] if 'folder' in row}
  found = {row.name: row for row in rows.parse(config)}
  assert len(kept) >= 3
  for name in kept:
    workdirs.check_config(folder / kept[name]['folder'], found[name].config)


def test_the_kept_nested_study_is_that_of_today():
  values = importlib.import_module('configs.nested').get_config('megc2019')
  values.seeds = 5
  config = configuration.from_mapping(values.to_dict())
  folder = ROOT / 'benchmarks/results/nested-megc2019'
  assert workdirs.load_config(folder).study.rows == config.study.rows
  workdirs.check_config(folder, config)


def held(**study):
  """A `config.json` of schema 1, in small."""
  return {
    'config': {
      'data': {
        'dataset': 'casme2', 'phases': ['onset_apex', 'apex_offset'],
      },
      'model': {'fusion': 'second_phase'},
      'train': {
        'label_smoothing': 0.2, 'focal_gamma': 2.0, 'epochs': 3,
        'augment': {'negated_channels': [0]},
      },
      'study': {'rows': []} | study,
    },
    'versions': {'jax': '1'},
  }  # fmt: skip


def test_from_schema_1_to_2():
  before = held()
  after = migrations.migrate(before, pathlib.Path('config.json'))
  assert before == held()
  assert after == {
    'schema': migrations.SCHEMA,
    'config': {
      'data': {'dataset': 'casme2', 'phases': ['apex_offset']},
      'model': {'name': 'dianet', 'fusion': 'concat'},
      'objective': {
        'name': 'cross_entropy', 'label_smoothing': 0.2, 'focal_gamma': 2.0,
      },
      'train': {'epochs': 3, 'augment': {}},
      'study': {'rows': []},
    },
    'sessions': [{'jax': '1'}],
  }  # fmt: skip
  assert migrations.migrate(after, pathlib.Path('config.json')) == after


@pytest.mark.parametrize(
  'before,after',
  [
    ('default:', 'default:'),
    (
      # It reads all phases, of which the study's own fusion reads one.
      'a: model.fusion=gated',
      "a: model.fusion=gated data.phases=('onset_apex', 'apex_offset')",
    ),
    (
      'a: model.fusion=first_phase',
      "a: data.phases=('onset_apex',) model.fusion=concat",
    ),
    (
      'a: model.fusion=second_phase train.focal_gamma=2.0',
      "a: data.phases=('apex_offset',) model.fusion=concat"
      ' objective.focal_gamma=2.0',
    ),
    (
      "a: data.phases=('onset_offset', )  model.fusion=first_phase",
      "a: data.phases=('onset_offset',) model.fusion=concat",
    ),
    (
      'a: train.augment.negated_channels=(0, 1) train.label_smoothing=0.0',
      'a: objective.label_smoothing=0.0',
    ),
  ],
)
def test_rows_of_schema_1(before, after):
  migrated = migrations.migrate(held(rows=[before]), pathlib.Path('x'))
  assert migrated['config']['study']['rows'] == [after]


def test_an_old_run_goes_on_under_the_new_schema(tmp_path):
  (tmp_path / 'config.json').write_text(json.dumps(held()))
  config = workdirs.load_config(tmp_path)
  assert config.train.epochs == 3 and config.data.phases == ('apex_offset',)
  workdirs.begin(tmp_path, config, DATA)
  after = json.loads((tmp_path / 'config.json').read_text())
  assert after['schema'] == migrations.SCHEMA and len(after['sessions']) == 2
  assert workdirs.load_config(tmp_path) == config
