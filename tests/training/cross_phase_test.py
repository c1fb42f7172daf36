"""Pretraining of every fold by contrast between the phases of its clips."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.core import config, errors
from dianet_jax.data import folds as folds_lib
from dianet_jax.experiments import configuration
from dianet_jax.models.zoo import cots
from dianet_jax.training import build, cross_phase, optimisation, parallel
from tests.models.zoo import small
from tests.training.cross_phase_case import (
  CODES,
  EPOCHS,
  HELD_OUT,
  PRETRAINING,
  TRAINING,
  spoiled,
  untrained,
  with_settings,
)
from tests.training.cross_phase_case import data as data
from tests.training.cross_phase_case import fold as fold
from tests.training.cross_phase_case import pretrained as pretrained
from tests.training.cross_phase_case import steps as steps
from tests.training.cross_phase_case import trainer as trainer

pytestmark = pytest.mark.usefixtures('plain_layers')


def test_it_pretrains_the_streams_alone(trainer, data, fold, pretrained):
  before = untrained(trainer, data, fold).params
  after, losses = pretrained
  # The queue is full from the second epoch on.
  assert losses[-1] < losses[1]
  for name in before:
    same = jax.tree.map(np.array_equal, before[name], after.params[name])
    classifies = name in ('fusion', 'classifier')
    assert all(jax.tree.leaves(same)) == classifies, name


def test_then_the_optimiser_starts_anew(data, steps, pretrained):
  state, _ = pretrained
  fresh = jax.tree.map(jnp.zeros_like, state.opt_state)
  assert any(leaf.any() for leaf in jax.tree.leaves(state.opt_state))
  found, _ = steps(data, state, 1)
  expected, _ = steps(data, dataclasses.replace(state, opt_state=fresh), 1)
  jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)
  queue = found.objective, state.objective
  jax.tree.map(np.testing.assert_array_equal, *queue)
  for name in ('fusion', 'classifier', 'backbone_0'):
    same = jax.tree.map(np.array_equal, found.params[name], state.params[name])
    assert not all(jax.tree.leaves(same)), name


def test_both_parts_have_a_schedule(trainer, data, fold):
  def rates(epoch):
    step = jnp.int32(epoch * trainer.steps_per_epoch)
    state = dataclasses.replace(untrained(trainer, data, fold), step=step)
    return list(trainer.gather(data, state, fold).learning_rate)

  found = [rate for epoch in range(EPOCHS) for rate in rates(epoch)]
  first, second = found[: 2 * PRETRAINING], found[2 * PRETRAINING :]
  for part in (first, second):
    assert part[0] == 0 and max(part) == pytest.approx(0.01)
    assert part[-1] < 0.01
  assert len(first) == 8 and len(second) == 4


def test_pretraining_has_a_recipe_of_its_own(trainer):
  own = dataclasses.replace(
    trainer.settings, learning_rate=0.5, weight_decay=0.25, warmup_fraction=0.0
  )
  trainer = dataclasses.replace(trainer, pretraining_settings=own)
  assert trainer.schedule(pretraining=True)(0) == 0.5
  assert trainer.schedule()(0) == 0
  params = {'kernel': jnp.ones((1, 1))}
  for pretrains, expected in ((True, 0.25), (False, 0.0)):
    one = dataclasses.replace(trainer, pretrains=pretrains)
    optimizer = one.optimizer(jnp.float32(1))
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    assert updates['kernel'] == -expected


def test_streams_start_slowly_after_pretraining(
  trainer, data, fold, pretrained
):
  def after(slow_start, epoch):
    one = dataclasses.replace(trainer, slow_start=slow_start)
    state = dataclasses.replace(
      pretrained[0], step=jnp.int32(epoch * one.steps_per_epoch)
    )
    batch = one.gather(data, state, fold)
    # The second step of an epoch, as the rate of the very first one is 0.
    state = dataclasses.replace(state, step=state.step + 1)
    new, _ = small.jit(one.next_step)(state, fold, batch)
    return jax.tree.map(lambda n, o: n - o, new.params, state.params)

  start = optimisation.SlowStart(r'backbone(_\d+)?', 0.25, epochs=1)
  for epoch, factor in ((PRETRAINING, 0.25), (PRETRAINING + 1, 1.0)):
    plain, slow = after(None, epoch), after(start, epoch)
    for name in ('fusion', 'classifier'):
      jax.tree.map(np.testing.assert_array_equal, plain[name], slow[name])
    for name in ('backbone_0', 'backbone_1'):
      kernels = [jax.tree.leaves(change[name])[-1] for change in (plain, slow)]
      assert jnp.abs(kernels[0]).max() > 0
      np.testing.assert_allclose(kernels[1], factor * kernels[0], atol=1e-6)


def test_the_recommended_recipe_reaches_the_trainer():
  config = configuration.parse(configuration.default('cots').to_dict())
  made = build.make_trainer(config, 3, {}, 278, None)
  own = made.pretraining_settings
  assert (own.learning_rate, own.weight_decay) == (1.25e-4, 0.05)
  assert made.pretraining_epochs == 100
  assert made.slow_start == optimisation.SlowStart(cots.COTS.streams, 0.1, 10)
  plain = dataclasses.replace(config, objective=cross_phase.Settings())
  made = build.make_trainer(plain, 3, {}, 278, None)
  assert made.pretraining_settings == config.train and not made.slow_start


def test_a_model_without_streams_is_refused():
  config = configuration.parse(
    {'objective': {'name': 'cross_phase', 'stream_rate': 0.5}}
  )
  with pytest.raises(errors.UserError, match='stream_rate=0.5.*dianet'):
    build.make_trainer(config, 3, {}, 278, None)


@pytest.mark.slow
def test_folds_in_parallel_resume_within_pretraining(trainer, data):
  labels = np.asarray(data.labels)
  folds = folds_lib.leave_one_subject_out(
    list('aaabbbccc'), labels, 3, seeds=(0,)
  )
  trainer = dataclasses.replace(trainer, max_train_clips=6)
  program = parallel.FoldParallel(
    trainer,
    jax.tree.map(np.asarray, data),
    folds,
    config.Parallel(devices=1),
    config.Evaluation(),
  )
  taken = []
  one = folds.select([1])
  [[whole]] = program.train(one, lambda _, take: taken.extend(take()))
  assert len(taken) == EPOCHS
  fusions = [fold.training.state.params['fusion'] for fold in taken]
  same = [
    all(jax.tree.leaves(jax.tree.map(np.array_equal, fusions[0], fusion)))
    for fusion in fusions
  ]
  assert same == [True] * PRETRAINING + [False] * (EPOCHS - PRETRAINING)
  for epoch in (1, PRETRAINING - 1, PRETRAINING):
    [[resumed]] = program.train(one, unfinished=[taken[epoch]])
    jax.tree.map(
      np.testing.assert_array_equal, resumed.variables, whole.variables
    )
    np.testing.assert_array_equal(resumed.probabilities, whole.probabilities)


@pytest.mark.parametrize('clip,leaks', [(HELD_OUT, False), (0, True)])
def test_the_held_out_clip_reaches_no_part_of_it(
  trainer, data, fold, steps, pretrained, clip, leaks
):
  begun = untrained(trainer, data, fold)
  other, _ = steps(spoiled(data, clip), begun, PRETRAINING)
  same = jax.tree.map(
    np.array_equal,
    (other.current, other.objective),
    (pretrained[0].current, pretrained[0].objective),
  )
  assert all(jax.tree.leaves(same)) != leaks


@pytest.mark.parametrize('clip,leaks', [(HELD_OUT, False), (0, True)])
def test_the_held_out_clip_reaches_no_code(trainer, data, fold, clip, leaks):
  trainer = with_settings(trainer, **CODES)
  # Padding is an arbitrary clip, such as the held-out one.
  index = jnp.arange(TRAINING + 1)
  fold = dataclasses.replace(
    fold, train_index=index, train_valid=index < TRAINING
  )
  trainer = dataclasses.replace(trainer, max_train_clips=TRAINING + 1)
  codes = small.jit(lambda data: trainer.init(data, fold).objective['codes'])
  found, other = codes(data), codes(spoiled(data, clip))
  assert jnp.isfinite(found).all() and len(np.unique(found, axis=0)) == 5
  assert np.array_equal(found, other) != leaks


def test_codes_of_folds_in_parallel_are_those_of_each(trainer, data, fold):
  trainer = with_settings(trainer, **CODES)
  other = dataclasses.replace(
    fold, train_valid=fold.train_index > 2, subject_hash=jnp.uint32(9)
  )

  def codes(fold):
    return trainer.init(data, fold).objective['codes']

  both = jax.tree.map(lambda *leaves: jnp.stack(leaves), fold, other)
  found = small.jit(jax.vmap(codes))(both)
  for row, one in enumerate((fold, other)):
    np.testing.assert_allclose(found[row], small.jit(codes)(one), atol=1e-5)
  assert jnp.abs(found[0] - found[1]).max() > 0.1


def test_the_queue_holds_the_last_clips_of_both_phases(pretrained):
  queue = pretrained[0].objective
  assert queue['queue'].shape == (2, 6, 8)
  np.testing.assert_allclose(
    jnp.linalg.norm(queue['queue'], axis=-1), 1, rtol=1e-5
  )
  # 4 clips a step, each in one of two steps of an epoch.
  assert len(set(queue['clips'][:4].tolist())) == 4
  assert set(queue['clips'].tolist()) <= set(range(TRAINING))
  assert queue['entered'] == PRETRAINING * TRAINING
