"""A small study on flow images."""

import importlib

import pytest

from tests.data.dataset_test import write_flow
from tests.experiments.run_test import flow_rows

ROWS = (
  "whole: data.phases=('onset_offset',) model.fusion=concat",
  'Both, added: model.fusion=add',
  "first only: data.phases=('onset_apex',) model.fusion=concat"
  ' train.learning_rate=2e-3',
)


@pytest.fixture(scope='module')
def flow(tmp_path_factory):
  return write_flow(tmp_path_factory.mktemp('flow'), flow_rows())


@pytest.fixture
def make_study(make_config, flow):
  def make(module='megc2019', **overrides):
    overrides = {
      'data__manual_dir': str(flow),
      'seeds': 1,
      'train__epochs': 1,
      'study__kind': 'ablation',
      'study__rows': ROWS,
    } | overrides
    source = importlib.import_module(f'configs.{module}')
    return make_config(source, **overrides)

  return make


@pytest.fixture
def make(make_study):
  return make_study
