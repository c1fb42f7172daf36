"""Whole runs: outputs, resuming, refusals, and the shipped configs."""

import csv
import dataclasses
import importlib
import json
import shutil

import numpy as np
import pytest

from configs import default, megc2019
from dianet_jax.core import errors
from dianet_jax.evaluation import metrics
from dianet_jax.evaluation import predictions as predictions_lib
from dianet_jax.experiments import run, workdirs
from tests.data.dataset_test import write_flow
from tfds_builders import simulate


def flow_rows():
  """18 clips of six subjects and two data sets; three classes."""
  rows = []
  for index in range(18):
    subject = index % 6
    dataset = 'casme2' if subject < 4 else 'samm'
    name = f'sub{subject:02d}' if subject < 4 else f'00{subject}'
    rows.append((dataset, name, f'clip{index}', index % 3))
  return rows


@pytest.fixture(scope='module')
def flow(tmp_path_factory):
  return write_flow(tmp_path_factory.mktemp('flow'), flow_rows())


@pytest.fixture
def flow_config(make_config, flow):
  def make(**overrides):
    overrides = {
      'data__manual_dir': str(flow),
      'seeds': 2,
      'train__epochs': 2,
    } | overrides
    return make_config(megc2019, **overrides)

  return make


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """Holds the workdir of the first finished run, made on demand."""
  return {'workdir': tmp_path_factory.mktemp('runs') / 'run'}


@pytest.fixture
def workdir(finished, flow_config):
  if not finished['workdir'].exists():
    finished['summary'] = run.run(flow_config(), finished['workdir'])
  return finished['workdir']


def predictions(workdir):
  with (workdir / 'predictions.csv').open(newline='') as file:
    return list(csv.DictReader(file))


def test_outputs(workdir, finished):
  summary = json.loads((workdir / 'metrics.json').read_text())
  assert summary == json.loads(json.dumps(finished['summary']))
  assert (summary['overall']['n'], summary['folds']) == (18, 6)
  assert summary['seeds'] == [0, 1] and not summary['simulated']
  assert set(summary['by_dataset']) == {'casme2', 'samm'}
  saved = json.loads((workdir / 'config.json').read_text())
  assert saved['config']['seeds'] == 2
  [session] = saved['sessions']
  assert {'python', 'jax', 'flax', 'numpy'} <= session.keys()
  assert summary['trained_by'] == {'float32, loop, cpu': 12}
  page = (workdir / 'report.html').read_text()
  clips = page.count('<section class="clip">')
  # Of three classes up to three wrong clips and two right ones, six at least.
  assert 6 <= clips <= 15
  assert page.count('data:image/png;base64') == 2 * clips
  # Each is explained: the regions, and a map of each backbone at least.
  assert page.count('Evidence for') == clips
  assert page.count('data:image/jpeg;base64') >= 3 * clips
  assert '<svg' in page and 'http://' not in page.replace(
    'http://www.w3.org', ''
  ).replace('http://purl.org', '').replace('http://creativecommons.org', '')
  # One file of events and one checkpoint a training.
  assert len(list(workdir.glob('tensorboard/seed*/*/events*'))) == 12
  for kind in ('checkpoints', 'weights'):
    assert len(list(workdir.glob(f'{kind}/seed*/*'))) == 12


def test_predictions_reproduce_the_metrics(workdir):
  rows = predictions(workdir)
  assert len(rows) == 36
  assert len({(row['seed'], row['clip_id']) for row in rows}) == 36
  assert all(row['clip_id'].startswith(row['fold']) for row in rows)
  summary = json.loads((workdir / 'metrics.json').read_text())
  classes = summary['classes']
  for index, seed in enumerate(summary['seeds']):
    chosen = [row for row in rows if row['seed'] == str(seed)]
    truth, guess = (
      np.array([classes.index(row[key]) for row in chosen])
      for key in ('truth', 'prediction')
    )
    confusion = metrics.confusion_matrix(truth, guess, 3)
    assert confusion.tolist() == summary['overall']['confusion'][index]
    assert metrics.uf1(confusion) == pytest.approx(
      summary['overall']['uf1']['seeds'][index]
    )
    for row in chosen:
      shares = [float(row[f'p_{name}']) for name in classes]
      assert sum(shares) == pytest.approx(1, abs=1e-5)
      assert classes[int(np.argmax(shares))] == row['prediction']


@pytest.mark.slow
def test_resuming_gives_the_same_predictions(
  workdir, flow_config, tmp_path, capsys
):
  again = tmp_path / 'again'
  shutil.copytree(workdir, again)
  before = predictions(again)
  for name in ('metrics.json', 'predictions.csv', 'report.html'):
    (again / name).unlink()
  for fold in ('seed0/casme2_sub02', 'seed1/samm_005'):
    shutil.rmtree(again / 'checkpoints' / fold)
  run.run(flow_config(), again)
  assert '10 of 12 trainings are finished' in capsys.readouterr().out
  assert predictions(again) == before


@pytest.mark.slow
def test_more_seeds_are_added_to_a_finished_run(
  workdir, flow_config, tmp_path, capsys
):
  grown = tmp_path / 'grown'
  run.run(flow_config(seeds=1), grown)
  capsys.readouterr()
  summary = run.run(flow_config(), grown)
  assert '6 of 12 trainings are finished' in capsys.readouterr().out
  assert predictions(grown) == predictions(workdir)
  before = workdirs.load_summary(workdir)
  for key in ('overall', 'by_dataset', 'seeds'):
    assert json.loads(json.dumps(summary[key])) == before[key]
  assert len(list(grown.glob('tensorboard/seed*/*/events*'))) == 12


def test_a_finished_run_is_reported(workdir, flow_config, finished, capsys):
  assert run.run(flow_config(), workdir) == json.loads(
    json.dumps(finished['summary'])
  )
  assert 'This run is finished' in capsys.readouterr().out


def test_the_workdir_of_another_config_is_refused(workdir, flow_config):
  with pytest.raises(errors.UserError, match='train.epochs: 2 there, 3 here'):
    run.run(flow_config(train__epochs=3), workdir)


def test_devices_and_cache_are_no_other_config(workdir, flow_config):
  run.run(flow_config(parallel__devices=1), workdir)
  run.run(flow_config(data__cache_dir='/elsewhere'), workdir)


def test_an_invalid_configuration_does_not_claim_the_workdir(
  flow_config, tmp_path
):
  with pytest.raises(errors.UserError, match='does not exist'):
    run.run(flow_config(data__manual_dir='/none'), tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_two_runs_do_not_share_a_workdir(flow_config, tmp_path):
  with (
    workdirs.exclusive(tmp_path / 'run'),
    pytest.raises(errors.UserError, match='Another run is using'),
  ):
    run.run(flow_config(), tmp_path / 'run')


@pytest.mark.parametrize('damaged', ['config.json', 'data.json'])
def test_a_damaged_workdir_is_named(workdir, flow_config, tmp_path, damaged):
  again = tmp_path / 'again'
  shutil.copytree(workdir, again)
  (again / 'metrics.json').unlink()
  (again / damaged).write_text('{"')
  with pytest.raises(errors.UserError, match=damaged):
    run.run(flow_config(), again)


@pytest.mark.slow
def test_a_damaged_fold_is_trained_again(
  workdir, flow_config, tmp_path, capsys
):
  again = tmp_path / 'again'
  shutil.copytree(workdir, again)
  (again / 'metrics.json').unlink()
  for file in (again / 'checkpoints/seed0/samm_005').rglob('*'):
    if file.is_file():
      file.write_text('{"')
  run.run(flow_config(), again)
  output = capsys.readouterr().out
  assert 'samm_005 cannot be read' in output
  assert '11 of 12 trainings are finished' in output
  assert predictions(again) == predictions(workdir)


@pytest.mark.slow
def test_changed_data_are_refused(flow_config, tmp_path):
  rows = flow_rows()
  raw = write_flow(tmp_path, rows)
  config = flow_config(data__manual_dir=str(raw), train__epochs=1, seeds=1)
  run.run(config, tmp_path / 'run')
  (tmp_path / 'run' / 'metrics.json').unlink()
  write_flow(raw, rows[:-1])
  with pytest.raises(errors.UserError, match='raw data have changed'):
    run.run(config, tmp_path / 'run')


@pytest.mark.slow
def test_divergence_names_the_fold(flow_config, tmp_path):
  config = flow_config(seeds=1)
  # No configuration may say so.
  train = dataclasses.replace(config.train, learning_rate=1e30)
  config = dataclasses.replace(config, train=train)
  with pytest.raises(
    errors.UserError,
    match='diverged in 6.*casme2/sub00 .seed 0, epoch 2.* and 1 more',
  ):
    run.run(config, tmp_path / 'run')


@pytest.mark.slow
def test_a_control_is_marked_in_every_output(flow_config, tmp_path, capsys):
  config = flow_config(data__permute_labels=True, seeds=1, train__epochs=1)
  run.run(config, tmp_path / 'run')
  assert 'CONTROL WITH SHUFFLED LABELS' in capsys.readouterr().out
  page = (tmp_path / 'run' / 'report.html').read_text()
  assert 'CONTROL WITH SHUFFLED LABELS' in page


@pytest.mark.slow
def test_one_data_set_is_tested_after_training_on_the_other(
  flow_config, tmp_path, capsys
):
  config = flow_config(evaluation__protocol='cross_dataset')
  summary = run.run(config, tmp_path)
  shown = capsys.readouterr().out
  assert 'trained on the other data sets' in shown
  assert 'leave-one-subject-out' not in shown
  names = {row['subject'] for row in summary['trainings']}
  assert names == set(summary['by_dataset']) and summary['folds'] == len(names)
  saved = predictions_lib.load(tmp_path)
  # Every clip once, its subject beside it: intervals resample those.
  assert saved.cross_dataset and len(saved.clips) == summary['overall']['n']
  assert len(set(saved.subjects)) > len(names) == 2


def test_one_class_only(flow_config, tmp_path):
  raw = write_flow(
    tmp_path, [('samm', f'00{s}', f'clip{s}', 1) for s in (6, 7)]
  )
  with pytest.raises(errors.UserError, match='one class'):
    run.run(flow_config(data__manual_dir=str(raw)), tmp_path / 'run')


@pytest.mark.slow
def test_a_subject_without_a_clip_of_the_protocol(
  make_config, tmp_path, capsys
):
  # One clip a subject, and the sadness of one is in no class of the four.
  raw = simulate.write(
    'mmew', tmp_path / 'raw', subjects=4, clips_per_subject=1,
    frame_height=64, frame_width=56,
  )  # fmt: skip
  config = make_config(
    importlib.import_module('configs.mmew'),
    **SMALL,
    data__manual_dir=str(raw),
    data__protocol='mmew_4class',
    model__backbone='compact',
    model__heads=4,
  )
  summary = run.run(config, tmp_path / 'run')
  assert summary['folds'] < 4
  assert 'has no clip of the protocol: no fold' in capsys.readouterr().out
  assert any('no fold' in note for note in summary['notes'])


SMALL = {
  'data__frame_size': 64,
  'data__image_size': 32,
  'train__epochs': 1,
  'train__augment__shift_pixels': 1,
}


# With fewer channels: they share their network.
@pytest.mark.slow
@pytest.mark.parametrize('name', ['casme2', 'samm', 'mmew'])
def test_shipped_configs_run_on_their_layout(make_config, tmp_path, name):
  raw = simulate.write(
    name, tmp_path / 'raw', subjects=3, clips_per_subject=5,
    frame_height=64, frame_width=56,
  )  # fmt: skip
  module = importlib.import_module(f'configs.{name}')
  assert module.get_config().model == default.get_config().model
  config = make_config(
    module, **SMALL, data__manual_dir=str(raw), model__widths=(8,) * 4
  )
  assert config.model.backbone == 'resnet18'
  summary = run.run(config, tmp_path / 'run')
  assert summary['folds'] == 3 and summary['simulated']
  marks = {row['dataset'] for row in predictions(tmp_path / 'run')}
  assert marks == {f'simulated {name}'}
  assert summary['overall']['n'] == len(predictions(tmp_path / 'run'))
  assert summary['overall']['n'] >= 9


@pytest.mark.slow
def test_an_unreadable_frame_stops_the_run_or_is_reported(
  make_config, tmp_path, capsys
):
  raw = simulate.write(
    'casme2', tmp_path / 'raw', subjects=3, clips_per_subject=5,
    frame_height=64, frame_width=56,
  )  # fmt: skip
  frame = next((raw / 'Cropped' / 'sub02').glob('*/*.jpg'))
  frame.write_bytes(frame.read_bytes()[:200])
  clip_id = f'sub02/{frame.parent.name}'
  overrides = SMALL | {
    'data__manual_dir': str(raw),
    'model__backbone': 'compact',
  }
  module = importlib.import_module('configs.casme2')
  with pytest.raises(errors.UserError, match='1 of 15 clips') as raised:
    run.run(make_config(module, **overrides), tmp_path / 'stopped')
  assert clip_id in str(raised.value) and 'skip_bad_clips' in str(raised.value)
  config = make_config(module, **overrides, data__skip_bad_clips=True)
  summary = run.run(config, tmp_path / 'run')
  assert summary['overall']['n'] == 14
  assert f'{clip_id} left out' in capsys.readouterr().out
