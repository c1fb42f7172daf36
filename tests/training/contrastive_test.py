"""Contrastive losses at values that can be worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.training import contrastive

EYE = jnp.eye(3)
VALID = jnp.array([True, True, False])


def test_global_losses_of_orthogonal_features():
  found = contrastive.global_losses(5 * EYE, EYE, temperature=0.5)
  # Each own cosine is 1, the two others 0.
  expected = -2 + np.log(np.exp(2) + 2)
  assert found == pytest.approx((expected, expected), rel=1e-5)


def test_padding_is_neither_an_anchor_nor_a_negative():
  first, second = EYE, EYE.at[2].set(jnp.array([1.0, 0, 0]))
  found = contrastive.global_losses(first, second, VALID)
  alone = contrastive.global_losses(first[:2], second[:2])
  np.testing.assert_allclose(found, alone, rtol=1e-5)
  places = jnp.stack([first, second], axis=1)
  found = contrastive.local_losses(places, places, VALID)
  alone = contrastive.local_losses(places[:2], places[:2])
  np.testing.assert_allclose(found, alone, rtol=1e-5)


def test_attention_is_over_the_places():
  rng = np.random.default_rng(0)
  places, words = (jnp.asarray(rng.normal(size=(2, n, 4))) for n in (5, 3))
  attention = contrastive.word_attention(places, words)
  assert attention.shape == (2, 2, 3, 5)
  np.testing.assert_allclose(attention.sum(axis=-1), 1, rtol=1e-5)


def test_a_clip_in_the_queue_is_not_its_own_negative():
  own, queued = jnp.array([7, 8, 9]), jnp.array([8, 1])
  queue = EYE[:2]
  logits = contrastive.queue_logits(EYE, EYE, queue, 1.0, own, queued)
  assert logits.shape == (3, 3)
  assert logits[1, 1] < -1e8 and (logits[jnp.array([0, 2]), 1] > -2).all()
  assert contrastive.instance_loss(logits)[()] == pytest.approx(
    np.mean(
      [
        np.log(np.e + np.e + 1) - 1,
        np.log(np.e + np.e) - 1,
        np.log(np.e + 2) - 1,
      ]
    ),
    rel=1e-5,
  )


def test_equal_phases_have_no_task_loss():
  logits = jnp.array([[1.0, 0, -1], [2.0, 1, 0], [9.0, 0, 0]])
  assert contrastive.task_loss(logits, logits) == 0
  shares, others = (np.array(x) for x in ([0.5, 0.5], [0.9, 0.1]))
  found = contrastive.task_loss(jnp.log(shares)[None], jnp.log(others)[None])
  assert found == pytest.approx((shares * np.log(shares / others)).sum())
  spoiled = logits.at[2].set(5.0)
  assert contrastive.task_loss(logits, spoiled, VALID) == 0


def test_zeros_are_normalised_to_zeros():
  assert (contrastive.normalised(jnp.zeros((2, 3))) == 0).all()
