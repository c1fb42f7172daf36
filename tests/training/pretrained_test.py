"""Every fold starts from the given weights."""

import jax
import numpy as np
import pytest

from dianet_jax.training import group, programs
from dianet_jax.training.state import Data
from tests.support.slow import slow_but
from tests.support.small_folds import clips, data, run  # fixtures


@pytest.mark.parametrize(
  'strategy', slow_but(('loop', 'unroll', 'map', 'vmap'), ('loop', 'vmap'))
)
def test_every_strategy_starts_from_pretrained_weights(run, clips, strategy):
  program, folds = run.make(overrides={'train__ema_decay': 0.9})
  trainer = program._trainer
  plain = data(*clips)
  fold = group.fold_arrays(folds.select([0, 1]))
  one = jax.tree.map(lambda leaf: leaf[0], fold)
  shapes = jax.eval_shape(trainer.init, plain, one).current
  rng = np.random.default_rng(0)
  given = jax.tree.map(
    lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), shapes
  )
  drawn = {'fusion', 'classifier'}
  for name in drawn:
    del given['params'][name]
  over = programs.over_folds(
    trainer.init, strategy=strategy, devices=jax.devices()[:1], shared=1
  )
  state = over(
    jax.tree.map(
      lambda leaf: leaf[None], Data(plain.inputs, plain.labels, given)
    ),
    jax.tree.map(lambda leaf: leaf[None], fold),
  )
  for found in (state.current, state.average):
    for collection, modules in given.items():
      for module, expected in modules.items():
        for row in range(2):
          jax.tree.map(
            lambda leaf, value, row=row: np.testing.assert_array_equal(
              leaf[0, row], value
            ),
            found[collection][module],
            expected,
          )
    assert found['params'].keys() == given['params'].keys() | drawn
  kernel = state.params['classifier']['kernel']
  assert np.abs(kernel[0, 0] - kernel[0, 1]).max() > 1e-3
