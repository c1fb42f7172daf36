"""Finished runs: failing reports lose no result, and the data are checked."""

import json
import shutil

import pytest

from configs import megc2019
from dianet_jax.core import entry, errors, faults
from dianet_jax.evaluation import page, report
from dianet_jax.experiments import run, workdirs
from dianet_jax.training import checkpoints, resume
import main
from tests.data.dataset_test import write_flow
from tests.experiments.run_test import flow_rows

# Whole runs.
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def flow(tmp_path_factory):
  return write_flow(tmp_path_factory.mktemp('flow'), flow_rows())


@pytest.fixture
def config(make_config, flow):
  return make_config(
    megc2019, data__manual_dir=str(flow), seeds=1, train__epochs=1
  )


def broken(*_):
  raise RuntimeError('latex could not\nbe found')


@pytest.fixture(scope='module')
def places(tmp_path_factory):
  return {'run': tmp_path_factory.mktemp('runs') / 'run'}


@pytest.fixture
def finished(config, places, monkeypatch, capsys, tmp_path):
  """A copy of a run whose report could not be written."""
  if not places['run'].exists():
    with monkeypatch.context() as patch:
      patch.setattr(page, 'write', broken)
      patch.setattr(report, 'write_events', broken)
      run.run(config, places['run'])
    places['output'] = capsys.readouterr().out
  shutil.copytree(places['run'], tmp_path / 'run')
  return tmp_path / 'run'


def test_a_report_that_fails_does_not_lose_the_result(finished, places):
  output = places['output']
  for name in ('report.html', 'tensorboard'):
    assert f'{name} could not be drawn (RuntimeError: latex could' in output
    assert not (finished / name).exists()
  assert 'pooled over leave-one-subject-out' in output
  summary = json.loads((finished / 'metrics.json').read_text())
  assert summary['data']['clips'] == 18 and summary['sessions'][0]['jax']
  assert (finished / 'predictions.csv').exists()


def test_the_same_command_writes_a_missing_report(finished, config, capsys):
  summary = json.loads((finished / 'metrics.json').read_text())
  assert run.run(config, finished) == summary
  output = capsys.readouterr().out
  assert 'are unchanged' in output and 'could not' not in output
  assert '18 clips of 6 subjects, fingerprint' in output
  text = (finished / 'report.html').read_text()
  clips = text.count('<section class="clip">')
  assert text.count('data:image/png;base64') == 2 * clips > 0
  assert text.count('Evidence for') == clips and '<svg' in text
  assert summary['data']['fingerprint'] in text
  assert len(list(finished.glob('tensorboard/seed0/*/events*'))) == 6
  # And is not drawn again.
  (finished / 'report.html').write_text('kept')
  run.run(config, finished)
  assert (finished / 'report.html').read_text() == 'kept'


def test_changed_data_of_a_finished_run_are_refused(
  finished, flow, make_config, tmp_path
):
  (tmp_path / 'changed').mkdir()
  raw = write_flow(tmp_path / 'changed', flow_rows()[:-1])
  config = make_config(
    megc2019, data__manual_dir=str(raw), seeds=1, train__epochs=1
  )
  with pytest.raises(errors.UserError, match='have changed since the run was'):
    run.run(config, finished)


def test_a_finished_run_that_cannot_be_written_is_shown(
  finished, config, monkeypatch, capsys
):
  def read_only(*_, **__):
    raise OSError(30, 'Read-only file system')

  monkeypatch.setattr(workdirs.pathlib.Path, 'mkdir', read_only)
  run.run(config, finished)
  assert 'This run is finished' in capsys.readouterr().out
  (finished / 'metrics.json').unlink()
  with pytest.raises(errors.UserError, match='Read-only file system'):
    run.run(config, finished)


@pytest.mark.parametrize('content', ['{"a": 1}', '"x"', '[' * 10**5, '{}'])
def test_a_damaged_result_is_reported_and_can_be_computed_again(
  finished, config, content
):
  before = json.loads((finished / 'metrics.json').read_text())
  (finished / 'metrics.json').write_text(content)
  with pytest.raises(errors.UserError, match='metrics.json .* Remove that f'):
    run.run(config, finished)
  if content == '{}':
    (finished / 'metrics.json').unlink()
    assert run.run(config, finished)['overall'] == before['overall']


@pytest.mark.parametrize(
  'stage,module,function',
  [
    ('data', run.dataset_lib.raw_files, 'listing'),
    ('training', resume, 'train_folds'),
    ('training', checkpoints, 'check_space'),
    ('evaluation', report, 'summarise'),
    ('report', page, 'write'),
  ],
)
def test_an_error_of_any_stage_is_one_line(
  finished, config, monkeypatch, capsys, stage, module, function
):
  (finished / 'metrics.json').unlink()
  if function == 'check_space':
    shutil.rmtree(finished / 'checkpoints/seed0/samm_005')
  monkeypatch.delenv(faults.VARIABLE, raising=False)
  monkeypatch.setattr(module, function, broken)
  status = entry.run(lambda: main.train(config, finished))
  captured = capsys.readouterr()
  if stage == 'report':
    # The result is more than its picture.
    assert status == 0 and (finished / 'metrics.json').exists()
    line = next(x for x in captured.out.splitlines() if 'drawn' in x)
  else:
    assert status == 1 and not (finished / 'metrics.json').exists()
    [line] = captured.err.splitlines()
  assert 'RuntimeError: latex could not be found' in line
  [log] = finished.glob('error-*.log')
  assert str(log) in line and 'in broken' in log.read_text()
  assert 'Traceback' not in captured.out + captured.err
