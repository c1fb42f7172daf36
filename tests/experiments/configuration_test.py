"""The configuration: every file builds, every mistake is named."""

import dataclasses
import importlib
import inspect
import json
import math
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


@dataclasses.dataclass(frozen=True)
class OtherSettings(config_lib.Model):
  name: str = 'other'
  depth: int = schema.key(2, 'Depth.')


class Other(DIANet):
  """Another model of the same input."""

  Settings = OtherSettings
  recommended = {'train.epochs': 800, 'model.depth': 3}

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
def test_every_data_set_takes_a_model(others, name):
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


def build(**overrides):
  values = default.get_config().to_dict()
  for key, value in overrides.items():
    *sections, last = key.split('__')
    section = values
    for name in sections:
      section = section[name]
    section[last] = value
  return configuration.from_mapping(values)


@pytest.mark.parametrize(
  'key,value,message',
  [
    ('data__manual_di', 'x', 'nearest is --config.data.manual_dir'),
    ('epochs', 3, 'nearest is --config.train.epochs'),
    ('train__epochs', 'many', "train.epochs='many' is of type str"),
    ('train__epochs', 2.5, 'expected int'),
    ('evaluation__oracle', 1, 'expected bool'),
    ('data__phases', 'onset_apex', 'expected tuple'),
    ('data__phases', ('onset_apex', 3), r'data.phases\[1\]=3'),
    (
      'data__phases',
      ('apex_onset', 'onset_apex'),
      'of onset_apex, apex_offset',
    ),
    ('data__phases', ('onset_offset',), 'model.fusion=.* concat'),
    ('data__inputs', ('dynamic_images',) * 2, r'reads 1 input\(s\)'),
    ('data__inputs', ('frames',), 'not a known representation'),
    ('data__crop', (0.5, 0.0, 0.2, 1.0), 'top, left, bottom, right'),
    ('data__frame_size', 32, 'at least data.image_size=112'),
    ('data__scaling', 'max', 'one of symmetric'),
    ('data__emotions', ('happiness',), 'raw emotion=class'),
    ('model', 'resnet18', 'must be a section'),
    ('model__backbone', 'vgg', 'one of resnet18'),
    ('model__fusion', 'sum', 'one of cross_attention'),
    ('model__name', 'vgg', "'vgg' is not a known model"),
    ('objective__name', 'l2', "'l2' is not a known objective"),
    ('model__heads', 5, 'a divisor of 512'),
    ('model__dropout', 1.0, '0 to below 1'),
    ('train__learning_rate', 0.0, 'expected > 0'),
    ('train__batch_size', 0, 'at least 1'),
    ('train__augment__flip_probability', 2.0, '0 to 1'),
    ('train__learning_rate', float('nan'), 'finite'),
    ('train__augment__shift_pixels', 200, 'data.image_size'),
    ('train__augment__rotation_degrees', 181.0, '0 to 180'),
    ('data__offset_jitter_frames', -1, 'at least 0'),
    ('model__share_backbone', 1, 'expected bool'),
    ('model__fusion', 'each_phase', 'true with --config.model.fusion'),
    ('model__widths', (8, 6), 'a divisor of 6'),
    ('model__widths', (0, 4), 'widths of at least 1'),
    ('model__phase_dropout', 1.0, '0 to below 1'),
    ('objective__focal_gamma', -1.0, 'at least 0'),
    ('train__class_balance', 'equal', 'one of none, inverse_frequency'),
    ('train__effective_number_beta', 1.0, '0 to below 1'),
    ('train__ema_decay', 1.0, '0 to below 1'),
    ('train__augment__mixup_alpha', -0.1, 'at least 0'),
    ('evaluation__epochs', 'best', 'one of fixed, inner_split'),
    ('evaluation__validation_share', 1.0, 'above 0 and below 1'),
    ('evaluation__ensemble', 0, 'at least 1'),
    ('study__kind', 'grid', "one of '', ablation, nested"),
    ('study__kind', 'nested', 'one or more, with'),
    ('study__groups', 2, 'at least 3'),
    ('parallel__strategy', 'fast', 'one of auto'),
    ('parallel__coordinator', 'host', 'host:port'),
    ('parallel__process', 1, '0 to 0, by'),
    ('seed', -1, '0 to 2147483646'),
    ('seeds', 0, 'at least 1'),
  ],
)
def test_mistakes_are_named(key, value, message):
  with pytest.raises(errors.UserError, match=message):
    build(**{key: value})


FLOW = {'data__dataset': 'megc2019_flow', 'data__inputs': ('phase_flow',)}
# Flow that is found in frames.
FOUND = {'data__dataset': 'casme2', 'data__inputs': ('phase_flow',)}
TURNED = {'train__augment__rotation_degrees': 5.0}


@pytest.mark.parametrize(
  'overrides,message',
  [
    (
      {
        'data__offset_jitter_frames': 1,
        'data__phases': ('onset_apex',),
        'model__fusion': 'concat',
      },
      'data.offset_jitter_frames=1 .* ends at the offset',
    ),
    (
      FLOW | {'data__offset_jitter_frames': 1},
      'data.offset_jitter_frames=1 .* not pooled from frames',
    ),
    (
      FLOW | {'data__coefficients': 'linear'},
      "data.coefficients='linear' .* expected rank: .* not pooled from frames",
    ),
    (
      FLOW | {'data__frame_order': 'motion_intensity'},
      'data.frame_order=.* expected time: .* not pooled from frames',
    ),
    (FLOW | {'data__align': True}, 'data.align=True .* expected False: .*flow'),
    (
      FLOW | {'train__augment__rotation_degrees': 5.0},
      'augment.rotation_degrees=5.0 .* vectors of optical flow',
    ),
    (
      {'data__align': True, 'data__crop': (0.0, 0.1, 1.0, 1.0)},
      'data.crop=.* the whole frame',
    ),
    (
      FLOW | {'data__key_frame_search': 0.1},
      'data.key_frame_search=0.1 .* expected 0.0: .* not pooled from frames',
    ),
    (FOUND | TURNED, 'rotation_degrees=5.0 .* vectors of optical flow'),
    (
      FOUND
      | TURNED
      | {
        'data__flow__coding': 'pixels',
        'data__flow__channels': ('u', 'strain'),
      },
      'rotation_degrees=5.0 .* vectors of optical flow',
    ),
    (
      FOUND | {'data__flow__coding': 'hsv'},
      'flip_probability=0.5 .* colours encode directions',
    ),
    (
      {
        'data__dataset': 'casme2',
        'data__inputs': ('skd_tstsan',),
        'model__fusion': 'concat',
      },
      'shift_pixels=4 .* cut into blocks',
    ),
    (
      {'study__rows': ('a:',)},
      'study.kind=.* ablation or nested',
    ),
  ],
)
def test_options_that_do_not_go_together(overrides, message):
  with pytest.raises(errors.UserError, match=message):
    build(**overrides)


def test_what_flow_images_may_do():
  config = build(**FLOW, data__frame_size=8)
  assert config.data.inputs == ('phase_flow',)
  pixels = {'data__flow__coding': 'pixels'}
  assert build(**FOUND, **TURNED, **pixels)
  assert build(**TURNED, data__dataset='casme2', data__inputs=('mm_cof',),
               model__fusion='concat')  # fmt: skip
  # Of stored images nobody knows how u compares with v.
  stored = FLOW | TURNED | {'data__inputs': ('mm_cof',)}
  with pytest.raises(errors.UserError, match='rotation_degrees=5.0'):
    build(**stored, model__fusion='concat', data__frame_size=28)
  assert build(train__augment__rotation_degrees=5.0)


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


def test_a_new_key_moves_no_run(monkeypatch):
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


@pytest.mark.parametrize(
  'key,value',
  [
    ('seeds', 10**6),
    ('data__offset_jitter_frames', 10**6),
    ('data__frame_size', 100_000),
    ('data__image_size', 100_000),
    ('data__simulation__subjects', 10**8),
    ('data__simulation__seed', -1),
    ('train__epochs', 10**9),
    ('train__batch_size', 10**9),
    ('train__learning_rate', 1e5),
    ('train__weight_decay', 1e300),
    ('train__augment__mixup_alpha', 1e300),
    ('train__augment__mixup_alpha', math.inf),
    ('objective__focal_gamma', 1e300),
    ('evaluation__ensemble', 10**6),
    ('parallel__checkpoint_minutes', 1e300),
    ('data__emotions', ('happiness=a', 'disgust=b', 'happiness=b')),
  ],
)
def test_numbers_that_no_run_can_mean(key, value):
  name = key.replace('__', '.')
  with pytest.raises(errors.UserError, match=f'{name}=.* is out of range'):
    build(**{key: value})


def test_seeds_and_ensembles_together():
  build(seeds=100, evaluation__ensemble=10)
  with pytest.raises(errors.UserError, match='at most 1000 times'):
    build(seeds=100, evaluation__ensemble=11)


@pytest.mark.parametrize('key', ['data__manual_dir', 'data__emotions'])
def test_texts_are_one_line_without_commands(key):
  value = '/data\x1b[2J'
  if key == 'data__emotions':
    value = (f'{value}=a',)
  with pytest.raises(errors.UserError, match='contains a control character'):
    build(**{key: value})


@pytest.mark.parametrize('name', ['\u8868\u60c5-1', 'M\u00fcller_2.3', '-x'])
def test_names_of_runs(name):
  workdir = configuration.default_workdir(build(name=name))
  assert workdir.startswith(f'runs/{name}-')


@pytest.mark.parametrize(
  'name', ['../../evil', 'a/b', '', '.hidden', '[/bold]', 'a b', 'x' * 101]
)
def test_names_that_are_no_part_of_a_path(name):
  with pytest.raises(errors.UserError, match='config.name=.* expected up to'):
    configuration.default_workdir(build(name=name))


def test_the_default_workdir_knows_no_spelling_of_paths():
  ways = ('/data/CASME2', '/data/CASME2/', '/data/../data/CASME2', '~/CASME2')
  digests = {
    configuration.default_workdir(build(data__manual_dir=way)) for way in ways
  }
  assert len(digests) == 1
