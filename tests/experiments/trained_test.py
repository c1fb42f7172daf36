"""A finished run can be opened, and predicts as it did."""

import csv

import numpy as np
import pytest

from configs import megc2019
from dianet_jax.core import errors
from dianet_jax.experiments import run, trained
from tests.data.dataset_test import write_flow
from tests.experiments.run_test import flow_rows


@pytest.fixture(scope='module')
def flow(tmp_path_factory):
  return write_flow(tmp_path_factory.mktemp('flow'), flow_rows())


def test_weights_give_the_predictions_again(flow, make_config, tmp_path):
  config = make_config(
    megc2019, data__manual_dir=str(flow), seeds=2, train__epochs=2
  )
  workdir = tmp_path / 'run'
  with pytest.raises(errors.UserError, match='no config.json'):
    trained.open_run(workdir)
  run.run(config, workdir)
  opened = trained.open_run(workdir)
  assert opened.config == config and len(opened.folds) == 12
  dataset = run.read_dataset(opened.config)
  with (workdir / 'predictions.csv').open(newline='') as file:
    rows = {(int(r['seed']), r['clip_id']): r for r in csv.DictReader(file)}
  for seed, subject in opened.folds:
    chosen = np.array(dataset.subjects) == subject
    inputs = {name: a[0, chosen] for name, a in dataset.inputs.items()}
    found = opened.predict(opened.variables(seed, subject), inputs)
    for index, probs in zip(np.flatnonzero(chosen), np.asarray(found)):
      row = rows.pop((seed, dataset.clips[index].clip_id))
      assert row['fold'] == subject
      written = [float(row[f'p_{name}']) for name in opened.classes]
      np.testing.assert_allclose(probs, written, atol=2e-6)
  assert not rows
  with pytest.raises(errors.UserError, match="'nobody' held out. There are 12"):
    opened.variables(0, 'nobody')
  (workdir / 'metrics.json').unlink()
  with pytest.raises(errors.UserError, match='not finished'):
    trained.open_run(workdir)
