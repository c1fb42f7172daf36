"""Everything around the TPU compiler, which is not needed here."""

import importlib.metadata
import importlib.util
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.estimates import (
  compile_ahead,
  hlo_cost,
  tpu_compile,
  training_program,
)

CHIP = hlo_cost.Chip(clock=1e9, bandwidth=1e9, peak=1e12)


@pytest.fixture
def small(monkeypatch):
  """Two steps of 6 clips for each of two folds, 8 x 8 pixels."""
  monkeypatch.setattr(training_program, 'CLIPS', 15)
  monkeypatch.setattr(training_program, 'SUBJECTS', 5)
  monkeypatch.setattr(training_program, 'FOLDS', 2)
  return training_program.default_problem('cpu', 8, 6, 'compact')


class _Network(nn.Module):
  @nn.compact
  def __call__(self, x):
    x = nn.Conv(4, (3, 3), strides=2, padding='SAME', feature_group_count=2)(x)
    return nn.Dense(5)(jnp.sin(x).reshape(len(x), -1))


def test_operations_of_a_network_counted_by_hand():
  network, x = _Network(), jnp.zeros((7, 8, 8, 6))
  variables = network.init(jax.random.key(0), x)
  jaxpr = jax.make_jaxpr(network.apply)(variables, x).jaxpr
  # 4 x 4 new pixels of 4 features, each from 3 x 3 pixels of 3 channels.
  convolution, dense = 4 * 4 * 4 * 3 * 3 * 3, 4 * 4 * 4 * 5
  assert training_program.flops(jaxpr) == 2 * 7 * (convolution + dense)


@pytest.mark.parametrize('cpu', [lambda x: (x @ x) @ x, lambda x: x])
def test_of_forms_for_several_platforms_the_default_counts(cpu):
  def forms(x):
    return jax.lax.platform_dependent(x, cpu=cpu, default=lambda x: x @ x)

  jaxpr = jax.make_jaxpr(forms)(jnp.zeros((3, 3))).jaxpr
  assert training_program.flops(jaxpr) == 2 * 3**3


def test_operations_of_a_step_are_those_of_the_valid_clips(small):
  # Folds of 12 clips in two steps.
  assert small.clips_per_step == 6
  # 3 x 3 kernels of (3, 16), (16, 32) and (32, 48) channels at 8, 4 and 2
  # pixels a side, two phases.
  pixels = np.array([64, 16, 4])
  channels = np.array([3 * 16, 16 * 32, 32 * 48])
  backbones = 2 * (9 * pixels * channels).sum()
  # A token a phase: four products of 48 x 48 and the two of its scores, each
  # way; then the classifier.
  attention = 2 * (4 * 48 * 48 + 2 * 48)
  classifier = 96 * training_program.CLASSES
  forward = 2 * (backbones + attention + classifier)
  assert small.step_flops == 3 * 6 * forward


@pytest.mark.slow
def test_resnet18_has_the_published_number_of_operations():
  problem = training_program.default_problem('cpu', 224, 32)
  forward = problem.step_flops / 3 / problem.clips_per_step
  # 1.82 G multiply-adds an image with a classifier; two images and a fusion.
  assert forward == pytest.approx(2 * 2 * 1.82e9, rel=0.04)
  assert problem.parameters == pytest.approx(2 * 11.18e6 + 2.1e6, rel=0.01)


class _Compiled:
  """A program of 40 bytes of arguments whose cost is read from its text."""

  def __init__(self, text):
    self.text = text

  def as_text(self):
    return self.text

  def memory_analysis(self):
    return self

  argument_size_in_bytes, temp_size_in_bytes = 30, 10


@pytest.mark.slow
@pytest.mark.parametrize(
  'strategy, programs, folds',
  [
    ('loop', {'gather': 1, 'next_step': 2}, 1),
    ('unroll', {'gather': 1, 'next_step': 2}, 2),
    ('map', {'epoch': 1}, 2),
    ('vmap', {'epoch': 1}, 2),
  ],
)
def test_costs_are_those_of_one_fold_and_step(
  monkeypatch, small, strategy, programs, folds
):
  lowered = []

  def over_folds(function, *, shared=0, donate=False, **by):
    assert function.__self__ == small.trainer
    assert by == {'strategy': strategy, 'devices': tuple(jax.devices()[:1])}
    assert donate == (function.__name__ != 'gather')
    name = function.__name__

    class Program:
      def lower(self, *arguments):
        # The shared data have no axis of folds.
        for leaf in jax.tree.leaves(arguments[shared:]):
          assert leaf.shape[:2] == (1, folds)
        # They are what the program takes.
        jax.eval_shape(real(function, shared=shared, **by), *arguments)
        lowered.append(name)
        return self

      def compile(self):
        return _Compiled(name)

    return Program()

  real = training_program.programs_lib.over_folds
  monkeypatch.setattr(training_program.programs_lib, 'over_folds', over_folds)
  seconds = {'gather': 3.0, 'next_step': 5.0, 'epoch': 7.0}
  monkeypatch.setattr(
    hlo_cost,
    'program_cost',
    lambda text, chip: hlo_cost.Cost(2e9 * seconds[text], seconds[text]),
  )
  topology = type('Topology', (), {'devices': jax.devices()[:1]})
  cost = training_program.estimated(small, strategy, topology, CHIP)
  assert lowered == list(programs)
  epoch = sum(times * seconds[name] for name, times in programs.items())
  assert cost.seconds == epoch / folds / 2
  assert cost.raw_seconds == 2 * cost.seconds
  assert cost.bytes == 40


@pytest.mark.slow
def test_programs_of_a_step_and_of_an_epoch_are_measured(
  small, capsys, monkeypatch
):
  monkeypatch.setattr(
    training_program, 'default_problem', lambda *unused: small
  )
  training_program.print_measured([8], 6, ['loop', 'map'])
  printed = capsys.readouterr().out
  assert 'MEASURED' in printed
  assert 'ESTIMATES' not in printed
  loop, map_ = (line.split() for line in printed.splitlines()[-2:])
  assert (loop[0], loop[5], map_[0]) == ('loop', '1.00', 'map')
  assert all(
    float(row[1]) > 0 and row[2:5] == ['-'] * 3 for row in (loop, map_)
  )


def test_rows_say_the_utilisation_and_the_ratio(small, capsys):
  times = {'loop': 0.004, 'map': 0.006}
  training_program.print_rows(
    small,
    {
      name: lambda time=time: training_program.Cost(time, 2 * time, 5_000_000)
      for name, time in times.items()
    },
    peak=small.step_flops / 0.002,
  )
  rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
  assert rows == [
    ['loop', '4.00', '8.00', '50', '25', '1.00', '5'],
    ['map', '6.00', '12.00', '33', '17', '1.50', '5'],
  ]


@pytest.mark.parametrize(
  'argument',
  ['--only=both', '--sizes=0', '--sizes=2x3', '--strategies=scan', '--batch=0'],
)
def test_bad_arguments_are_named(monkeypatch, capsys, argument):
  monkeypatch.setattr(sys, 'argv', ['tpu_compile', argument])
  with pytest.raises(SystemExit):
    tpu_compile.main()
  assert argument.split('=')[1] in capsys.readouterr().err


@pytest.mark.parametrize('version', ['0.0.42', '0.0.42.1'])
def test_a_compiler_that_would_end_the_process_is_not_asked(
  monkeypatch, capsys, version
):
  monkeypatch.setattr(importlib.metadata, 'version', lambda name: version)
  # Before anything is compiled.
  training_program.print_estimates(['v6e'], [112, 224], 32, ['loop'])
  printed = capsys.readouterr().out
  assert printed.startswith(f'v6e: training skipped, libtpu {version} ')
  assert len(printed.splitlines()) == 1
  assert compile_ahead.unfit_for('v5e') is None
  monkeypatch.setattr(importlib.metadata, 'version', lambda name: '0.0.43.2')
  assert compile_ahead.unfit_for('v6e') is None


@pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None, reason='no TPU compiler here'
)
def test_a_small_network_compiles_for_a_tpu(small):
  compile_ahead.prepare_environment(None)
  cost = training_program.estimated(
    small,
    'map',
    compile_ahead.tpu_topology('v5e'),
    compile_ahead.CHIPS['v5e'],
  )
  assert 0 < cost.seconds < cost.raw_seconds
  assert cost.bytes > 2 * 3 * 4 * small.parameters
