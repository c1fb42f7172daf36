"""Strategies agree; folds diverge, stop and resume independently."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dianet_jax.data import folds as folds_lib
from dianet_jax.training import results as results_lib
from dianet_jax.training import trainer as trainer_lib
from tests.support.small_folds import (
  NUM_CLIPS,
  OPTIONS,
  assert_identical,
  clips,
  collect,
  run,
  shape_and_dtype,
  shared_programs,
  users_programs,
)


class Float64(trainer_lib.Trainer):
  """Parameters, statistics and moments in float64."""

  def init(self, data, fold):
    return jax.tree.map(
      lambda leaf: (
        leaf.astype(jnp.promote_types(leaf.dtype, jnp.float64))
        if jnp.issubdtype(leaf.dtype, jnp.floating)
        else leaf
      ),
      super().init(data, fold),
    )


class Descent(trainer_lib.Trainer):
  """Plain gradient descent with learning rate 1."""

  def optimizer(self, learning_rate=None):
    return optax.sgd(1.0)


OTHERS = ['unroll', 'map', 'vmap']
# Two stages, one behind the other; for all else one will do.
STAGES = {'model__widths': [8, 16]}


@pytest.mark.slow
def test_strategies_agree_in_float64(run, clips):
  # 12 steps: 3 epochs of 4.
  settings = {
    'kind': Float64,
    'rows': [0, 1, 2],
    'overrides': STAGES | {'train__epochs': 3, 'train__batch_size': 5},
  }
  with jax.enable_x64(True):
    images = clips[0].astype(np.float64)
    loop = run(images, devices=1, strategy='loop', **settings)
    for strategy in OTHERS:
      other = run(images, devices=2, strategy=strategy, **settings)
      for key, result in loop.items():
        kernel = result.variables['params']['classifier']['kernel']
        assert kernel.dtype == np.float64
        assert_close(result, other[key], 1e-9)


@pytest.mark.slow
def test_gradients_agree_in_float32(run):
  # One step of all clips: variables differ by the gradient alone. In a dual
  # ResNet-18 (64 px, 15 random clips, silu for ReLU) float32 itself is 2.5e-5
  # from float64 by `loop` and by `vmap`, which are 3.1e-5 from one another;
  # with ReLU .14 in single kernels, where inputs round to the other side of 0.
  settings = {
    'kind': Descent,
    'rows': [0, 1, 2],
    'overrides': STAGES | {'train__epochs': 1, 'train__batch_size': NUM_CLIPS},
  }
  loop = run(devices=1, strategy='loop', **settings)
  for strategy in OTHERS:
    other = run(devices=2, strategy=strategy, **settings)
    for key, result in loop.items():
      assert_close(result, other[key], 1e-5)


def assert_close(one, other, tolerance):
  """Every array, relative to the largest value in it."""
  for first, second in zip(
    jax.tree.leaves(one.variables), jax.tree.leaves(other.variables)
  ):
    largest = np.abs(first).max()
    np.testing.assert_allclose(first, second, atol=tolerance * largest, rtol=0)


class Poisoned(trainer_lib.Trainer):
  """Subject b starts from NaN."""

  def init(self, data, fold):
    bad = fold.subject_hash == folds_lib.stable_hash('b')
    return jax.tree.map(
      lambda leaf: (
        jnp.where(bad, jnp.nan, leaf)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
        else leaf
      ),
      super().init(data, fold),
    )


@pytest.mark.usefixtures('users_programs')
@pytest.mark.slow
@pytest.mark.parametrize('strategy', ['loop', 'vmap'])
def test_a_fold_that_diverges_stops_alone(run, strategy):
  settings = {'devices': 2, 'strategy': strategy}
  clean, poisoned = run(**settings), run(kind=Poisoned, **settings)
  lost = poisoned.pop((0, 'b'))
  assert lost == results_lib.Diverged('b', 0, 1)
  assert poisoned.keys() == clean.keys() - {(0, 'b')}
  for key, result in poisoned.items():
    assert_identical(result, clean[key])


@pytest.mark.slow
def test_a_group_that_diverged_is_not_trained_on(run):
  program, folds = run.make(
    kind=Poisoned, devices=1, rows=[1], overrides={'train__epochs': 9}
  )
  epochs = []
  [[lost]] = program.train(folds, lambda *_: epochs.append(1))
  assert lost == results_lib.Diverged('b', 0, 1) and len(epochs) == 2


@pytest.mark.slow
@pytest.mark.parametrize('strategy', ['loop', 'unroll'])
def test_finished_folds_free_their_device_memory(run, strategy, monkeypatch):
  program, folds = run.make(
    devices=1, strategy=strategy, folds_per_device=1, rows=[0, 1, 2]
  )
  begin, found = program._begin, []

  def watched(*arguments):
    gc.collect()
    found.append(sum(array.nbytes for array in jax.live_arrays()))
    return begin(*arguments)

  monkeypatch.setattr(program, '_begin', watched)
  for _ in program.train(folds):
    pass
  assert len(found) == 3 and max(found) == found[0]


@pytest.mark.usefixtures('users_programs')
@pytest.mark.slow
@pytest.mark.parametrize(
  'strategy,options,devices',
  [('loop', True, 2), ('map', True, 2), ('vmap', True, 2), ('loop', False, 1)],
)
def test_unfinished_folds_resume(run, strategy, options, devices):
  """Bit-identical on the same number of devices, close on any other."""
  overrides = {'train__epochs': 4}
  if options:
    overrides = OPTIONS | overrides | {'evaluation__oracle': True}
  settings = {'strategy': strategy, 'rows': [0, 2], 'overrides': overrides}
  whole = run(devices=2, **settings)
  program, folds = run.make(devices=2, **settings)
  taken = {}

  def on_epoch(number, snapshot):
    assert number == 2
    taken[len(taken) + 1] = snapshot()

  for _ in program.train(folds, on_epoch):
    pass
  # One after its first epoch, one after its third.
  begun = [taken[1][0], taken[3][1]]
  assert [fold.epochs for fold in begun] == [1, 3]
  program, folds = run.make(devices=devices, **settings)
  for fold in begun:
    assert fold.made_by == (program.made_by,)
    like = program.shapes(fold.epochs)
    assert jax.tree.map(shape_and_dtype, like) == jax.tree.map(
      shape_and_dtype, fold.training
    )

  def on_epoch_of_resumed(number, _):
    assert number == 1
    held.append(sum(ref() is not None for ref in on_host))

  on_host = [weakref.ref(fold.training.history.loss) for fold in begun]
  training, held = program.train(folds, on_epoch_of_resumed, begun), []
  # What has gone on is no longer held; the rest waits.
  taken.clear()
  del begun, fold
  resumed = collect(training)
  assert held == [1, 0, 0, 0]
  for key, result in whole.items():
    fields = ('variables', 'probabilities', 'loss', 'accuracy')
    fields += ('validation_loss', 'oracle_probabilities', 'made_by')
    if devices == 2:
      assert_identical(result, resumed[key], fields)
    else:
      assert_close(result, resumed[key], 1e-3)
