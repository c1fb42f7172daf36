"""A run that was stopped, killed or damaged ends as if nothing had happened."""

import gzip
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from configs import megc2019
from dianet_jax.core import errors
from dianet_jax.evaluation import predictions
from dianet_jax.experiments import run
from dianet_jax.training import checkpoints, programs
from dianet_jax.training.results import History, Training, Unfinished
from tests.data.dataset_test import write_flow
from tests.experiments.run_test import flow_rows

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
EPOCHS = 12
RUN = f"""
--config.train.epochs={EPOCHS} --config.seeds=2
--config.parallel.checkpoint_minutes=0
""".split()


@pytest.fixture(scope='module')
def flow(tmp_path_factory):
  return write_flow(tmp_path_factory.mktemp('flow'), flow_rows())


@pytest.fixture(scope='module')
def begin(flow, tmp_path_factory):
  """Starts main.py, with a cache of programs of its own."""
  cache = tmp_path_factory.mktemp('cache')
  env = os.environ | {
    'DIANET_CACHE': str(cache),
    'JAX_NUM_CPU_DEVICES': '4',
    # What is compared was compiled alike, and most of the time is compilation.
    'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
  }
  del env['JAX_COMPILATION_CACHE_DIR']

  def start(workdir, *arguments, before=(), **options):
    return subprocess.Popen(
      [
        *before,
        sys.executable,
        'main.py',
        '--config=configs/megc2019.py',
        f'--config.data.manual_dir={flow}',
        f'--workdir={workdir}',
        *RUN,
        *arguments,
      ],
      cwd=ROOT,
      env=env,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      **options,
    )

  start.cache = cache
  return start


def finish(process, returncode=0):
  output, _ = process.communicate(timeout=300)
  assert process.returncode == returncode, output
  assert 'Traceback' not in output
  return output


@pytest.fixture(scope='module')
def whole(begin, tmp_path_factory):
  """The workdir of an uninterrupted run, and its seconds."""
  workdir = tmp_path_factory.mktemp('whole') / 'run'
  start = time.monotonic()
  finish(begin(workdir))
  return workdir, time.monotonic() - start


def assert_same(workdir, whole):
  """Asserts bit-identical results, as on the same number of devices."""
  written, expected = (w / 'predictions.csv' for w in (workdir, whole))
  assert written.read_bytes() == expected.read_bytes()
  folders = sorted(whole.glob('checkpoints/seed*/*'))
  folders += sorted(whole.glob('weights/seed*/*'))
  assert len(folders) == 24
  checkpointer = ocp.StandardCheckpointer()
  for folder in folders:
    other = workdir / folder.relative_to(whole)
    one, two = checkpointer.restore(folder), checkpointer.restore(other)
    jax.tree.map(np.testing.assert_array_equal, one, two)
  # Nothing of what was on the way is left.
  assert not (workdir / 'unfinished').exists()
  assert not list(workdir.rglob('*orbax-checkpoint-tmp*'))


def assert_close(workdir, whole):
  """Asserts results equal up to rounding, as on other numbers of devices."""
  (one, two) = (predictions.load(path) for path in (workdir, whole))
  assert one.clips == two.clips and one.seeds == two.seeds
  np.testing.assert_allclose(one.probabilities, two.probabilities, atol=5e-3)


def wait_for(process, condition, seconds=300):
  end = time.monotonic() + seconds
  while process.poll() is None and time.monotonic() < end:
    if condition():
      return True
    time.sleep(0.002)
  return False


def test_killed_six_times(begin, whole, tmp_path):
  """At random, and while a checkpoint or a compiled program is written."""
  workdir, (reference, seconds) = tmp_path / 'run', whole
  shutil.rmtree(begin.cache / 'compiled')
  rng = random.Random(0)
  seen = {'checkpoint': 0, 'program': 0, 'epochs': 0}
  for kill in range(6):
    process = begin(workdir)
    if kill < 2:
      known = set(begin.cache.glob('compiled/*'))
      seen['program'] += wait_for(
        process, lambda k=known: set(begin.cache.glob('compiled/*')) - k
      )
    elif kill < 4:
      seen['checkpoint'] += wait_for(
        process, lambda: any(workdir.rglob('*orbax-checkpoint-tmp*'))
      )
    else:
      wait_for(process, lambda: False, rng.uniform(0.3, 1.0) * seconds)
    process.kill()
    process.communicate()
    seen['epochs'] += bool(list(workdir.glob('unfinished/seed*/*/*')))
  assert seen['program'] == seen['checkpoint'] == 2
  assert seen['epochs'] >= 2
  finish(begin(workdir))
  assert_same(workdir, reference)


def test_sigterm_saves_and_ends(begin, whole, tmp_path):
  workdir = tmp_path / 'run'
  # Nothing is written but what the signal asks for.
  rarely = '--config.parallel.checkpoint_minutes=60'
  process = begin(workdir, rarely, '--config.parallel.devices=4')
  for line in process.stdout:
    if 'at once' in line:
      break
  time.sleep(0.2)
  process.send_signal(signal.SIGTERM)
  output = finish(process, 128 + signal.SIGTERM)
  assert 'stopped by SIGTERM; all folds in training are saved' in output
  # Such as 3, or 3.2: two steps further.
  [name] = {p.name for p in workdir.glob('unfinished/seed*/*/*')}
  epoch = name.split('.')[0]
  assert int(epoch) < EPOCHS
  output = finish(begin(workdir, rarely, '--config.parallel.devices=4'))
  assert f'4 training(s) resume after epoch {epoch}' in output
  assert_same(workdir, whole[0])


def test_resuming_with_another_strategy_is_refused(flow, make_config, tmp_path):
  def go_on(**overrides):
    config = make_config(
      megc2019,
      data__manual_dir=str(flow),
      seeds=1,
      train__epochs=2,
      parallel__devices=2,
      **overrides,
    )
    return run.run(config, tmp_path / 'run')

  go_on()
  # As a run that was stopped, and started again on a machine that chooses
  # another way by itself.
  (tmp_path / 'run' / 'metrics.json').unlink()
  for kind in ('checkpoints', 'weights'):
    shutil.rmtree(tmp_path / 'run' / kind / 'seed0' / 'samm_005')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(programs, 'choose_strategy', lambda *_: 'map')
    with pytest.raises(errors.UserError) as raised:
      go_on()
    message = str(raised.value)
    assert '5 training(s)' in message and 'allow_mixed' in message
    assert 'float32, loop, cpu' in message and 'float32, map, cpu' in message
    summary = go_on(parallel__allow_mixed=True)
  assert summary['trained_by'] == {
    'float32, loop, cpu': 5, 'float32, map, cpu': 1
  }  # fmt: skip


def test_a_damaged_compiled_program_is_compiled_again(begin, whole, tmp_path):
  files = [f for f in begin.cache.glob('compiled/*') if f.is_file()]
  assert len(files) > 5
  for file in files:
    file.write_bytes(file.read_bytes()[:100])
  finish(begin(tmp_path / 'run'))
  assert_same(tmp_path / 'run', whole[0])


def test_a_failing_write_is_reported(begin, whole, tmp_path):
  # No file above 8 kB, as on a disk that is full; the log goes to a pipe.
  # `whole` has made records and programs.
  process = begin(
    tmp_path / 'run', before=['sh', '-c', 'ulimit -f 16; exec "$@"', 'sh']
  )
  output, _ = process.communicate(timeout=300)
  assert process.returncode == 1, output
  message = output[output.index('error: ') :]
  # Threads of orbax complain on their own, too.
  assert 'cannot be written' in message and 'Free disk space' in message


def test_too_small_a_disk_is_refused(flow, make_config, tmp_path, monkeypatch):
  config = make_config(megc2019, data__manual_dir=str(flow))
  usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
  monkeypatch.setattr(checkpoints.shutil, 'disk_usage', lambda path: usage)
  with pytest.raises(errors.UserError, match=r'has 0.00 GB left.* 0.0[1-9] GB'):
    run.run(config, tmp_path / 'run')


def training(epochs):
  """A pytree with the structure of a training."""
  rng = np.random.default_rng(epochs)
  values = rng.normal(size=epochs).astype(np.float32)
  history = History(loss=values, correct=values, clips=values)
  state = {'kernel': rng.normal(size=(300, 40)), 'step': np.array(epochs)}
  return Training(state=state, best=None, history=history)


def like(epochs):
  return jax.tree.map(np.zeros_like, training(epochs))


@pytest.fixture
def saved(tmp_path):
  checkpoint = checkpoints.Checkpoints(tmp_path)
  for epochs in (3, 5, 8):
    checkpoint.save_unfinished(Unfinished('x/s1', 0, training(epochs)))
    checkpoint.wait()
  yield checkpoint
  checkpoint.close()


def folder(tmp_path, epochs):
  return tmp_path / 'unfinished' / 'seed0' / 'x_s1' / str(epochs)


def test_the_last_two_checkpoints_are_kept(saved, tmp_path):
  found = saved.load_unfinished(0, 'x/s1', like)
  assert found.epochs == 8
  jax.tree.map(np.testing.assert_array_equal, found.training, training(8))
  assert not folder(tmp_path, 3).exists() and folder(tmp_path, 5).exists()
  assert saved.load_unfinished(1, 'x/s1', like) is None


@pytest.mark.parametrize('damage', ['bit', 'cut', 'gone'])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
  saved, tmp_path, damage, capsys
):
  last = folder(tmp_path, 8)
  files = [file for file in last.rglob('*') if file.is_file()]
  file = max(files, key=lambda file: file.stat().st_size)
  content = bytearray(file.read_bytes())
  if damage == 'bit':
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
  elif damage == 'cut':
    file.write_bytes(content[: len(content) // 2])
  else:
    file.unlink()
  found = saved.load_unfinished(0, 'x/s1', like)
  assert found.epochs == 5
  jax.tree.map(np.testing.assert_array_equal, found.training, training(5))
  assert f'{last} cannot be read' in capsys.readouterr().out
  # Kept aside, so that the next one can take its place.
  assert not last.exists()
  assert (tmp_path / 'damaged' / last.relative_to(tmp_path)).exists()


def srun(tasks):
  """The environment that srun sets for each of several tasks."""
  # jax takes the port from the number of the job.
  with socket.socket() as free:
    free.bind(('localhost', 0))
    job = (free.getsockname()[1] - 61440) % 4096
  same = ['env', f'SLURM_JOB_ID={job}', f'SLURM_NTASKS={tasks}']
  same += ['SLURM_STEP_NODELIST=localhost', 'SLURM_STEP_NUM_NODES=1']
  return [
    [*same, f'SLURM_PROCID={task}', f'SLURM_LOCALID={task}']
    for task in range(tasks)
  ]


def test_two_processes_share_the_folds(begin, whole, tmp_path):
  common = ['--config.parallel.coordinator=auto', '--config.parallel.devices=1']
  # Folders of their own, as on two machines; the second time from one.
  workdirs = [tmp_path / 'one', tmp_path / 'two']
  processes = [
    begin(workdir, *common, before=before)
    for workdir, before in zip(workdirs, srun(2))
  ]
  outputs = [finish(process) for process in processes]
  assert 'pooled over leave-one-subject-out' in outputs[0]
  assert 'pooled' not in outputs[1] and 'Results' not in outputs[1]
  assert not (workdirs[1] / 'predictions.csv').exists()
  held = [
    {p.relative_to(w) for p in w.glob('checkpoints/seed*/*')} for w in workdirs
  ]
  assert [len(part) for part in held] == [6, 6] and not held[0] & held[1]
  shutil.copytree(workdirs[1], workdirs[0], dirs_exist_ok=True)
  assert_close(workdirs[0], whole[0])


def test_a_missing_coordinator_is_reported(begin, tmp_path):
  ended = begin(tmp_path / 'run', '--config.parallel.coordinator=auto')
  message = finish(ended, 1)
  assert '--config.parallel.coordinator=auto' in message
  assert 'host:port' in message


def test_a_profile_can_be_opened(flow, make_config, tmp_path):
  config = make_config(
    megc2019,
    data__manual_dir=str(flow),
    seeds=1,
    train__epochs=4,
    profile=True,
  )
  run.run(config, tmp_path / 'run')
  [trace] = (tmp_path / 'run').rglob('perfetto_trace.json.gz')
  events = json.loads(gzip.decompress(trace.read_bytes()))['traceEvents']
  names = {str(event.get('name')) for event in events}
  assert any('step' in name for name in names), sorted(names)
  assert list((tmp_path / 'run' / 'profile').rglob('*.xplane.pb'))
