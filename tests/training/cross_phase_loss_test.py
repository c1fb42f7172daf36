"""The loss of contrast between phases: its parts, queue, cells and codes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.core import errors
from dianet_jax.models import layers
from dianet_jax.models.registry import Outputs
from dianet_jax.models.zoo import cots
from dianet_jax.training import cross_phase
from tests.models.zoo import small
from tests.training.cross_phase_case import (
  CODES,
  untrained,
  with_settings,
)
from tests.training.cross_phase_case import data as data
from tests.training.cross_phase_case import fold as fold
from tests.training.cross_phase_case import trainer as trainer

pytestmark = pytest.mark.usefixtures('plain_layers')


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
