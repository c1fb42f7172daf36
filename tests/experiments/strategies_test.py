"""A run measures strategies once, and resumes with the chosen one."""

import dataclasses
import json

import numpy as np
import pytest

from dianet_jax.experiments import strategies, workdirs
from dianet_jax.training import tuning
from tests.support.small_folds import clips, run, shared_programs


@pytest.fixture
def choose(run, make_config, tmp_path, monkeypatch):
  """Chooses for a small training, as if the CPU were an accelerator."""
  program, folds = run.make(devices=1)
  workdir = tmp_path / 'run'
  workdir.mkdir()
  (workdir / 'config.json').write_text('{"config": {}, "sessions": []}')
  monkeypatch.setattr(
    strategies.workdirs,
    '_recorded',
    lambda w: json.loads((w / 'config.json').read_text()),
  )

  class Device:
    platform, device_kind = 'gpu', 'H100'

  monkeypatch.setattr(
    strategies.programs, 'choose_devices', lambda _: [Device()]
  )

  def go(cache, make=None, **parallel):
    config = make_config(data__cache_dir=str(cache))
    settings = dataclasses.replace(config.parallel, **parallel)
    config = dataclasses.replace(config, parallel=settings)
    return strategies.choose(
      config, program._trainer, program._data, folds, make, workdir
    )

  go.workdir, go.run = workdir, run
  return go


def test_a_choice_is_shown_and_saved_in_the_workdir(
  choose, tmp_path, monkeypatch, capsys
):
  calls = []

  def seconds(program, folds, number):
    calls.append(program)
    return (1.0 if program == 'vmap' else 2.0), 3.0

  monkeypatch.setattr(strategies, '_seconds', seconds)

  def make(settings):
    return settings.strategy

  settings = choose(tmp_path / 'cache', make)
  assert (settings.strategy, settings.folds_per_device) == ('vmap', 4)
  output = capsys.readouterr().out
  assert 'Strategy: vmap, 4 fold(s) at once' in output
  assert 'map, 4 at once' in output and 'ms a fold and epoch' in output
  saved = workdirs.load_choice(choose.workdir)
  assert saved['strategy'] == 'vmap' and len(saved['rows']) == len(calls)
  # Kept in the workdir, though the cache is lost; and in the cache.
  assert choose(tmp_path / 'other', None) == settings
  (choose.workdir / 'config.json').write_text('{}')
  assert choose(tmp_path / 'cache', None) == settings
  assert workdirs.load_choice(choose.workdir) == saved
  # What the user has chosen is not measured.
  assert choose(tmp_path / 'x', None, strategy='map').strategy == 'map'


@pytest.mark.slow
def test_real_programs_are_measured(run):
  folds = None

  def measure(strategy, number):
    nonlocal folds
    program, folds = run.make(
      devices=1, strategy=strategy, folds_per_device=number
    )
    return strategies._seconds(program, folds, number)

  choice = tuning.measured(measure, 2, strategies=('loop', 'vmap_products'))
  assert {row.strategy for row in choice.rows} == {'loop', 'vmap_products'}
  assert all(row.seconds > 0 and row.compiled > 0 for row in choice.rows)


@pytest.mark.slow
def test_convolutions_as_products_train_alike(run):
  losses = [
    run(devices=1, rows=[2], strategy=strategy, folds_per_device=1)[0, 'c'].loss
    for strategy in ('loop', 'vmap_products')
  ]
  np.testing.assert_allclose(*losses, rtol=1e-3)
