"""A user's settings of matplotlib have no effect."""

import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from dianet_jax.evaluation import page, picture


def test_settings_of_the_user_do_not_affect_plots(tmp_path, monkeypatch):
  monkeypatch.setitem(matplotlib.rcParams, 'text.usetex', True)
  monkeypatch.setitem(matplotlib.rcParams, 'axes.facecolor', 'black')

  class Result:
    loss = accuracy = np.array([1.0, 0.5])

  assert '<svg' in page._curves([Result()])
  images = np.random.default_rng(0).normal(size=(1, 8, 8, 3))
  frames = np.zeros((4, 8, 8, 3), np.uint8)
  weights = np.ones((1, 4))
  path = tmp_path / 'clip.png'
  views = {'onset to offset': 'onset_offset'}
  picture.draw(frames, 1, views, weights, images, path)
  assert path.stat().st_size > 1000
  # And is as it was afterwards.
  assert matplotlib.rcParams['text.usetex']


@pytest.mark.parametrize('backend', ['nonsense', 'TkAgg'])
def test_settings_files_of_the_user_do_not_affect_plots(tmp_path, backend):
  (tmp_path / 'matplotlibrc').write_text('text.usetex: True\n')
  code = (
    'from dianet_jax.evaluation import plots\n'
    'with plots.own_settings() as figure:\n'
    '  drawing = figure.Figure()\n'
    '  drawing.subplots().set_title("a_b")\n'
    f'  drawing.savefig({str(tmp_path / "x.png")!r})\n'
  )
  subprocess.run(
    [sys.executable, '-c', code],
    env=os.environ | {'MPLBACKEND': backend, 'MATPLOTLIBRC': str(tmp_path)},
    check=True,
  )
  assert (tmp_path / 'x.png').exists()
