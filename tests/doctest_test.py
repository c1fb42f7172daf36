"""The examples in docstrings give what they say."""

import doctest
import importlib

import pytest

MODULES = (
  'evaluation.metrics',
  'evaluation.significance',
  'models.registry',
  'motion.display',
  'motion.dynamic_images',
  'motion.flow',
  'motion.frame_sums',
  'motion.head_motion',
  'motion.key_frames',
  'motion.mm_cof',
  'motion.optical_flow',
  'motion.phase_flow',
  'motion.rank_pooling',
  'motion.registry',
  'motion.resampling',
  'motion.resizing',
  'motion.sampled_frames',
  'motion.scaling',
  'motion.skd_tstsan',
  'motion.strain',
  'motion.streaming',
)


@pytest.mark.parametrize('name', MODULES)
def test_examples(name):
  module = importlib.import_module(f'dianet_jax.{name}')
  failed, tried = doctest.testmod(module)
  assert tried > 0
  assert failed == 0
