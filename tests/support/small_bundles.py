"""Bundles of small untrained networks."""

import dataclasses

import jax
import numpy as np
import pytest

from dianet_jax.core import config
from dianet_jax.inference import folder
from dianet_jax.inference.bundle import Bundle
from dianet_jax.models.dianet import DIANetSettings
from tests.models.zoo import small

CLASSES = ('negative', 'positive', 'surprise')
RESULT = {'mean': 0.5, 'interval_95': [0.4, 0.6], 'chance_95': [0.2, 0.4]}
FACTS = {
  'training': {
    'dataset': 'casme2',
    'protocol': 'casme2_5class',
    'clips': 9,
    'class_counts': '3 negative, 3 positive, 3 surprise',
    'subjects': 3,
    'fingerprint': '0' * 16,
    'simulated': True,
    'control': False,
    'origin': 'Ask them.',
    'prepared_by_others': False,
    'networks': 'untrained',
    'run': 'none',
  },
  'result': {
    'n': 9,
    'folds': 3,
    'seeds': 1,
    'uf1': RESULT,
    'uar': RESULT,
    'accuracy': RESULT,
  },
  'versions': {'jax': jax.__version__},
}


def data(**values):
  """The section of dynamic images of 12 pixels out of frames of 48."""
  values = {
    'dataset': 'casme2',
    'protocol': 'casme2_5class',
    'frame_size': 48,
    'image_size': 12,
  } | values
  return config.Data(**values)


def make(members=2, settings=None, classes=CLASSES, **values):
  """A bundle; `values` go into its `data` section."""
  bundle = Bundle(
    name='small',
    classes=classes,
    data=data(**values),
    model=DIANetSettings(**(settings or small.COMPACT)),
    members=(),
    calibration={
      'temperature': 1.5,
      'clips': 9,
      'nats_before': 1.1,
      'nats_after': 1.0,
    },
    facts=FACTS,
  )
  blank = {
    name: jax.ShapeDtypeStruct((1, *spec.shape), spec.dtype)
    for name, spec in bundle.specs.items()
  }
  drawn = tuple(
    small.variables_of(bundle.network, blank, seed) for seed in range(members)
  )
  return dataclasses.replace(bundle, members=drawn)


def inputs(bundle, clips, seed=1):
  """Raw inputs of some clips."""
  rng = np.random.default_rng(seed)
  return {
    name: rng.normal(size=(clips, *spec.shape)).astype(np.float32)
    for name, spec in bundle.specs.items()
  }


@pytest.fixture(scope='module')
def written(bundle, tmp_path_factory):
  """The folder of the module's `bundle`."""
  path = tmp_path_factory.mktemp('bundle') / 'small'
  folder.save(bundle, path)
  return path
