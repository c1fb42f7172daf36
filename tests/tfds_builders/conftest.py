"""Simulated raw data sets that several files of tests read."""

import pytest

from tests.support import simulated_trees
from tfds_builders import simulate


@pytest.fixture(scope='session')
def trees(tmp_path_factory):
  """Name of a data set -> root of its small simulated tree; only to be read."""
  folder = tmp_path_factory.mktemp('simulated')
  return {
    dataset: simulate.write(dataset, folder / dataset, **simulated_trees.SMALL)
    for dataset in simulated_trees.SHEETS
  }
