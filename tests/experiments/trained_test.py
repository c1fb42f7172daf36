"""A finished run can be opened and reproduces its predictions."""

import csv
import pathlib

import numpy as np
import pytest

from configs import megc2019
from dianet_jax.core import errors
from dianet_jax.experiments import nested, run, trained
from tests.data.dataset_test import write_flow
from tests.experiments.run_test import flow_rows

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope='module')
def flow(tmp_path_factory):
  return write_flow(tmp_path_factory.mktemp('flow'), flow_rows())


@pytest.mark.slow
def test_saved_weights_reproduce_the_predictions(flow, make_config, tmp_path):
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
    found = opened.network(seed, subject).predict(inputs)
    for index, probs in zip(np.flatnonzero(chosen), np.asarray(found)):
      row = rows.pop((seed, dataset.clips[index].clip_id))
      assert row['fold'] == subject
      written = [float(row[f'p_{name}']) for name in opened.classes]
      np.testing.assert_allclose(probs, written, atol=2e-6)
  assert not rows
  with pytest.raises(errors.UserError, match="'nobody' held out. There are 12"):
    opened.network(0, 'nobody')
  damaged = workdir / 'weights' / 'seed1' / 'samm_005'
  for file in damaged.rglob('*'):
    if file.is_file():
      file.write_text('{"')
  with pytest.raises(errors.UserError, match='samm_005 are missing or damaged'):
    opened.network(1, 'samm/005')
  # Looking does not move anything.
  assert damaged.exists()
  (workdir / 'metrics.json').unlink()
  with pytest.raises(errors.UserError, match='not finished'):
    trained.open_run(workdir)


@pytest.mark.slow
def test_nested_selections_can_be_opened(flow, make_config, tmp_path):
  config = make_config(
    megc2019,
    data__manual_dir=str(flow),
    seeds=1,
    train__epochs=1,
    study__kind='nested',
    study__groups=3,
    study__rows=('plain: model.fusion=add', 'gate: model.fusion=gated'),
  )
  workdir = tmp_path / 'nested'
  nested.run(config, workdir)
  opened = trained.open_run(workdir)
  assert len(opened.folds) == 6
  dataset = run.read_dataset(config)
  with (workdir / 'predictions.csv').open(newline='') as file:
    rows = {row['clip_id']: row for row in csv.DictReader(file)}
  for seed, subject in opened.folds:
    network = opened.network(seed, subject)
    assert network.config.model.fusion in ('add', 'gated')
    chosen = np.array(dataset.subjects) == subject
    inputs = {name: a[0, chosen] for name, a in dataset.inputs.items()}
    for index, probs in zip(np.flatnonzero(chosen), network.predict(inputs)):
      row = rows[dataset.clips[index].clip_id]
      written = [float(row[f'p_{name}']) for name in opened.classes]
      np.testing.assert_allclose(probs, written, atol=2e-6)


def test_a_run_without_weights_is_refused():
  kept = ROOT / 'benchmarks/results/ablation-megc2019/onset-apex-only'
  with pytest.raises(errors.UserError, match='saved no weights'):
    trained.open_run(kept)
