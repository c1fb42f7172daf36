"""One fold: what a step may change, and how clips are dealt to steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax import train
from dianet_jax.models.dianet import DIANet

NUM_CLIPS, WIDTH = 11, 14


@pytest.fixture
def trainer(make_config):
  config = make_config(
    train__epochs=8, train__batch_size=4, train__augment__shift_pixels=1
  )
  model = DIANet(2, backbone='compact')
  return train.Trainer(model, config.train, 'symmetric', WIDTH)


@pytest.fixture
def fold():
  index = np.arange(WIDTH) % NUM_CLIPS
  return train.Fold(
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
  return images, jnp.arange(NUM_CLIPS) % 2


def test_an_epoch_visits_every_training_clip_once(trainer, fold):
  orders = set()
  for epoch in range(5):
    index, valid = trainer.order(fold, jnp.int32(epoch))
    assert index.shape == (trainer.steps_per_epoch, trainer.slots) == (4, 4)
    assert sorted(np.array(index[valid])) == list(range(NUM_CLIPS))
    # Spread evenly: 3, 3, 3, 2.
    assert valid.sum(axis=1).min() >= 2
    orders.add(np.array(index[valid]).tobytes())
  assert len(orders) == 5


def test_a_step_without_a_valid_clip_changes_nothing(trainer, fold, clips):
  state = trainer.init(fold, clips[0])
  index = jnp.zeros(4, int)
  after, sums = jax.jit(trainer.step)(
    state, fold, *clips, index, jnp.zeros(4, bool)
  )
  assert after.step == 1 and sums.clips == 0 and sums.loss == 0
  jax.tree.map(
    np.testing.assert_array_equal, after.replace(step=state.step), state
  )


def test_padded_slots_change_nothing(trainer, fold, clips):
  images, labels = clips
  # The second of two slots holds a clip that would spoil everything.
  spoiled = images.at[5].set(jnp.nan)
  state = trainer.init(fold, images)
  valid = jnp.array([True, True, True, False])
  step = jax.jit(trainer.step)
  one, _ = step(state, fold, spoiled, labels, jnp.array([1, 2, 3, 5]), valid)
  two, _ = step(state, fold, images, labels, jnp.array([1, 2, 3, 4]), valid)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(one.params))
  jax.tree.map(np.testing.assert_array_equal, one.variables, two.variables)


def test_training_learns(trainer, fold, clips):
  images, labels = clips
  images = images.at[:, :, :6].add(3.0 * labels[:, None, None, None, None])
  state = trainer.init(fold, images)
  epoch = jax.jit(trainer.epoch)
  losses = []
  for number in range(8):
    state, sums = epoch(state, fold, images, labels, jnp.int32(number))
    losses.append(float(sums.loss / sums.clips))
  assert sums.clips == NUM_CLIPS
  assert losses[-1] < 0.8 * losses[0]


def test_weight_decay_spares_biases_and_norms(trainer, fold, clips):
  params = trainer.init(fold, clips[0]).params
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
