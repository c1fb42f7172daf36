"""Slow-Fast TCM: correlation, displacements, spans of frames."""

import jax
import numpy as np
import pytest

from dianet_jax.models.zoo import tcm
from tests.models.zoo import small

pytestmark = pytest.mark.usefixtures('plain_layers')


def test_correlation_is_that_of_its_definition():
  one, other = jax.random.normal(jax.random.key(0), (2, 1, 1, 4, 5, 3))
  found = np.asarray(tcm.correlation(one, other, 3))
  padded = np.pad(np.asarray(other)[0, 0], ((1, 1), (1, 1), (0, 0)))
  for y in range(4):
    for x in range(5):
      around = padded[y : y + 3, x : x + 3].reshape(9, 3)
      np.testing.assert_allclose(
        found[0, 0, y * 5 + x], around @ one[0, 0, y, x], rtol=1e-4, atol=1e-5
      )


def test_tcm_measures_a_known_displacement():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1, 1, 9, 9, 32)).astype(np.float32)
  x /= np.linalg.norm(x, axis=-1, keepdims=True)
  # One place down, two to the right.
  moved = np.roll(x, (1, 2), axis=(2, 3))
  u, v, sure = np.moveaxis(np.asarray(tcm.motion(x, moved, 7)), -1, 0)
  inner = np.s_[0, 0, 2:7, 2:6]
  np.testing.assert_allclose(u[inner], 2 / 3, atol=0.02)
  np.testing.assert_allclose(v[inner], 1 / 3, atol=0.02)
  np.testing.assert_allclose(sure[inner], 1, atol=1e-5)


@pytest.mark.slow
def test_spans_of_frames_are_processed_independently():
  model, variables, inputs = small.initialised('slow_fast_tcm', spans=2)
  [images] = inputs.values()
  swapped = {
    k: np.concatenate([v[:, 2:], v[:, :2]], axis=1) for k, v in inputs.items()
  }
  np.testing.assert_allclose(
    small.logits(model, variables, inputs),
    small.logits(model, variables, swapped),
    atol=1e-4,
  )
  whole, variables, _ = small.initialised('slow_fast_tcm')
  one, other = (small.logits(whole, variables, x) for x in (inputs, swapped))
  assert np.abs(one - other).max() > 1e-4
