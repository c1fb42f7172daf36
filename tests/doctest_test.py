"""The examples in docstrings give the output that they show."""

import doctest
import functools
import importlib

import pytest

from dianet_jax.inference import folder

MODULES = (
  'clips.expressions',
  'clips.face_blocks',
  'clips.frame_names',
  'clips.intervals',
  'clips.segments',
  'evaluation.compare',
  'evaluation.embedding',
  'evaluation.evaluate_spotting',
  'evaluation.leaderboard',
  'evaluation.metrics',
  'evaluation.page',
  'evaluation.plots',
  'evaluation.predictions',
  'evaluation.report',
  'evaluation.significance',
  'evaluation.spotting',
  'evaluation.spotting_files',
  'evaluation.spotting_reference',
  'evaluation.tables',
  'evaluation.thresholds',
  'explanation.occlusion',
  'explanation.regions',
  'inference.annotated_video',
  'inference.bundle',
  'inference.card',
  'inference.folder',
  'inference.outputs',
  'inference.sources',
  'inference.spotting',
  'models.backbones.compact',
  'models.backbones.resnet',
  'models.dianet',
  'models.fusions.biovilt',
  'models.fusions.causal',
  'models.fusions.gban',
  'models.fusions.plain',
  'models.layers.attention',
  'models.layers.conv',
  'models.layers.cpu',
  'models.layers.cpu.convolution',
  'models.layers.cpu.pooling',
  'models.layers.normalization',
  'models.layers.pooling',
  'models.layers.products',
  'models.layers.temporal',
  'models.layers.transformer',
  'models.official',
  'models.pretrained',
  'models.registry',
  'models.zoo.atm_gcn',
  'models.zoo.causalnet',
  'models.zoo.flow_images',
  'models.zoo.fmanet',
  'models.zoo.frames',
  'models.zoo.fused',
  'models.zoo.gamdss',
  'models.zoo.htnet',
  'models.zoo.magnifier',
  'models.zoo.offapexnet',
  'models.zoo.retention',
  'models.zoo.skd_tstsan',
  'models.zoo.slow_fast_tcm',
  'models.zoo.slstt',
  'models.zoo.ststnet',
  'models.zoo.tcm',
  'models.zoo.tsfmicro',
  'motion.display',
  'motion.dynamic_images',
  'motion.flow',
  'motion.frame_sums',
  'motion.head_motion',
  'motion.key_frames',
  'motion.long_term_flow',
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


# Of `tfds_builders`.
READERS = (
  'action_units',
  'annotations',
  'identity',
  'protocols',
  'registry',
)


@pytest.fixture(scope='module')
def load_once():
  """Reads the bundle of the package once, although many examples load it."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(folder, 'load', functools.cache(folder.load))
    yield


@pytest.mark.parametrize(
  'name',
  [
    'dianet_jax',
    *(f'dianet_jax.{name}' for name in MODULES),
    *(f'tfds_builders.{name}' for name in READERS),
  ],
)
@pytest.mark.usefixtures('load_once')
def test_examples(name):
  module = importlib.import_module(name)
  failed, tried = doctest.testmod(module)
  assert tried > 0
  assert failed == 0
