"""The benchmark without a compiler for TPUs or GPUs, as most users start it."""

import importlib.util
import subprocess
import sys

import jax
import numpy as np
import pytest

from benchmarks.estimates import compile_ahead, hlo_cost, tpu_compile
from benchmarks.peers import frame_sum_forms as forms
from dianet_jax.motion import rank_pooling

SHAPE = (2, 9, 4, 5, 3)


def test_help_is_printed():
  text = subprocess.check_output(
    [sys.executable, '-m', 'benchmarks.estimates.tpu_compile', '--help'],
    text=True,
  )
  assert '--shapes' in text


def test_missing_compilers_are_named_with_their_command(monkeypatch, capsys):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  monkeypatch.setattr(compile_ahead, 'prepare_environment', lambda dump: None)
  monkeypatch.setattr(sys, 'argv', ['tpu_compile', '--shapes=1x2x2x2x3'])
  tpu_compile.main()
  printed = capsys.readouterr().out
  assert "pip install 'libtpu" in printed
  assert f'jax-cuda12-plugin=={jax.__version__}' in printed
  assert 'ESTIMATES' not in printed


@pytest.mark.parametrize('argument', ['--shapes=2x3', '--chips=v9'])
def test_bad_arguments_are_named(monkeypatch, capsys, argument):
  monkeypatch.setattr(sys, 'argv', ['tpu_compile', argument])
  with pytest.raises(SystemExit):
    tpu_compile.main()
  assert argument.split('=')[1] in capsys.readouterr().err


def test_measured_figures_are_printed_on_any_device(capsys):
  tpu_compile.print_measured([SHAPE])
  printed = capsys.readouterr().out
  assert 'MEASURED' in printed
  for name in forms.GPU_FORMS:
    assert name in printed


@pytest.mark.parametrize('name', [*forms.TPU_FORMS, *forms.GPU_FORMS])
def test_compared_forms_compute_the_same(name):
  functions = {k: (v, True) for k, v in forms.GPU_FORMS.items()}
  function, flat = (forms.TPU_FORMS | functions)[name]
  if 'Pallas' in name:
    pytest.skip('interpreted in frame_sums_test')
  random = np.random.default_rng(0)
  frames, weights, reference = (
    random.integers(0, 256, argument.shape).astype(argument.dtype)
    for argument in forms.problem(SHAPE, flat)
  )
  reference %= SHAPE[1]
  # What is not centred agrees where weights add up to 0.
  weights -= weights.mean(-1, keepdims=True)
  if function is forms.dynamic_images:
    # It makes its own.
    weights[:] = 0
    for (before, after), apex in zip(weights, reference):
      before[: apex + 1] = rank_pooling.coefficients(apex + 1)
      after[apex:] = rank_pooling.coefficients(SHAPE[1] - apex)
  # Any further phase is one of these again.
  actual = np.asarray(function(frames, weights, reference))[:, :2]
  expected = np.einsum('ckt,ct...->ck...', weights.astype(float), frames)
  np.testing.assert_allclose(
    actual, expected, atol=1e-4 * np.abs(expected).max()
  )


def test_floor_is_one_read_and_one_write():
  pixels = 4 * 5 * 3
  expected = 2 * 9 * pixels + 4 * 2 * 2 * 9 + 4 * 2 * 2 * pixels
  for flat in (True, False):
    assert forms.floor_bytes(forms.problem(SHAPE, flat)) == expected


def test_bundles_are_those_of_the_kernel_and_the_dump_is_emptied(tmp_path):
  call = 'custom_call_target="tpu_custom_call"'
  for name, bundles, text in (
    ('1-fusion.1-00-schedule-analysis_final_bundles.txt', 7, ''),
    ('1-TLP-00-schedule-analysis_final_bundles.txt', 9, call),
    ('1-frame_sums.1-00-schedule-analysis_final_bundles.txt', 839, call),
    ('1-frame_sums.1-01-final_bundles.txt', 5, call),
  ):
    report = f'Schedule analysis:\n\ttotal scheduled bundles:   {bundles}\n'
    (tmp_path / name).write_text(report + text)
  assert compile_ahead.kernel_bundles(tmp_path) == 839
  assert not list(tmp_path.iterdir())
  assert compile_ahead.kernel_bundles(tmp_path) is None


def test_a_slow_kernel_raises_the_roof():
  chip = hlo_cost.Chip(clock=1.0, bandwidth=1.0, peak=1.0)
  cost = hlo_cost.Cost(cycles=2, seconds=10, bytes=10, copied=0, kernels=1)
  fast = compile_ahead.Estimate(cost, 0, 3.0, chip)
  slow = compile_ahead.Estimate(cost, 0, 30.0, chip)
  assert (fast.roof_seconds(), fast.worst_seconds()) == (10, 12)
  assert (slow.roof_seconds(), slow.worst_seconds()) == (30, 32)
