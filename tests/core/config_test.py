"""The configuration: every file builds, every mistake is named."""

import importlib
import json
import pathlib

import pytest

from configs import default
from dianet_jax.core import config as configuration
from dianet_jax.core import errors

FOLDER = pathlib.Path(default.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob('[!_]*.py'))


@pytest.mark.parametrize('name', NAMES)
def test_every_config_builds_and_has_the_default_keys(name):
  module = importlib.import_module(f'configs.{name}')
  values = module.get_config()
  config = configuration.from_mapping(values.to_dict())
  assert config.name in (name, f'{name}-demo')
  assert json.loads(json.dumps(configuration.to_dict(config)))
  assert name == 'default' or f'--config=configs/{name}.py' in module.__doc__


def test_every_key_has_a_comment_or_a_telling_neighbour():
  # `configs/default.py` is the reference: a key must be spelled in it.
  text = (FOLDER / 'default.py').read_text()
  for key in configuration.all_keys():
    assert f'.{key.rsplit(".", 1)[-1]} = ' in text, key


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
    ('data__phases', ('onset_offset',), 'model.fusion=first_phase'),
    ('data__crop', (0.5, 0.0, 0.2, 1.0), 'top, left, bottom, right'),
    ('data__frame_size', 32, 'at least data.image_size=112'),
    ('data__scaling', 'max', 'one of symmetric'),
    ('data__emotions', ('happiness',), 'raw emotion=class'),
    ('model', 'resnet18', 'must be a section'),
    ('model__backbone', 'vgg', 'one of resnet18'),
    ('model__fusion', 'sum', 'one of cross_attention'),
    ('model__heads', 5, 'a divisor of 512'),
    ('model__dropout', 1.0, '0 to below 1'),
    ('train__learning_rate', 0.0, 'expected > 0'),
    ('train__batch_size', 0, 'at least 1'),
    ('train__augment__flip_probability', 2.0, '0 to 1'),
    ('train__augment__negated_channels', (3,), '0, 1 or 2'),
    ('train__augment__shift_pixels', 200, 'data.image_size'),
    ('train__augment__rotation_degrees', 181.0, '0 to 180'),
    ('data__offset_jitter_frames', -1, 'at least 0'),
    ('model__share_backbone', 1, 'expected bool'),
    ('model__fusion', 'each_phase', 'true with --config.model.fusion'),
    ('model__widths', (8, 6), 'a divisor of 6'),
    ('model__widths', (0, 4), 'widths of at least 1'),
    ('model__phase_dropout', 1.0, '0 to below 1'),
    ('train__focal_gamma', -1.0, 'at least 0'),
    ('train__class_balance', 'equal', 'one of none, inverse_frequency'),
    ('train__effective_number_beta', 1.0, '0 to below 1'),
    ('train__ema_decay', 1.0, '0 to below 1'),
    ('train__augment__mixup_alpha', -0.1, 'at least 0'),
    ('evaluation__epochs', 'best', 'one of fixed, inner_split'),
    ('evaluation__validation_share', 1.0, 'above 0 and below 1'),
    ('evaluation__ensemble', 0, 'at least 1'),
    ('study__kind', 'grid', 'ablation or nested'),
    ('study__kind', 'nested', 'one or more, with'),
    ('study__groups', 2, 'at least 3'),
    ('parallel__strategy', 'fast', 'one of auto'),
    ('seeds', 0, 'at least 1'),
  ],
)
def test_mistakes_are_named(key, value, message):
  with pytest.raises(errors.UserError, match=message):
    build(**{key: value})


@pytest.mark.parametrize(
  'overrides,message',
  [
    (
      {
        'data__offset_jitter_frames': 1,
        'data__phases': ('onset_apex',),
        'model__fusion': 'first_phase',
      },
      'data.offset_jitter_frames=1 .* ends at the offset',
    ),
    (
      {'data__offset_jitter_frames': 1, 'data__dataset': 'megc2019_flow'},
      'data.offset_jitter_frames=1 .* not pooled from frames',
    ),
    (
      {
        'train__augment__rotation_degrees': 5.0,
        'data__dataset': 'megc2019_flow',
      },
      'augment.rotation_degrees=5.0 .* vectors of optical flow',
    ),
    (
      {
        'train__augment__rotation_degrees': 5.0,
        'train__augment__negated_channels': (0,),
      },
      'augment.rotation_degrees=5.0 .* vectors of optical flow',
    ),
  ],
)
def test_options_that_do_not_go_together(overrides, message):
  with pytest.raises(errors.UserError, match=message):
    build(**overrides)


def test_a_missing_key_is_named():
  values = default.get_config().to_dict()
  del values['train']['epochs']
  with pytest.raises(errors.UserError, match='lacks train.epochs'):
    configuration.from_mapping(values)


def test_an_integer_serves_as_a_float():
  assert build(train__learning_rate=1).train.learning_rate == 1.0


def test_differences():
  one, other = (configuration.to_dict(build(seed=s)) for s in (0, 1))
  assert configuration.differences(one, other) == ['  seed: 0 there, 1 here']


def test_an_ensemble_has_seeds_of_its_own():
  config = build(seed=2, seeds=2, evaluation__ensemble=3)
  assert list(config.training_seeds) == [6, 7, 8, 9, 10, 11]
  with pytest.raises(errors.UserError, match='config.seed=2000000000'):
    build(seed=2_000_000_000, evaluation__ensemble=3)
