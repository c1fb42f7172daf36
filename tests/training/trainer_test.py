"""One fold: effects of a step, and the order of clips."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models.dianet import DIANet
from dianet_jax.training import results as results_lib
from dianet_jax.training import trainer as trainer_lib
from dianet_jax.training.objectives import CrossEntropy
from dianet_jax.training.state import Batch, Fold
from tests.support.small_folds import CHANNELS, data

NUM_CLIPS, WIDTH = 11, 14


@pytest.fixture
def trainer(make_config):
  return variant(make_config, train__augment__shift_pixels=1)


@pytest.fixture
def fold():
  index = np.arange(WIDTH) % NUM_CLIPS
  return Fold(
    seed=jnp.uint32(0),
    subject_hash=jnp.uint32(7),
    train_index=jnp.array(index),
    train_valid=jnp.arange(WIDTH) < NUM_CLIPS,
    validation_index=jnp.zeros(0, int),
    validation_valid=jnp.zeros(0, bool),
    test_index=jnp.array([0]),
    class_weights=jnp.ones(2),
  )


@pytest.fixture
def clips():
  rng = np.random.default_rng(0)
  images = jnp.asarray(rng.normal(size=(NUM_CLIPS, 2, 12, 12, 3)), jnp.float32)
  return data(images, jnp.arange(NUM_CLIPS) % 2)


def with_images(clips, images):
  return clips.replace(inputs={'dynamic_images': images})


def batch(clips, index, valid):
  index = jnp.asarray(index)
  images = clips.inputs['dynamic_images'][0, index]
  return Batch({'dynamic_images': images}, clips.labels[index], valid, index)


def test_an_epoch_visits_every_training_clip_once(trainer, fold):
  orders, labels = set(), jnp.zeros(NUM_CLIPS, int)
  for epoch in range(5):
    index, valid = trainer.order(fold, jnp.int32(epoch), labels)
    assert index.shape == (trainer.steps_per_epoch, trainer.slots) == (4, 4)
    assert sorted(np.array(index[valid])) == list(range(NUM_CLIPS))
    # Spread evenly: 3, 3, 3, 2.
    assert valid.sum(axis=1).min() >= 2
    orders.add(np.array(index[valid]).tobytes())
  assert len(orders) == 5


def test_clips_in_the_order_of_their_classes(trainer, fold):
  settings = dataclasses.replace(trainer.settings, order='by_class')
  trainer = dataclasses.replace(trainer, settings=settings)
  labels = jnp.arange(NUM_CLIPS) % 2
  index, valid = trainer.order(fold, jnp.int32(3), labels)
  assert sorted(np.array(index[valid])) == list(range(NUM_CLIPS))
  seen = labels[index[valid]]
  assert (jnp.diff(seen) >= 0).all() and seen[0] < seen[-1]
  # Full steps, and the rest in the last, instead of two of seven slots.
  settings = dataclasses.replace(settings, batch_size=10)
  trainer = dataclasses.replace(trainer, settings=settings)
  _, valid = trainer.order(fold, jnp.int32(3), labels)
  assert valid.sum(axis=1).tolist() == [10, 1]


def test_a_constant_learning_rate(trainer):
  def last_update(schedule):
    settings = dataclasses.replace(
      trainer.settings, schedule=schedule, warmup_fraction=0.0, weight_decay=0.0
    )
    optimizer = dataclasses.replace(trainer, settings=settings).optimizer()
    params = {'w': jnp.ones(1)}
    state = optimizer.init(params)
    for _ in range(settings.epochs * trainer.steps_per_epoch):
      updates, state = optimizer.update(params, state, params)
    return -float(updates['w'][0])

  rate = trainer.settings.learning_rate
  assert last_update('constant') == pytest.approx(rate, rel=1e-3)
  assert last_update('cosine') < 0.1 * rate


@pytest.mark.parametrize('clips_of_fold', [NUM_CLIPS, 5])
def test_a_step_takes_the_rate_of_its_update(
  trainer, fold, clips, clips_of_fold
):
  # In the order of classes 5 clips fill two of four steps.
  settings = dataclasses.replace(trainer.settings, order='by_class')
  trainer = dataclasses.replace(trainer, settings=settings)
  valid = jnp.arange(WIDTH) < clips_of_fold
  own = fold.replace(train_valid=valid)
  schedule, updates = trainer.schedule(), 0
  for epoch in range(trainer.settings.epochs):
    state = types.SimpleNamespace(step=epoch * trainer.steps_per_epoch)
    taken = trainer.gather(clips, state, own)
    for filled, rate in zip(taken.valid.any(1), taken.learning_rate):
      assert rate == pytest.approx(float(schedule(updates)), abs=1e-9)
      updates += int(filled)
  assert updates < trainer.settings.epochs * trainer.steps_per_epoch or (
    clips_of_fold == NUM_CLIPS
  )


def test_learning_rates_and_epochs_do_not_change_the_compiled_step(
  trainer, fold, clips
):
  def program(**changes):
    settings = dataclasses.replace(trainer.settings, **changes)
    own = dataclasses.replace(trainer, settings=settings)
    state = jax.eval_shape(own.init, clips, fold)
    batches = jax.eval_shape(own.gather, clips, state, fold)
    return jax.jit(own.next_step).lower(state, fold, batches).as_text()

  plain = program()
  assert plain == program(
    learning_rate=0.1, epochs=7, warmup_fraction=0.5, schedule='constant'
  )
  assert plain != program(weight_decay=0.5)


@pytest.mark.slow
def test_a_step_without_a_valid_clip_changes_nothing(trainer, fold, clips):
  state = trainer.init(clips, fold)
  nothing = batch(clips, [0] * 4, jnp.zeros(4, bool))
  after, sums = jax.jit(trainer.step)(state, fold, nothing)
  assert after.step == 1 and sums.clips == 0 and sums.loss == 0
  jax.tree.map(
    np.testing.assert_array_equal, after.replace(step=state.step), state
  )


def test_training_learns(trainer, fold, clips):
  images = clips.inputs['dynamic_images']
  bright = 3.0 * clips.labels[:, None, None, None, None]
  clips = with_images(clips, images.at[:, :, :, :6].add(bright))
  state = trainer.init(clips, fold)
  epoch = jax.jit(trainer.epoch)
  losses = []
  for _ in range(8):
    state, sums = epoch(clips, state, fold)
    losses.append(float(sums.loss / sums.clips))
  assert sums.clips == NUM_CLIPS
  assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_weight_decay_spares_biases_and_norms(trainer, fold, clips):
  params = trainer.init(clips, fold).params
  gradients = jax.tree.map(jnp.zeros_like, params)
  optimizer = trainer.optimizer()
  state = optimizer.init(params)
  # The learning rate is 0 at the very first step of the warm-up.
  _, state = optimizer.update(gradients, state, params)
  updates, _ = optimizer.update(gradients, state, params)
  for update, param in zip(
    jax.tree.leaves(updates), jax.tree.leaves(params), strict=True
  ):
    assert (np.abs(update).max() > 0) == (
      param.ndim > 1 and np.abs(param).max() > 0
    )


def variant(make_config, **overrides):
  config = make_config(
    train__epochs=8,
    train__batch_size=4,
    model__backbone='compact',
    model__dropout=0.0,
    **overrides,
  )
  return trainer_lib.Trainer(
    DIANet(2, config.model),
    CrossEntropy(config.objective),
    config.train,
    'symmetric',
    CHANNELS,
    WIDTH,
  )


ALL_VALID = jnp.ones(4, bool)


def test_each_step_draws_views_by_the_fold_and_its_number(
  make_config, fold, clips
):
  trainer = variant(
    make_config,
    model__fusion='each_phase',
    model__share_backbone=True,
    model__phase_sampling='random_one',
    train__augment__flip_probability=0.0,
    train__augment__shift_pixels=0,
  )
  step = jax.jit(trainer.step)
  state = trainer.init(clips, fold)
  seen = batch(clips, range(4), ALL_VALID)

  def mean_after(number, fold):
    after, sums = step(state.replace(step=jnp.int32(number)), fold, seen)
    assert np.isfinite(sums.loss)
    # Of the first normalisation, by the images that were drawn.
    return np.asarray(jax.tree.leaves(after.statistics)[0]).tobytes()

  steps = [mean_after(number, fold) for number in range(8)]
  assert steps == [mean_after(number, fold) for number in range(8)]
  assert len(set(steps)) > 4
  other = fold.replace(subject_hash=jnp.uint32(8))
  assert steps != [mean_after(number, other) for number in range(8)]


@pytest.mark.slow
def test_the_average_is_that_of_the_steps(make_config, fold, clips):
  trainer = variant(make_config, train__ema_decay=0.6)
  state = trainer.init(clips, fold)
  step, expected, seen = jax.jit(trainer.step), None, []
  for number in range(4):
    index = jnp.arange(4) + number
    state, _ = step(state, fold, batch(clips, index, ALL_VALID))
    kernel = np.array(state.params['classifier']['kernel'])
    seen.append(kernel)
    # A mean of the first two, then four tenths of each new one.
    if number < 2:
      expected = np.mean(seen, axis=0)
    else:
      expected = 0.6 * expected + 0.4 * kernel
  found = state.variables['params']['classifier']['kernel']
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
  assert np.abs(found - seen[-1]).max() > 0


@pytest.mark.slow
def test_averaging_does_not_touch_the_training(make_config, fold, clips):
  ends = []
  for decay in (0.0, 0.9):
    trainer = variant(make_config, train__ema_decay=decay)
    state, step = trainer.init(clips, fold), jax.jit(trainer.step)
    for _ in range(2):
      state, _ = step(state, fold, batch(clips, jnp.arange(4), ALL_VALID))
    ends.append(state)
  assert ends[0].average is None
  jax.tree.map(np.testing.assert_array_equal, ends[0].params, ends[1].params)


@pytest.mark.slow
@pytest.mark.parametrize(
  'option,value',
  [
    ('flip_probability', 0.5),
    ('mixup_alpha', 0.5),
    ('rotation_degrees', 15.0),
  ],
)
def test_padded_slots_change_nothing(make_config, fold, clips, option, value):
  off = {'flip_probability': 0.0, 'shift_pixels': 0}
  plain, trainer = (
    variant(
      make_config, **{f'train__augment__{k}': v for k, v in options.items()}
    )
    for options in (off, off | {option: value})
  )
  # The second of two slots holds a clip that would spoil everything.
  images = clips.inputs['dynamic_images']
  spoiled = with_images(clips, images.at[:, 5].set(jnp.nan))
  state = trainer.init(clips, fold)
  valid = jnp.array([True, True, True, False])
  step = jax.jit(trainer.step)
  one, _ = step(state, fold, batch(spoiled, [1, 2, 3, 5], valid))
  filled = batch(clips, [1, 2, 3, 4], valid)
  two, _ = step(state, fold, filled)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(one.params))
  jax.tree.map(np.testing.assert_array_equal, one.variables, two.variables)
  # The option was at work.
  without, _ = jax.jit(plain.step)(state, fold, filled)
  means = [
    s.statistics['batch_stats']['backbone_0']['BatchNorm_0']['var']
    for s in (two, without)
  ]
  assert np.abs(means[0] - means[1]).max() > 0


@pytest.mark.slow
def test_variants_are_for_training_alone(trainer, fold, clips):
  images = clips.inputs['dynamic_images']
  # Every pixel says which clip and which variant it is of.
  marks = jnp.arange(NUM_CLIPS) + 100 * jnp.arange(3)[:, None]
  marked = jnp.zeros((3, *images.shape[1:])) + marks.reshape(3, -1, 1, 1, 1, 1)
  varied, plain = with_images(clips, marked), with_images(clips, marked[:1])
  state = trainer.init(clips, fold)
  gather, drawn = jax.jit(trainer.gather), []
  for epoch in range(4):
    state = state.replace(step=jnp.int32(epoch * trainer.steps_per_epoch))
    several, one = gather(varied, state, fold), gather(plain, state, fold)
    np.testing.assert_array_equal(several.labels, one.labels)
    np.testing.assert_array_equal(several.valid, one.valid)
    found, expected = (b.inputs['dynamic_images'] for b in (several, one))
    np.testing.assert_array_equal(found % 100, expected)
    drawn.append(np.asarray(found[..., 0, 0, 0, 0]) // 100)
  assert {0, 1, 2} == set(np.ravel(drawn))
  assert all((drawn[0] != other).any() for other in drawn[1:])
  searched = dataclasses.replace(trainer, only_last_variant=True)
  images_of = searched.gather(varied, state, fold).inputs['dynamic_images']
  np.testing.assert_array_equal(images_of // 100, 2)
  # Prediction and validation look at the annotated ones.
  spoiled = with_images(
    clips, jnp.concatenate([images, images + jnp.nan, images + jnp.nan])
  )
  index = jnp.arange(NUM_CLIPS)
  fold = fold.replace(
    test_index=index, validation_index=index, validation_valid=index < 9
  )
  for look in (trainer.predict, trainer.validation_loss):
    np.testing.assert_array_equal(
      look(spoiled, state.variables, fold), look(clips, state.variables, fold)
    )


def test_validation_loss_weights_classes_equally(
  trainer, fold, clips, monkeypatch
):
  probs = jnp.array([[0.5, 0.5], [0.25, 0.75], [0.9, 0.1], [0.1, 0.9]])
  monkeypatch.setattr(
    trainer_lib.Trainer, '_probabilities_at', lambda *_: probs
  )
  fold = fold.replace(
    validation_index=jnp.array([0, 2, 1, 4]),
    validation_valid=jnp.array([True, True, True, False]),
  )
  found = trainer.validation_loss(clips, {}, fold)
  # Clips 0 and 2 are of class 0, clip 1 of class 1; clip 4 is padding.
  first = -np.mean(np.log([0.5, 0.25]))
  assert found == pytest.approx((first - np.log(0.1)) / 2, rel=1e-5)


@pytest.mark.parametrize('losses,epoch', [
  ([0.5, np.nan, 0.7, 0.6], 1), ([np.nan, 0.7, 0.6, 0.6], 3),
])  # fmt: skip
def test_nan_is_never_the_best_epoch(
  trainer, fold, clips, monkeypatch, losses, epoch
):
  state = trainer.init(clips, fold)
  best = trainer.no_best(state)
  for number, loss in enumerate(losses, 1):
    monkeypatch.setattr(
      trainer_lib.Trainer,
      'validation_loss',
      lambda *_, loss=loss: jnp.float32(loss),
    )
    marked = state.replace(
      params=jax.tree.map(lambda p, n=number: p * 0 + n, state.params)
    )
    best, _ = trainer.keep_best(clips, best, marked, fold)
  # What predicts is what is reported.
  assert {float(leaf.max()) for leaf in jax.tree.leaves(
    best.variables['params'])} == {epoch}  # fmt: skip
  result = results_lib.FoldResult(
    'a', 0, {}, np.zeros(4), np.zeros(4), np.zeros(0), np.zeros(0),
    validation_loss=np.array(losses),
  )  # fmt: skip
  assert result.epoch == epoch


@pytest.mark.parametrize('fraction', [0.0, 0.5, 0.99])
def test_the_learning_rate_ends_at_zero(make_config, fraction):
  trainer = variant(make_config, train__warmup_fraction=fraction)
  optimizer = trainer.optimizer()
  params = {'w': jnp.ones((2, 2))}
  state, sizes = optimizer.init(params), []
  for _ in range(trainer.settings.epochs * trainer.steps_per_epoch):
    updates, state = optimizer.update(params, state, params)
    sizes.append(float(jnp.abs(updates['w']).max()))
  assert max(sizes) == pytest.approx(trainer.settings.learning_rate, rel=0.2)
  # The cosine has a step at least, in which the rate is still the peak's.
  steps = len(sizes)
  assert np.argmax(sizes) >= min(round(fraction * steps), steps - 1)
  assert fraction > 0.9 or sizes[-1] < 0.2 * max(sizes)
