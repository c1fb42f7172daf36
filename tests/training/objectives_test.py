"""Losses at values that can be worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.training import objectives

SHARES = np.array([0.9, 0.07, 0.03])
LOGITS = jnp.log(jnp.array(SHARES))
ONES = jnp.ones(3)


def test_cross_entropy():
  found = objectives.classification(
    LOGITS, jnp.array(1), jnp.array([1.0, 2.0, 1])
  )
  assert found == pytest.approx(-2 * np.log(0.07), rel=1e-5)


def test_focal_loss_of_an_easy_clip():
  # Lin et al., figure 1: at p = 0.9, gamma = 2 takes a factor of 100.
  found = objectives.classification(LOGITS, jnp.array(0), ONES, focal_gamma=2.0)
  assert found == pytest.approx(-np.log(0.9) / 100, rel=1e-4)


def test_focal_loss_with_smoothed_targets():
  found = objectives.classification(
    LOGITS, jnp.array(2), ONES, label_smoothing=0.3, focal_gamma=1.0
  )
  targets = np.array([0.1, 0.1, 0.8])
  expected = -(targets * (1 - SHARES) * np.log(SHARES)).sum()
  assert found == pytest.approx(expected, rel=1e-4)


def test_gamma_near_zero_is_cross_entropy():
  arguments = LOGITS, jnp.array(1), ONES, 0.1
  np.testing.assert_allclose(
    objectives.classification(*arguments, 1e-7),
    objectives.classification(*arguments, 0.0),
    rtol=1e-5,
  )


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_gradients_of_certain_logits_are_finite(gamma):
  logits = jnp.array([[100.0, -100, 0], [-100, 100, 0]])
  gradient = jax.grad(
    lambda x: objectives.classification(
      x, jnp.array([0, 0]), ONES, 0.1, gamma
    ).sum()
  )(logits)
  assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
