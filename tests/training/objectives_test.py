"""Losses at values that can be worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models.registry import Outputs
from dianet_jax.training import objectives, phase_contrast

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


def batch(labels, valid=None):
  clips = len(labels)
  valid = jnp.ones(clips, bool) if valid is None else jnp.array(valid)
  return objectives.Batch(
    inputs={},
    labels=jnp.array(labels),
    partner_labels=jnp.array(labels),
    own_weight=jnp.ones(clips),
    valid=valid,
    clips=jnp.arange(clips),
    class_weights=ONES,
    variables={},
    key=jax.random.key(0),
    apply=lambda variables, inputs, train: None,
  )


def test_only_views_that_a_clip_has_are_trained():
  logits = jax.random.normal(jax.random.key(0), (4, 2, 3))
  present = jnp.array([[True, True], [False, True], [False, False], [True] * 2])
  labels, valid = [0, 1, 2, 0], [True, True, True, False]
  sharp = objectives.CrossEntropySettings(label_smoothing=0.0)

  def loss(logits, present):
    outputs = Outputs(logits, present=present)
    return objectives.CrossEntropy(sharp)(outputs, batch(labels, valid), ())[0]

  logs = -jax.nn.log_softmax(logits)
  # The mean over the first two clips: the third has no view, the last is none.
  expected = (logs[0, :, 0].mean() + logs[1, 1, 1]) / 2
  assert loss(logits, present) == pytest.approx(float(expected), rel=1e-5)
  reached = jnp.abs(jax.grad(loss)(logits, present)).max(axis=-1) > 0
  np.testing.assert_array_equal(reached, present & jnp.array(valid)[:, None])
  every = loss(logits, None)
  assert every == pytest.approx(float(loss(logits, present | True)), rel=1e-6)


def test_probabilities_are_the_mean_over_the_views_that_a_clip_has():
  logits = jax.random.normal(jax.random.key(0), (2, 3, 4))
  probs = jax.nn.softmax(logits)
  np.testing.assert_allclose(
    Outputs(logits).probabilities(), probs.mean(axis=1)
  )
  present = jnp.array([[True, False, True], [False, False, True]])
  found = Outputs(logits, present=present).probabilities()
  np.testing.assert_allclose(found[0], probs[0, ::2].mean(axis=0), rtol=1e-5)
  np.testing.assert_allclose(found[1], probs[1, 2], rtol=1e-5)
