"""Augmentation: flips, shifts, rotations and mixup."""

import functools
import math

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.core import config, errors
from dianet_jax.motion.phase_flow import PHASE_FLOW
from dianet_jax.motion.registry import Channel
from dianet_jax.training import augment

IMAGES = jnp.arange(6.0)[:, None, None, None, None] * jnp.ones((6, 2, 4, 4, 3))


def noise(*shape):
  rng = np.random.default_rng(0)
  return rng.normal(size=shape).astype(np.float32)


def turned(images, degrees, rows=0, columns=0, flipped=False):
  radians = jnp.float32(math.radians(degrees))
  return np.asarray(
    augment.move(images, rows, columns, jnp.bool_(flipped), (), radians)
  )


@pytest.mark.parametrize('flipped', [False, True])
@pytest.mark.parametrize('rows,columns', [(0, 0), (3, -2), (-20, 1)])
def test_a_rotation_by_zero_equals_shift_and_flip(rows, columns, flipped):
  images = noise(2, 9, 12, 3)
  expected = augment.move(images, rows, columns, jnp.bool_(flipped))
  np.testing.assert_array_equal(
    turned(images, 0, rows, columns, flipped), expected
  )


@pytest.mark.parametrize('size', [9, 12])
def test_a_quarter_turn_is_counter_clockwise(size):
  images = noise(2, size, size, 3)
  np.testing.assert_allclose(
    turned(images, 90), np.rot90(images, axes=(1, 2)), atol=1e-4
  )
  # The flip comes first, then the rotation, then the shift.
  expected = np.rot90(images[:, :, ::-1], axes=(1, 2))
  expected = np.roll(expected, (1, -2), (1, 2))
  found = turned(images, 90, rows=1, columns=-2, flipped=True)
  np.testing.assert_allclose(found[:, 1:, :-2], expected[:, 1:, :-2], atol=1e-4)


@pytest.mark.parametrize('degrees', [-37.0, 5.0, 170.0])
def test_a_rotation_is_that_of_opencv(degrees):
  # Smooth: OpenCV rounds positions to 1/32 of a pixel.
  image = cv2.GaussianBlur(noise(32, 40, 3), (0, 0), 3)
  turn = cv2.getRotationMatrix2D((19.5, 15.5), degrees, 1)
  turn[:, 2] += (2, -3)
  expected = cv2.warpAffine(
    image, turn, (40, 32), borderMode=cv2.BORDER_REPLICATE
  )
  found = turned(image[None], degrees, rows=-3, columns=2)[0]
  np.testing.assert_allclose(found, expected, atol=0.02 * np.ptp(image))


@pytest.mark.parametrize('shape', [(2, 9, 12, 3), (1, 16, 8, 1)])
def test_interpolation_on_tpus_gives_the_same_values(shape):
  rng = np.random.default_rng(1)
  images, (height, width) = noise(*shape), shape[1:3]
  # The border and whole pixels among them.
  row, column = (
    np.clip(rng.uniform(-2, n + 2, (height, width)), 0, n - 1)
    for n in (height, width)
  )
  row[0], column[1] = np.round(row[0]), np.round(column[1])
  args = images, jnp.float32(row), jnp.float32(column)
  np.testing.assert_allclose(
    augment._bilinear_on_tpu(*args), augment._bilinear(*args), atol=1e-5
  )


GREY = (Channel('grey', 'grey levels'),)


def augmented(key, images, **settings):
  """Of a clip whose images are grey, with flips and shifts by default."""
  settings = {'flip_probability': 0.5, 'shift_pixels': 2} | settings
  return augment.augment(
    key, {'x': images}, {'x': GREY}, config.Augment(**settings)
  )['x']


def test_clips_rotate_independently_and_their_phases_together():
  images = np.broadcast_to(noise(1, 1, 16, 16, 3), (8, 2, 16, 16, 3))
  turn = functools.partial(augmented, rotation_degrees=20.0)
  keys = jax.random.split(jax.random.key(0), 8)
  found = np.asarray(jax.jit(jax.vmap(turn))(keys, images))
  np.testing.assert_array_equal(found[:, 0], found[:, 1])
  assert len({clip.tobytes() for clip in found}) == 8
  np.testing.assert_allclose(found[3], turn(keys[3], images[3]), atol=1e-5)


def test_rotation_does_not_change_the_flip_and_the_shift():
  images, key = noise(2, 16, 16, 3), jax.random.key(0)
  plain = augmented(key, images)
  # So small an angle moves nothing by more than a thousandth of a pixel.
  found = augmented(key, images, rotation_degrees=0.001)
  np.testing.assert_allclose(found, plain, atol=5e-3)
  assert np.abs(found - plain).max() > 0
  np.testing.assert_array_equal(
    augmented(key, images, rotation_degrees=0.0), plain
  )


def test_angles_fill_their_range():
  keys = jax.random.split(jax.random.key(0), 300)
  # A ramp to the right: the slope says by how much it was turned.
  ramp = jnp.broadcast_to(jnp.arange(33.0)[:, None], (1, 33, 33, 1))
  turn = functools.partial(
    augmented,
    flip_probability=0.0,
    shift_pixels=0,
    rotation_degrees=30.0,
  )
  found = np.asarray(jax.vmap(lambda key: turn(key, ramp))(keys))[:, 0, ..., 0]
  down = found[:, 17, 16] - found[:, 15, 16]
  right = found[:, 16, 17] - found[:, 16, 15]
  degrees = np.degrees(np.arctan2(-down, right))
  assert -30 <= degrees.min() < -28 and 28 < degrees.max() <= 30
  assert abs(degrees.mean()) < 3


def test_every_variant_of_a_clip_is_drawn_as_often():
  drawn = np.asarray(augment.draw_variant(jax.random.key(1), (4, 300), 3))
  for clip in drawn:
    share = np.bincount(clip, minlength=3) / 300
    assert len(share) == 3 and share.min() > 0.25 and share.max() < 0.42


def test_a_single_variant_is_not_drawn():
  drawn = augment.draw_variant(jax.random.key(1), (2, 3), 1)
  np.testing.assert_array_equal(drawn, np.zeros((2, 3)))


FLOW = (
  Channel('u', 'pixels', flips_sign=True, component='x'),
  Channel('v', 'pixels', component='y'),
  Channel('strain', '1'),
)


def test_displacements_turn_with_the_face():
  # A quarter turn counter-clockwise: what went right goes up.
  field = np.zeros((1, 9, 9, 3), np.float32) + (1, 0, 5)
  turn = jnp.float32(math.pi / 2)
  found = augment.move(field, 0, 0, jnp.bool_(False), FLOW, turn)
  np.testing.assert_allclose(found, field * 0 + (0, -1, 5), atol=1e-5)
  # Down goes right; mirrored first, what went right goes left, then down.
  down = np.zeros((1, 9, 9, 3), np.float32) + (0, 1, 0)
  found = augment.move(down, 0, 0, jnp.bool_(False), FLOW, turn)
  np.testing.assert_allclose(found, down * 0 + (1, 0, 0), atol=1e-5)
  found = augment.move(field, 0, 0, jnp.bool_(True), FLOW, turn)
  np.testing.assert_allclose(found, field * 0 + (0, 1, 5), atol=1e-5)


def test_vectors_of_unknown_scale_are_not_turned():
  channels = PHASE_FLOW.channels(config.Data())
  with pytest.raises(errors.UserError, match='channels u, v cannot be rotated'):
    augment.move(
      noise(1, 9, 9, 3), 0, 0, jnp.bool_(True), channels, jnp.float32(0.1)
    )
  # A mirror changes the sign of what points to the right, and of no more.
  images = noise(1, 9, 9, 3)
  found = augment.move(images, 0, 0, jnp.bool_(True), channels)
  np.testing.assert_array_equal(found, images[:, :, ::-1] * (-1, 1, 1))


def test_vectors_are_found_in_any_order_of_channels():
  """Of two vectors in one image, y before x in one of them."""
  channels = (
    Channel('v', 'pixels', component='y'),
    Channel('grey', 'grey levels'),
    Channel('u', 'pixels', flips_sign=True, component='x'),
    Channel('right', '1', flips_sign=True, component='x'),
    Channel('down', '1', component='y'),
  )
  field = np.zeros((1, 9, 9, 5), np.float32) + (2, 7, 1, 3, 4)
  turn = jnp.float32(math.pi / 2)
  found = augment.move(field, 0, 0, jnp.bool_(False), channels, turn)
  np.testing.assert_allclose(found, field * 0 + (-1, 7, 2, 4, -3), atol=1e-5)
  assert augment.unturnable(channels[:3]) == []
  assert augment.unturnable(channels[:2]) == ['v']
  assert augment.unturnable(channels[2:4]) == ['u', 'right']


def test_flips_negate_about_zero_and_exchange_mirrored_channels():
  channels = (
    Channel('left', '1', mirror_channel='right'),
    Channel('u', '', flips_sign=True, component='x', zero=0.5),
    Channel('right', '1', mirror_channel='left'),
  )
  images = noise(2, 6, 6, 3)
  found = augment.move(images, 0, 0, jnp.bool_(True), channels)
  expected = images[:, :, ::-1, [2, 1, 0]] * (1, -1, 1) + (0, 1, 0)
  np.testing.assert_allclose(found, expected, atol=1e-6)
  same = augment.move(images, 0, 0, jnp.bool_(False), channels)
  np.testing.assert_array_equal(same, images)


@pytest.mark.parametrize(
  'channel, refused',
  [
    (Channel('red', '', coded=True), ['flip_probability', 'rotation_degrees']),
    (
      Channel('block', '1', mirror_channel='block'),
      ['shift_pixels', 'rotation_degrees'],
    ),
    (Channel('u', '', component='x'), ['rotation_degrees']),
    (Channel('grey', 'grey levels'), []),
  ],
)
def test_what_cannot_be_augmented_is_refused(channel, refused):
  everything = config.Augment(
    flip_probability=0.5, shift_pixels=1, rotation_degrees=5.0
  )
  assert [key for key, _ in augment.refused((channel,), everything)] == refused
  nothing = config.Augment(flip_probability=0.0, shift_pixels=0)
  assert not list(augment.refused((channel,), nothing))
  images = {'x': noise(1, 4, 4, 1)}
  key = jax.random.key(0)
  augment.augment(key, images, {'x': (channel,)}, nothing)
  if refused:
    with pytest.raises(errors.UserError, match=f'augment.{refused[0]}=.* 0:'):
      augment.augment(key, images, {'x': (channel,)}, everything)


def test_all_images_move_together_and_tokens_do_not_change():
  images, tokens = noise(2, 16, 16, 1), noise(5, 7)
  found = augment.augment(
    jax.random.key(4),
    {'a': images, 'b': images, 'tokens': tokens},
    {'a': GREY, 'b': GREY, 'tokens': ()},
    config.Augment(flip_probability=1.0, shift_pixels=3),
  )
  np.testing.assert_array_equal(found['tokens'], tokens)
  np.testing.assert_array_equal(found['a'], found['b'])
  assert np.abs(found['a'] - images).max() > 0


@pytest.mark.parametrize('seed', range(20))
def test_mixup_partners_are_never_padding(seed):
  valid = jnp.array([True, False, True, True, True, False])
  _, partner, share = augment.mix(jax.random.key(seed), IMAGES, valid, 0.4)
  filled = np.flatnonzero(valid)
  # Everybody is somebody's partner, and nobody is his own.
  assert sorted(np.array(partner)[filled]) == list(filled)
  assert (np.array(partner)[filled] != filled).all()
  assert (share >= 0.5).all() and (share <= 1).all()


def test_mixup_blends_with_the_given_shares():
  key, valid = jax.random.key(3), jnp.ones(6, bool)
  blended, partner, share = augment.mix(key, IMAGES, valid, 1.0)
  expected = share * jnp.arange(6) + (1 - share) * partner
  np.testing.assert_allclose(blended[:, 1, 2, 3, 0], expected, rtol=1e-6)
  assert len(np.unique(share)) == 6


@pytest.mark.parametrize('filled', [0, 1])
def test_mixup_without_a_partner_changes_nothing(filled):
  valid = jnp.arange(6) < filled
  blended, _, _ = augment.mix(jax.random.key(0), IMAGES + 1, valid, 0.4)
  np.testing.assert_allclose(blended[0], IMAGES[0] + 1, rtol=1e-6)
  assert np.isfinite(blended).all()
