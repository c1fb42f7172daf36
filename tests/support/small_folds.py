"""A small data set and folds of it, for tests of folds side by side."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from dianet_jax.data import folds as folds_lib
from dianet_jax.models.dianet import DIANet
from dianet_jax.motion.dynamic_images import DYNAMIC_IMAGES
from dianet_jax.training import parallel as parallel_lib
from dianet_jax.training import programs as programs_lib
from dianet_jax.training import trainer as trainer_lib
from dianet_jax.training.objectives import CrossEntropy
from dianet_jax.training.state import Data

# Of a composite of two data sets.
SUBJECTS = ['a'] * 5 + ['b'] * 3 + ['c'] * 6 + ['d'] * 4 + ['e'] * 2
DATASETS = ['one'] * 8 + ['two'] * 12
NUM_CLIPS = len(SUBJECTS)
CHANNELS = {'dynamic_images': DYNAMIC_IMAGES.channels(None)}


def data(images, labels):
  """One variant of the images that `DIANet` reads."""
  return Data({'dynamic_images': images[None]}, labels)


_QUICKLY = 'jax_disable_most_optimizations'


@pytest.fixture
def users_programs(request):
  """Compiles programs as users do, for tests that compare bits."""
  quickly = jax.config.read(_QUICKLY)
  if not request.config.getoption('markexpr'):
    jax.config.update(_QUICKLY, False)
  yield
  jax.config.update(_QUICKLY, quickly)


@pytest.fixture(scope='module', autouse=True)
def shared_programs():
  """Trainings of the same settings run the same programs, made once a module.

  Their data are arguments of these programs; everything else is made anew for
  each training.
  """
  usual = programs_lib.over_folds

  @functools.cache
  def once(quickly, function, strategy, devices, **settings):
    return usual(function, strategy, devices, **settings)

  def over_folds(function, strategy, devices, **settings):
    quickly = jax.config.read(_QUICKLY)
    return once(quickly, function, strategy, tuple(devices), **settings)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(programs_lib, 'over_folds', over_folds)
    yield
  trainer_of.cache_clear()


@functools.cache
def trainer_of(kind, network, dtype, objective, settings, max_train_clips):
  """The same object for the same arguments."""
  return kind(
    DIANet(3, network, dtype),
    CrossEntropy(objective),
    settings,
    'symmetric',
    CHANNELS,
    max_train_clips,
  )


@pytest.fixture(scope='module')
def clips():
  rng = np.random.default_rng(0)
  images = rng.normal(size=(NUM_CLIPS, 2, 12, 12, 3)).astype(np.float32)
  labels = (np.arange(NUM_CLIPS) % 3).astype(np.int32)
  return images, labels


@pytest.fixture
def run(clips, make_config):
  """Trains some folds; every argument has a default."""

  def train_folds(images=None, labels=None, **settings):
    program, folds = make(images, labels, **settings)
    return collect(program.train(folds))

  def make(
    images=None,
    labels=None,
    rows=None,
    seeds=(0,),
    overrides=None,
    kind=trainer_lib.Trainer,
    make_folds=folds_lib.leave_one_subject_out,
    **parallel,
  ):
    """The program and the folds to train."""
    images = clips[0] if images is None else images
    labels = clips[1] if labels is None else labels
    small = {
      'train__epochs': 2,
      'train__batch_size': 6,
      'train__augment__shift_pixels': 1,
    }
    config = make_config(**small | (overrides or {}))
    settings = dataclasses.replace(config.parallel, **parallel)
    dtype = images.dtype
    if settings.compute_dtype != 'auto':
      dtype = np.dtype(settings.compute_dtype)
    inner = config.evaluation.chooses_epoch
    folds = make_folds(
      SUBJECTS, labels, 3, seeds=seeds, validation_share=0.3 if inner else 0
    )
    network = dataclasses.replace(
      config.model,
      backbone='compact',
      widths=config.model.widths or (8,),
      dropout=0.3,
    )
    trainer = trainer_of(
      kind,
      network,
      dtype,
      config.objective,
      config.train,
      folds.train_index.shape[1],
    )
    program = parallel_lib.FoldParallel(
      trainer, data(images, labels), folds, settings, config.evaluation
    )
    return program, folds if rows is None else folds.select(rows)

  def training_of_one(images=None, labels=None, **settings):
    """The complete training state of one fold, without predictions."""
    program, folds = make(images, labels, **settings)
    snapshots = []
    for _ in program.train(folds, lambda _, take: snapshots.append(take)):
      pass
    [fold] = snapshots[-1]()
    return fold.training

  train_folds.make = make
  train_folds.training_of_one = training_of_one
  return train_folds


def collect(groups):
  results = [result for group in groups for result in group]
  return {(result.seed, result.subject): result for result in results}


def shape_and_dtype(leaf):
  return f'{leaf.dtype}{leaf.shape}'


def assert_same_arrays(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_identical(one, other, fields=('variables', 'probabilities')):
  for field in fields:
    jax.tree.map(
      np.testing.assert_array_equal, getattr(one, field), getattr(other, field)
    )


INNER = {'evaluation__epochs': 'inner_split', 'train__epochs': 3}
# Everything that is off by default, on.
OPTIONS = INNER | {
  'model__phase_dropout': 0.5,
  'train__augment__mixup_alpha': 0.4,
  'train__augment__rotation_degrees': 10.0,
  'train__ema_decay': 0.8,
  'objective__focal_gamma': 1.0,
}
