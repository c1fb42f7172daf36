"""The examples in docstrings give what they say."""

import doctest
import importlib

import pytest

MODULES = (
  'evaluation.metrics',
  'models.registry',
  'motion.flow',
  'motion.head_motion',
  'motion.key_frames',
  'motion.rank_pooling',
  'motion.resizing',
  'motion.scaling',
  'motion.strain',
  'motion.streaming',
)


@pytest.mark.parametrize('name', MODULES)
def test_examples(name):
  module = importlib.import_module(f'dianet_jax.{name}')
  failed, tried = doctest.testmod(module)
  assert tried > 0
  assert failed == 0
