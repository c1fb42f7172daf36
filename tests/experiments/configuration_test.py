"""Configuration files, defaults, identity of a run, its default workdir."""

import dataclasses
import importlib
import inspect
import json
import pathlib

import ml_collections
import pytest

from configs import default
from dianet_jax.core import config as config_lib
from dianet_jax.core import errors, schema
from dianet_jax.experiments import configuration
from dianet_jax.models import registry as models
from dianet_jax.models.dianet import DIANet
from dianet_jax.training.objectives import OBJECTIVES, CrossEntropy
from tests.support.configurations import build

FOLDER = pathlib.Path(default.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob('[!_]*.py'))


@pytest.mark.parametrize('name', NAMES)
def test_every_config_builds_and_has_the_default_keys(name):
  module = importlib.import_module(f'configs.{name}')
  values = module.get_config()
  config = configuration.from_mapping(values.to_dict())
  assert config.name in (name, f'{name}-demo')
  assert json.loads(json.dumps(schema.to_dict(config)))
  assert values.to_dict() == dataclasses.asdict(config)
  assert name == 'default' or f'--config=configs/{name}.py' in module.__doc__


@pytest.mark.parametrize('name', ['ststnet', 'offapexnet', 'htnet'])
def test_models_of_flow_images_read_the_published_ones(name):
  for module in ('casme2', 'megc2019'):
    config = importlib.import_module(f'configs.{module}').get_config(name)
    assert config.data.image_size == 28 and config.data.scaling == 'minmax'
    assert config.model.input_scale == 255


@pytest.mark.parametrize(
  'name,changes,message',
  [
    ('atm_gcn', {'rotation_degrees': 0.0}, 'no sequence of frames'),
    ('tsfmicro', {'rotation_degrees': 0.0}, 'show no face'),
    ('gamdss', {'rotation_degrees': 0.0}, 'position=True .* 3 phase'),
    ('fmanet', {'flow': 'vectors'}, 'components are scaled separately'),
    ('slstt', {'normalise': 'imagenet'}, 'not colours'),
  ],
)
def test_stored_flow_feeds_no_model_of_something_else(name, changes, message):
  values = importlib.import_module('configs.megc2019').get_config(name)
  values.train.augment.shift_pixels = 2
  for key, value in changes.items():
    section = values.model if key in values.model else values.train.augment
    section[key] = value
  with pytest.raises(errors.UserError, match=message):
    configuration.from_mapping(values.to_dict())
  # What is made for it passes.
  fed = {'position': False, 'flow': 'images', 'normalise': 'none'}
  for key in fed.keys() & values.model.keys():
    values.model[key] = fed[key]
  if name != 'atm_gcn':
    assert configuration.from_mapping(values.to_dict())


def test_fmanet_reads_flow_in_pixels_of_frames():
  values = importlib.import_module('configs.casme2').get_config('fmanet')
  config = configuration.from_mapping(values.to_dict())
  assert (config.model.flow, config.data.flow.coding) == ('vectors', 'pixels')
  values.data.flow.coding = 'grey_levels'
  values.train.augment.rotation_degrees = 0.0
  with pytest.raises(errors.UserError, match='data.flow.coding=pixels'):
    configuration.from_mapping(values.to_dict())


def test_flow_in_pixels_is_not_read_as_grey_levels():
  values = importlib.import_module('configs.casme2').get_config('causalnet')
  assert values.data.scaling == 'grey_levels'
  values.data.flow.coding = 'pixels'
  with pytest.raises(errors.UserError, match='pixels are no grey levels'):
    configuration.from_mapping(values.to_dict())


@dataclasses.dataclass(frozen=True)
class OtherSettings(config_lib.Model):
  name: str = 'other'
  depth: int = schema.key(2, 'Depth.')


class Other(DIANet):
  """Another model of the same input."""

  Settings = OtherSettings
  recommended = {'train.epochs': 800, 'model.depth': 3}
  knows_phases = False

  @staticmethod
  def check(settings, specs):
    yield 'depth', settings.depth < 9, f'below 9 for {[*specs]}'


@dataclasses.dataclass(frozen=True)
class SharpSettings(config_lib.Objective):
  name: str = 'sharp'
  power: float = schema.key(2.0, 'Power.')


class Sharp(CrossEntropy):
  """Another objective."""

  Settings = SharpSettings


@pytest.fixture
def others():
  models.MODELS.register('other', Other)
  OBJECTIVES.register('sharp', Sharp)
  yield
  models.MODELS.unregister('other')
  OBJECTIVES.unregister('sharp')


@pytest.mark.parametrize('name', NAMES)
def test_every_config_accepts_a_model(others, name):
  module = importlib.import_module(f'configs.{name}')
  if [*inspect.signature(module.get_config).parameters] == ['base']:
    pytest.skip('a study')
  config = configuration.from_mapping(module.get_config('other').to_dict())
  assert config.model == OtherSettings(depth=3)
  assert config.train.epochs in (800, 40, 30)
  with pytest.raises(errors.UserError, match="'nope' is not a known model"):
    module.get_config('nope')


def test_the_authors_settings_are_the_defaults(others):
  config = configuration.default('other')
  assert isinstance(config, ml_collections.ConfigDict)
  assert config.train.epochs == 800 and config.model.depth == 3
  assert 'backbone' not in config.model
  with pytest.raises(errors.UserError, match='depth=9 .* below 9'):
    configuration.from_mapping({'model': {'name': 'other', 'depth': 9}})


def test_naming_a_model_or_an_objective_starts_from_its_defaults(others):
  values = schema.to_dict(build(model__widths=(8, 8)))
  settings = {'model.name': 'other', 'objective.name': 'sharp'}
  changed = configuration.changed(values, settings | {'objective.power': 3.0})
  config = configuration.from_mapping(changed)
  assert config.model == OtherSettings()
  assert config.objective == SharpSettings(power=3.0)
  assert values['model']['widths'] == [8, 8]
  with pytest.raises(errors.UserError, match='model.backbone is not a config'):
    configuration.changed(values, settings | {'model.backbone': 'compact'})


def test_every_key_is_explained():
  keys = configuration.all_keys(build())
  assert len(keys) > 50
  assert [k for k in keys if not keys[k].help] == []


def test_an_integer_serves_as_a_float():
  assert build(train__learning_rate=1).train.learning_rate == 1.0


def test_an_ensemble_has_seeds_of_its_own():
  config = build(seed=2, seeds=2, evaluation__ensemble=3)
  assert list(config.training_seeds) == [6, 7, 8, 9, 10, 11]
  with pytest.raises(errors.UserError, match='config.seed=2000000000'):
    build(seed=2_000_000_000, evaluation__ensemble=3)


def test_a_result_does_not_depend_on_places_and_devices():
  plain = build()
  for overrides in (
    {'data__manual_dir': '/elsewhere', 'data__cache_dir': '/cache'},
    {'parallel__devices': 3, 'parallel__processes': 2, 'parallel__process': 1},
    {'parallel__folds_per_device': 2, 'parallel__allow_mixed': True},
    {'parallel__coordinator': 'auto', 'parallel__checkpoint_minutes': 1.0},
    {'profile': True},
  ):
    other = build(**overrides)
    assert configuration.identity(other) == configuration.identity(plain)
    assert configuration.digest(other) == configuration.digest(plain)
  for overrides in (
    {'seed': 1},
    {'train__epochs': 3},
    {'data__simulation__seed': 1},
    {'parallel__strategy': 'map'},
    {'parallel__compute_dtype': 'bfloat16'},
  ):
    other = build(**overrides)
    assert configuration.identity(other) != configuration.identity(plain)
    assert configuration.digest(other) != configuration.digest(plain)


def test_the_model_is_part_of_the_default_workdir(others):
  names = {
    configuration.digest(configuration.from_mapping({'model': {'name': name}}))
    for name in ('dianet', 'other')
  }
  assert len(names) == 2


def test_a_new_key_does_not_change_default_workdirs(monkeypatch):
  config = build(seed=1)
  before = configuration.digest(config)
  train = dataclasses.make_dataclass(
    'Train',
    [('future', float, schema.key(0.5, 'New.'))],
    bases=(config_lib.Train,),
    frozen=True,
  )
  values = schema.to_dict(config)
  grown = dataclasses.make_dataclass(
    'Config',
    [('train', train, schema.section(train))],
    bases=(config_lib.Config,),
    frozen=True,
  )
  monkeypatch.setattr(configuration, 'Config', grown)
  config = configuration.from_mapping(values)
  assert config.train.future == 0.5
  assert configuration.digest(config) == before
  values['train']['future'] = 1.0
  assert configuration.digest(configuration.from_mapping(values)) != before


@pytest.mark.parametrize('name', ['\u8868\u60c5-1', 'M\u00fcller_2.3', '-x'])
def test_names_of_runs(name):
  workdir = configuration.default_workdir(build(name=name))
  assert workdir.startswith(f'runs/{name}-')


@pytest.mark.parametrize(
  'name', ['../../evil', 'a/b', '', '.hidden', '[/bold]', 'a b', 'x' * 101]
)
def test_names_that_are_not_valid_in_a_path(name):
  with pytest.raises(errors.UserError, match='config.name=.* expected up to'):
    configuration.default_workdir(build(name=name))


def test_the_default_workdir_does_not_depend_on_the_spelling_of_paths():
  ways = ('/data/CASME2', '/data/CASME2/', '/data/../data/CASME2', '~/CASME2')
  digests = {
    configuration.default_workdir(build(data__manual_dir=way)) for way in ways
  }
  assert len(digests) == 1
