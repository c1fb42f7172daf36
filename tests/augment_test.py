"""Augmentation: what moves, and who is blended with whom."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax import augment

IMAGES = jnp.arange(6.0)[:, None, None, None, None] * jnp.ones((6, 2, 4, 4, 3))


@pytest.mark.parametrize('seed', range(20))
def test_filled_slots_are_blended_with_filled_slots(seed):
  valid = jnp.array([True, False, True, True, True, False])
  _, partner, share = augment.mix(jax.random.key(seed), IMAGES, valid, 0.4)
  filled = np.flatnonzero(valid)
  # Everybody is somebody's partner, and nobody is his own.
  assert sorted(np.array(partner)[filled]) == list(filled)
  assert (np.array(partner)[filled] != filled).all()
  assert (share >= 0.5).all() and (share <= 1).all()


def test_the_blend_is_of_the_stated_shares():
  key, valid = jax.random.key(3), jnp.ones(6, bool)
  blended, partner, share = augment.mix(key, IMAGES, valid, 1.0)
  expected = share * jnp.arange(6) + (1 - share) * partner
  np.testing.assert_allclose(blended[:, 1, 2, 3, 0], expected, rtol=1e-6)
  assert len(np.unique(share)) == 6


@pytest.mark.parametrize('filled', [0, 1])
def test_without_a_partner_a_clip_stays_as_it_is(filled):
  valid = jnp.arange(6) < filled
  blended, _, _ = augment.mix(jax.random.key(0), IMAGES + 1, valid, 0.4)
  np.testing.assert_allclose(blended[0], IMAGES[0] + 1, rtol=1e-6)
  assert np.isfinite(blended).all()
