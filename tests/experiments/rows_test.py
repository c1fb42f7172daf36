"""Rows of a study: configurations, each with every mistake named."""

import dataclasses
import importlib

import jax.numpy as jnp
import pytest

from dianet_jax.core import errors
from dianet_jax.core.config import PHASES
from dianet_jax.experiments import configuration, rows
from dianet_jax.models.registry import MODELS
from dianet_jax.training import build
from tests.experiments.configuration_test import (
  SharpSettings,
  others,  # noqa: F401
)
from tests.experiments.conftest import ROWS


def test_rows_are_configurations(make):
  config = make()
  whole, both, first = rows.parse(config)
  assert both.config.model.fusion == 'add' and both.folder == 'both-added'
  assert first.config.train.learning_rate == 2e-3
  assert first.config.data.phases == ('onset_apex',)
  assert both.config.data == config.data and not both.unsupported
  assert whole.config.data.phases == ('onset_offset',)
  assert 'not the whole clip' in whole.unsupported
  for row in (whole, both, first):
    assert row.config.study.kind == '' and row.config.study.rows == ()
    assert row.config.name == row.name


@pytest.mark.parametrize(
  'row,message',
  [
    ('no colon', 'expected .name: key=value'),
    (': train.epochs=1', 'expected .name: key=value'),
    ('x: model.fusion add', "'model.fusion add': expected key=value"),
    ('x: train.epochs=1 train.epochs=2', 'train.epochs is set twice'),
    ('x: name=y', 'name must be the same'),
    ('x: study.groups=4', 'study.groups must be the same'),
    ('x: seed=1', 'seed must be the same'),
    ('x: evaluation.ensemble=2', 'evaluation.ensemble must be the same'),
    ('x: model={}', 'model is not a configuration key'),
    ('x: model.fusion={[]: 1}', 'expected one of'),
    ('x: train.epoch=1', 'nearest is --config.train.epochs'),
    ('x: epochs=1', 'nearest is --config.train.epochs'),
    ('x: data.phases.no=1', 'is not a configuration key'),
    ('x: train.epochs=many', "'x: train.epochs=many': .* expected int"),
    ('x: train.epochs=0', 'expected at least 1'),
    ('both added: train.epochs=1', "two rows have the name 'Both, added'"),
  ],
)
def test_mistakes_in_rows_are_named(make, row, message):
  with pytest.raises(errors.UserError, match=message):
    rows.parse(make(study__rows=(*ROWS, row)))


def test_a_row_may_name_a_model_and_an_objective(make, others):  # noqa: F811
  row = 'x: model.name=other model.depth=4 objective.name=sharp'
  (found,) = rows.parse(make(study__rows=(row,)))
  assert found.config.model.depth == 4
  assert found.config.objective == SharpSettings()
  # What the study says of the model before is not a key of this one.
  assert 'widths' not in dataclasses.asdict(found.config.model)
  mistake = 'x: model.name=other model.fusion=add'
  with pytest.raises(errors.UserError, match='model.fusion is not a config'):
    rows.parse(make(study__rows=(mistake,)))


def test_numbers_of_seeds_may_differ(make):
  found = rows.parse(make(study__rows=('x:', 'y: seeds=1'), seeds=3))
  assert [row.config.seeds for row in found] == [3, 1]


def test_blanks_may_follow_commas(make):
  row = "x: data.phases=('onset_apex', 'apex_offset')  train.epochs=3"
  (found,) = rows.parse(make(study__rows=(row,)))
  assert found.config.data.phases == ('onset_apex', 'apex_offset')
  assert found.config.train.epochs == 3


def test_nothing_to_run(make):
  with pytest.raises(errors.UserError, match='supports none'):
    rows.parse(make(study__rows=ROWS[:1]))


@pytest.mark.parametrize('base', ['demo', 'megc2019', 'samm'])
@pytest.mark.parametrize('kind', ['ablation', 'nested'])
def test_shipped_studies_can_start_from_every_config(kind, base):
  module = importlib.import_module(f'configs.{kind}')
  config = configuration.from_mapping(module.get_config(base).to_dict())
  found = rows.parse(config)
  assert config.study.kind == kind and config.data.dataset in (
    'casme2', 'megc2019_flow', 'samm',
  )  # fmt: skip
  unsupported = [row.name for row in found if row.unsupported]
  expected = base == 'megc2019' and kind == 'ablation'
  left_out = ['whole clip', 'TRDI and MIDI, adaptive']
  assert unsupported == (left_out if expected else [])


@pytest.mark.parametrize('base', ['casme2', 'megc2019'])
def test_the_ablation_has_the_rows_of_the_question(base):
  module = importlib.import_module('configs.ablation')
  config = configuration.from_mapping(module.get_config(base).to_dict())
  found = {row.name: row.config for row in rows.parse(config)}
  assert next(iter(found)) == 'dual cross-attention'
  both = PHASES[:2]
  every = both if base == 'megc2019' else PHASES
  assert {
    name: (c.model.fusion, c.model.share_backbone, c.data.phases)
    for name, c in found.items()
  } == {
    'dual cross-attention': ('cross_attention', False, both),
    'whole clip': ('concat', False, ('onset_offset',)),
    'onset-apex only': ('concat', False, ('onset_apex',)),
    'apex-offset only': ('concat', False, ('apex_offset',)),
    'dual concat': ('concat', False, both),
    'dual add': ('add', False, both),
    'dual gated': ('gated', False, both),
    'dual cross-attention shared': ('cross_attention', True, both),
    'phase-aware augmentation': ('each_phase', True, every),
    'TRDI and MIDI, adaptive': ('adaptive', False, ('onset_offset',)),
  }
  augmented = found['phase-aware augmentation']
  trainer = build.make_trainer(augmented, 3, {}, 10, jnp.dtype('float32'))
  # By these the network finds the image that predicts.
  assert trainer.model.phases == every
  orders = {row.config.data.frame_order for row in rows.parse(config)[:-1]}
  assert orders == {'time'}
  last = rows.parse(config)[-1]
  assert last.config.data.frame_order == 'both'
  needs = 'megc2019_flow holds phase_flow, and dynamic images need frames'
  assert last.unsupported == (needs if base == 'megc2019' else '')


# The only two that are not trained as their authors recommend.
SMALL_RECIPES = {
  'slow_fast_tcm': {'train.epochs': 150, 'train.learning_rate': 3e-3},
  'atm_gcn': {'train.epochs': 90, 'train.learning_rate': 2e-3},
}


def trainer_of(row):
  return build.make_trainer(row.config, 3, {}, 10, jnp.dtype('float32'))


@pytest.mark.parametrize('base', ['demo', 'megc2019', 'casme2'])
def test_the_zoo_has_every_model_by_both_recipes(base):
  values = importlib.import_module('configs.zoo').get_config(base)
  config = configuration.from_mapping(values.to_dict())
  found = rows.parse(config)
  assert found[0].name == 'DIANet'
  common, own = set(), set()
  for row in found:
    name, train = row.config.model.name, row.config.train
    if row.name.endswith('own recipe'):
      own.add(name)
      recipe = {**MODELS[name].recommended, **SMALL_RECIPES.get(name, {})}
      if (base, name) == ('megc2019', 'cots'):
        recipe |= {'train.epochs': 230}
        assert trainer_of(row).pretraining_epochs == 200
      for key, value in recipe.items():
        if key.startswith('train.') and key.count('.') == 1:
          assert getattr(train, key.removeprefix('train.')) == value
      continue
    common.add(name)
    shared = {'batch_size', 'learning_rate', 'weight_decay', 'order'}
    for key in shared:
      assert getattr(train, key) == getattr(config.train, key)
    trainer = trainer_of(row)
    assert train.epochs - trainer.pretraining_epochs == config.train.epochs
    assert bool(trainer.pretraining_epochs) == (name == 'cots')
    assert name == 'cots' or row.config.objective == config.objective
  assert common == set(MODELS)
  assert own == {
    name
    for name in MODELS
    if any(key.startswith('train.') for key in MODELS[name].recommended)
  }
  # What needs frames cannot be fed by stored flow, and says so.
  unsupported = {
    row.config.model.name: row.unsupported for row in found if row.unsupported
  }
  if base != 'megc2019':
    assert not unsupported
  else:
    assert 'need frames' in unsupported['tsfmicro']
    assert set(unsupported) - {'dianet'} == {
      name for name in MODELS
      if MODELS[name].reads not in (('dynamic_images',), ('phase_flow',))
    }  # fmt: skip


def test_an_unknown_base_is_named():
  module = importlib.import_module('configs.ablation')
  with pytest.raises(errors.UserError, match="'nope' is not .* casme2"):
    module.get_config('nope')


def test_rows_without_a_kind_are_refused(make):
  with pytest.raises(errors.UserError, match='study.kind.*ablation or nested'):
    make(study__kind='')


def test_names_in_any_script(make):
  names = (
    '双流',
    '单流 1',
    'déjà vu',
    'Both, added_2',
  )
  texts = [f'{name}: train.epochs={n}' for n, name in enumerate(names, 1)]
  study = make(study__rows=tuple(texts))
  found = rows.parse(study)
  assert tuple(row.name for row in found) == names
  assert [row.folder for row in found] == [
    '双流',
    '单流-1',
    'déjà-vu',
    'both-added-2',
  ]
  with pytest.raises(errors.UserError, match='needs a letter or a digit'):
    rows.parse(make(study__rows=('...: train.epochs=1',)))
