"""main.py as a user starts it: short messages instead of tracebacks."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def start(*arguments, cache, **environment):
  return subprocess.run(
    [sys.executable, 'main.py', *arguments],
    cwd=ROOT,
    env=os.environ | {'DIANET_CACHE': str(cache)} | environment,
    capture_output=True,
    text=True,
    timeout=300,
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  'arguments,messages',
  [
    ([], ['--config=FILE is missing', 'configs/demo.py']),
    (
      ['--config=configs/nope.py'],
      ['configs/nope.py: there is no such file', 'demo.py'],
    ),
    (
      ['--config=configs/demo.py', '--config.data.manual_di=x'],
      ['--config.data.manual_di is not', '--config.data.manual_dir;'],
    ),
    (
      ['--config=configs/demo.py', '--config.train.epochs=many'],
      ["--config.train.epochs='many': expected a whole number"],
    ),
    (
      ['--config=configs/demo.py', '--config.model=3'],
      ["--config.model='3': this is a section", 'model.backbone, model.widths'],
    ),
    (
      ['--config=configs/demo.py', '--config.modl.fusion=add'],
      ['--config.modl.fusion is not', '--config.model.fusion;'],
    ),
    (
      ['--config=configs/demo.py', '--config.objective.name=nope'],
      ["objective.name='nope' is not a known objective", 'cross_entropy, '],
    ),
    (
      ['--config=configs/casme2.py:nosuchmodel'],
      ["model.name='nosuchmodel' is not a known model", 'are: dianet, '],
    ),
    (
      ['--config=configs/ablation.py:nope'],
      ["'nope' is not a configuration", 'megc2019'],
    ),
    (['--config=configs/demo.py', '--workdi=x'], ['workdi', 'workdir']),
    (['demo', '--config=configs/demo.py'], ["'demo' is not an option"]),
    (
      ['--config=configs/casme2.py', '--workdir={tmp}/run'],
      ['license agreement', 'Cropped/sub01', '--config.data.manual_dir'],
    ),
    (
      [
        '--config=configs/samm.py',
        '--workdir={tmp}/run',
        '--config.data.manual_dir={tmp}/none',
      ],
      ['release agreement', '006_1_2', '{tmp}/none'],
    ),
    (
      [
        '--config=configs/megc2019.py',
        '--workdir={tmp}/run',
        '--config.data.manual_dir={tmp}',
      ],
      ['tony19980810/CausalNet', '{tmp}'],
    ),
    (
      ['--config=configs/demo.py', '--workdir={tmp}/file/run'],
      ['{tmp}/file/run cannot be written', '--workdir'],
    ),
    (
      ['--config={tmp}/broken.py'],
      ['configuration cannot be read: ZeroDivisionError', 'traceback is in'],
    ),
    (
      ['--config=configs/demo.py', '--config.name=../../evil'],
      ["--config.name='../../evil' is out of range", 'letters, digits'],
    ),
  ],
)
def test_invalid_arguments_are_refused(tmp_path, arguments, messages):
  (tmp_path / 'file').write_text('')
  (tmp_path / 'broken.py').write_text('1 / 0\n')
  fill = {'tmp': tmp_path}
  ended = start(*(a.format(**fill) for a in arguments), cache=tmp_path / 'c')
  assert ended.returncode == 1
  assert 'Traceback' not in ended.stderr
  assert ended.stderr.startswith('error: ')
  assert len(ended.stderr.splitlines()) < 20
  for message in messages:
    assert message.format(**fill) in ended.stderr


@pytest.mark.slow
def test_a_missing_device_is_reported(tmp_path):
  ended = start(
    '--config=configs/demo.py',
    f'--workdir={tmp_path / "run"}',
    cache=tmp_path / 'c',
    JAX_PLATFORMS='cuda',
  )
  assert ended.returncode == 1 and 'Traceback' not in ended.stderr
  last = ended.stderr.splitlines()[-1]
  assert last.startswith('error: jax cannot start its devices')
  assert "JAX_PLATFORMS='cuda'" in last
  assert not (tmp_path / 'run').exists()


@pytest.mark.slow
@pytest.mark.parametrize(
  'module',
  [
    'benchmarks.input_pipeline',
    'benchmarks.rank_pooling',
    'dianet_jax align',
    'dianet_jax check',
    'dianet_jax picture',
    'dianet_jax simulate',
  ],
)
def test_other_commands_start(module):
  # absl answers --help with 1, argparse with 0.
  ended = subprocess.run(
    [sys.executable, '-m', *module.split(), '--help'],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert ended.returncode in (0, 1)
  assert 'Traceback' not in ended.stderr
  assert '--' in ended.stdout


# What takes seconds to import, and what a run has no use for at its start.
LATE = {
  *('tensorflow', 'torch'),
  *('matplotlib', 'tensorboardX', 'tensorflow_datasets', 'scipy', 'av', 'dlib'),
}


@pytest.mark.parametrize(
  'start',
  [
    'from dianet_jax.experiments import run, ablation, nested',
    'import dianet_jax.experiments.predict, dianet_jax.experiments.spot',
  ],
)
def test_heavy_packages_are_imported_late(start):
  code = f'import sys, main\n{start}\nassert not {LATE!r} & set(sys.modules)'
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)


def test_learning_curves_do_not_import_pytorch(tmp_path):
  (tmp_path / 'torch.py').write_text('raise SystemExit("PyTorch is imported")')
  code = (
    'import importlib.util, pathlib, sys, types\n'
    'from dianet_jax.evaluation import report\n'
    'fold = types.SimpleNamespace(\n'
    '  subject="1", seed=0, loss=[2.0], accuracy=[0.5], validation_loss=None)\n'
    f'place = pathlib.Path({str(tmp_path / "events")!r})\n'
    'report.write_events(place, [fold])\n'
    'assert list(place.glob("seed0/1/events*"))\n'
    'assert "tensorboardX" in sys.modules and "torch" not in sys.modules\n'
    # And whoever asks for it later finds it.
    'assert importlib.util.find_spec("torch")\n'
  )
  path = os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', '')])
  subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    env=os.environ | {'PYTHONPATH': path},
    check=True,
  )
