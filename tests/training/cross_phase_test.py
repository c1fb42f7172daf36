"""Pretraining of every fold by contrast between the phases of its clips."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.core import config, errors
from dianet_jax.data import folds as folds_lib
from dianet_jax.experiments import configuration
from dianet_jax.models import layers
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import cots
from dianet_jax.motion.registry import Channel
from dianet_jax.training import build, cross_phase, optimisation, parallel
from dianet_jax.training.state import Data, Fold
from dianet_jax.training.trainer import Trainer
from tests.models.zoo import small

pytestmark = pytest.mark.usefixtures('plain_layers')

TRAINING, EPOCHS, PRETRAINING = 8, 6, 4
HELD_OUT = TRAINING


@pytest.fixture(scope='module')
def trainer():
  model, _ = small.make('cots')
  settings = cross_phase.Settings(queue=6)
  train = config.Train(
    epochs=EPOCHS,
    batch_size=4,
    learning_rate=0.01,
    weight_decay=0.0,
    warmup_fraction=0.5,
    augment=config.Augment(flip_probability=0.0, shift_pixels=0),
  )
  channels = {'dynamic_images': (Channel('any', ''),)}
  return Trainer(
    model,
    cross_phase.CrossPhase(settings),
    train,
    'none',
    channels,
    TRAINING,
    PRETRAINING,
  )


@pytest.fixture(scope='module')
def data():
  inputs, labels = small.planted('cots', TRAINING + 1)
  return Data({k: jnp.asarray(v)[None] for k, v in inputs.items()}, labels)


@pytest.fixture(scope='module')
def fold():
  index = jnp.arange(TRAINING)
  none = jnp.zeros(0, jnp.int32)
  return Fold(
    seed=jnp.uint32(0),
    subject_hash=jnp.uint32(7),
    train_index=index,
    train_valid=index < TRAINING,
    validation_index=none,
    validation_valid=none.astype(bool),
    test_index=jnp.array([HELD_OUT]),
    class_weights=jnp.ones(3),
  )


def untrained(trainer, data, fold):
  """`Trainer.init` without compiling what draws the parameters."""
  inputs = {name: values[0, :4] for name, values in data.inputs.items()}
  variables = small.variables_of(trainer.model, inputs)
  state = jax.eval_shape(trainer.init, data, fold)
  state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
  params = variables.pop('params')
  state = dataclasses.replace(state, params=params, statistics=variables)
  outputs = jax.eval_shape(trainer.model.apply, state.current, inputs)
  objective = trainer.objective.init(state.current, outputs, None)
  clips = trainer.training_clips(data, fold)
  objective = trainer.objective.fitted(objective, outputs, clips)
  return dataclasses.replace(state, objective=objective)


@pytest.fixture(scope='module')
def steps(trainer, fold):
  """Runs epochs of one fold, as on a CPU: one program per step."""
  with layers.cpu.switched_off():
    early, late = (
      small.jit(dataclasses.replace(trainer, pretrains=pretrains).next_step)
      for pretrains in (True, False)
    )
    gather = small.jit(trainer.gather)

    def run(data, state, epochs):
      losses = []
      for _ in range(epochs):
        batches, total = gather(data, state, fold), 0.0
        pretrains = state.step < PRETRAINING * trainer.steps_per_epoch
        step = early if pretrains else late
        for _ in range(trainer.steps_per_epoch):
          state, sums = step(state, fold, batches)
          total += float(sums.loss)
        losses.append(total / TRAINING)
      return state, losses

    yield run


@pytest.fixture(scope='module')
def pretrained(trainer, data, fold, steps):
  with layers.cpu.switched_off():
    return steps(data, untrained(trainer, data, fold), PRETRAINING)


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


def spoiled(data, clip):
  [(name, images)] = data.inputs.items()
  return data.replace(inputs={name: images.at[:, clip].multiply(-3)})


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


def with_settings(trainer, **settings):
  settings = cross_phase.Settings(queue=6, **settings)
  return dataclasses.replace(
    trainer, objective=cross_phase.CrossPhase(settings)
  )


CODES = {'token_target': 'codes', 'codes': 5}


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


def test_more_codes_than_cells_are_refused(trainer, data, fold):
  trainer = with_settings(trainer, token_target='codes', codes=1000)
  with pytest.raises(errors.UserError, match='objective.codes=1000.*at most'):
    untrained(trainer, data, fold)


@pytest.mark.parametrize(
  'valid,queue,rows', [(8, 6, 6), (8, 7, 7), (8, 8, 4), (5, 6, 4), (3, 6, 2)]
)
def test_the_queue_is_shorter_than_a_fold(
  trainer, data, fold, valid, queue, rows
):
  objective = cross_phase.CrossPhase(cross_phase.Settings(queue=queue))
  trainer = dataclasses.replace(trainer, objective=objective)
  fold = dataclasses.replace(fold, train_valid=fold.train_index < valid)
  state = untrained(trainer, data, fold)
  assert state.objective['rows'] == rows
  step = small.jit(dataclasses.replace(trainer, pretrains=True).step)
  epoch = trainer.gather(data, state, fold)
  for number in range(2):
    batch = jax.tree.map(lambda leaf, n=number: leaf[n], epoch)
    state, _ = step(state, fold, batch)
  clips = state.objective['clips']
  assert (clips[rows:] == -1).all()
  assert (clips[:rows] >= 0).any()


@pytest.fixture(scope='module')
def one_step(trainer, data, fold):
  """Settings -> loss and gradients of a pretraining step with a full queue."""
  with layers.cpu.switched_off():
    state = untrained(with_settings(trainer, **CODES), data, fold)
    queue = jax.random.normal(jax.random.key(3), (2, 6, 8))
    queue /= jnp.linalg.norm(queue, axis=-1, keepdims=True)
    state.objective.update(
      queue=queue, clips=jnp.arange(6, 12), entered=jnp.int32(6)
    )
    epoch = trainer.gather(data, state, fold)
    batch = jax.tree.map(lambda leaf: leaf[0], epoch)

    def run(images=None, **settings):
      chosen = dataclasses.replace(
        with_settings(trainer, **settings), pretrains=True
      )
      seen = batch
      if images is not None:
        seen = batch.replace(inputs={'dynamic_images': images(batch)})
      # Moments after a first step of Adam: proportional to the gradients.
      after, sums = small.jit(chosen.step)(state, fold, seen)
      return float(sums.loss) / 4, after

    yield run


def test_the_loss_is_the_weighted_sum_of_its_parts(one_step):
  names = 'instance_weight', 'task_weight', 'token_weight'
  parts = [
    one_step(**dict.fromkeys(names, 0.0) | {name: 1.0})[0] for name in names
  ]
  assert min(parts) > 0.01
  found, _ = one_step(instance_weight=2.0, task_weight=3.0, token_weight=0.5)
  expected = 2 * parts[0] + 3 * parts[1] + 0.5 * parts[2]
  assert found == pytest.approx(expected, rel=1e-5)
  assert one_step()[0] == pytest.approx(sum(parts), rel=1e-5)


def test_directions_of_the_divergence(one_step):
  only = {'instance_weight': 0.0, 'token_weight': 0.0}
  found = {
    name: one_step(divergence=name, **only)[0]
    for name in ('forward', 'backward', 'both')
  }
  assert found['both'] == pytest.approx(
    found['forward'] + found['backward'], rel=1e-5
  )
  assert abs(found['forward'] - found['backward']) > 1e-4


@pytest.mark.parametrize('settings', [{}, CODES])
def test_a_clip_with_one_phase_predicts_its_cells_alone(one_step, settings):
  def lacking(batch):
    return batch.inputs['dynamic_images'].at[:, 1].set(0)

  contrast = {'instance_weight': 1.0, 'task_weight': 1.0, 'token_weight': 0.0}
  found, state = one_step(lacking, **settings | contrast)
  assert found == 0
  # Nothing entered.
  assert (state.objective['clips'][:4] == -1).all()
  _, state = one_step(lacking, **settings)
  moments = state.opt_state[0].mu
  assert jnp.abs(moments['cells_0']['kernel']).max() > 0
  assert jnp.abs(moments['cells_1']['kernel']).max() == 0


def test_codes_can_be_learnt(trainer, data, fold):
  settings = {'instance_weight': 0.0, 'task_weight': 0.0}
  trainer = dataclasses.replace(
    with_settings(trainer, **CODES, **settings),
    settings=dataclasses.replace(trainer.settings, epochs=21),
    pretraining_epochs=20,
    pretrains=True,
  )
  state, losses = untrained(trainer, data, fold), []
  step, gather = small.jit(trainer.next_step), small.jit(trainer.gather)
  for _ in range(trainer.pretraining_epochs):
    batches = gather(data, state, fold)
    for _ in range(trainer.steps_per_epoch):
      state, sums = step(state, fold, batches)
      losses.append(float(sums.loss) / 4)
  by_chance = 2 * np.log(CODES['codes'])
  assert np.mean(losses[-4:]) < 0.9 * by_chance, losses


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


def test_padding_counts_nothing(trainer, data, fold):
  state = untrained(trainer, data, fold)
  batch = jax.tree.map(lambda leaf: leaf[0], trainer.gather(data, state, fold))
  batch = batch.replace(valid=jnp.array([True, True, True, False]))
  [(name, images)] = batch.inputs.items()
  other = batch.replace(inputs={name: images.at[3].multiply(-7)})
  step = small.jit(dataclasses.replace(trainer, pretrains=True).step)
  found, again = step(state, fold, batch)[0], step(state, fold, other)[0]
  jax.tree.map(np.testing.assert_array_equal, found.current, again.current)
  clips = found.objective['clips']
  assert clips[3] == -1 and (clips[:3] >= 0).all() and (clips[4:] == -1).all()
  assert found.objective['entered'] == 3


def test_the_cells_cover_an_image_that_they_do_not_divide():
  images = jax.random.normal(jax.random.key(0), (2, 7, 10, 3))
  found = cross_phase.cells(images, 9)
  assert found.shape == (2, 9, 3 * 4 * 3)
  np.testing.assert_allclose(found.mean(axis=-1), 0, atol=1e-5)
  np.testing.assert_allclose(found.std(axis=-1), 1, rtol=1e-3)
  hidden = jnp.zeros((2, 9), bool).at[1, 8].set(True)
  covered = cross_phase.cover(images, hidden)
  np.testing.assert_array_equal(covered[0], images[0])
  assert (covered[1, 6:, 8:] == 0).all()
  covered = covered.at[1, 6:, 8:].set(images[1, 6:, 8:])
  np.testing.assert_array_equal(covered, images)


def test_a_model_without_its_heads_is_refused():
  outputs = Outputs(jnp.zeros((2, 1, 3)), {'tokens': jnp.zeros((2, 2, 4, 3))})
  with pytest.raises(errors.UserError, match='cross_phase.*projections, cells'):
    cross_phase.CrossPhase().init({}, outputs, jax.random.key(0))


def test_one_phase_is_refused():
  spec = jax.ShapeDtypeStruct((1, 12, 12, 3), 'float32')
  settings = cots.COTSSettings(backbone='compact')
  found = cots.COTS.check(settings, {'dynamic_images': spec})
  assert not all(holds for _, holds, _ in found)
