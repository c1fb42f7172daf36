"""Scaling, augmentation and the loss: known values and invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.core import config
from dianet_jax.motion import scaling
from dianet_jax.motion.dynamic_images import DYNAMIC_IMAGES
from dianet_jax.motion.registry import Channel
from dianet_jax.training import augment

RED_FLIPS = (
  Channel('red', 'grey levels', flips_sign=True),
  Channel('green', 'grey levels'),
  Channel('blue', 'grey levels'),
)


def augmented(key, images, flip_probability, shift_pixels):
  settings = config.Augment(
    flip_probability=flip_probability, shift_pixels=shift_pixels
  )
  channels = DYNAMIC_IMAGES.channels(None)
  return augment.augment(key, {'x': images}, {'x': channels}, settings)['x']


IMAGES = jax.random.normal(jax.random.key(0), (2, 8, 6, 3)) * 30


# These leave the range of an image as it is.
FIXED = 'none', 'grey_levels'
SCALED = [name for name in scaling.SCALINGS if name not in FIXED]


@pytest.mark.parametrize('name', SCALED)
def test_a_constant_image_becomes_mid_grey(name):
  for level in (0.0, 7.0):
    constant = jnp.full((1, 4, 4, 3), level)
    scaled = scaling.SCALINGS[name](constant)
    if name == 'symmetric' and level:
      # Not a phase image: without motion rank pooling gives 0.
      continue
    np.testing.assert_array_equal(scaled, 0)
  np.testing.assert_array_equal(scaling.to_display(np.zeros((4, 4, 3))), 128)


@pytest.mark.parametrize('name', SCALED)
def test_each_image_is_scaled_by_itself(name):
  scale = scaling.SCALINGS[name]
  both = scale(IMAGES)
  np.testing.assert_allclose(both[1], scale(IMAGES[1:])[0], rtol=1e-6)
  np.testing.assert_allclose(both, scale(IMAGES * 5), rtol=1e-4, atol=1e-5)


def test_none_leaves_values_as_they_are():
  np.testing.assert_array_equal(scaling.SCALINGS['none'](IMAGES), IMAGES)


def test_grey_levels_keep_their_distances():
  image = jnp.array([-127.5, 0.0, 51.0]).reshape(1, 3, 1)
  scaled = scaling.SCALINGS['grey_levels'](image)
  np.testing.assert_allclose(scaled.ravel(), [-1, 0, 0.4])


def test_ranges():
  assert jnp.abs(scaling.symmetric(IMAGES)).max(axis=(1, 2, 3)).tolist() == [
    1,
    1,
  ]
  low_high = scaling.minmax(IMAGES)
  assert (low_high.min(), low_high.max()) == (-1, 1)
  standard = scaling.standardize(IMAGES)
  np.testing.assert_allclose(standard.mean(axis=(1, 2)), 0, atol=1e-6)
  np.testing.assert_allclose(standard.std(axis=(1, 2)), 1, rtol=1e-5)
  display = scaling.to_display(np.asarray(IMAGES[0]))
  assert (display.min(), display.max()) == (0, 255)


def test_move_shifts_and_repeats_the_border():
  moved = augment.move(IMAGES, jnp.array(2), jnp.array(-1), jnp.array(False))
  np.testing.assert_array_equal(moved[:, 2:, :-1], IMAGES[:, :-2, 1:])
  np.testing.assert_array_equal(moved[:, 0, :-1], IMAGES[:, 0, 1:])
  np.testing.assert_array_equal(moved[:, 2:, -1], IMAGES[:, :-2, -1])


def test_flip_turns_the_sign_of_horizontal_displacement():
  zero = jnp.array(0)
  flipped = augment.move(IMAGES, zero, zero, jnp.array(True), RED_FLIPS)
  np.testing.assert_array_equal(flipped[..., 0], -IMAGES[:, :, ::-1, 0])
  np.testing.assert_array_equal(flipped[..., 1:], IMAGES[:, :, ::-1, 1:])


def test_augment_moves_both_phases_alike_and_depends_on_the_key():
  same = jnp.stack([IMAGES[0], IMAGES[0]])
  seen = set()
  for seed in range(20):
    moved = augmented(jax.random.key(seed), same, 0.5, 2)
    np.testing.assert_array_equal(moved[0], moved[1])
    seen.add(moved.tobytes())
  assert len(seen) > 10
  np.testing.assert_array_equal(
    augmented(jax.random.key(0), same, 0.0, 0), same
  )
