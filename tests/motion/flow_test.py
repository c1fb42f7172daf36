"""Flow of clips with a known motion, and the images made of it."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.core import config as configuration
from dianet_jax.motion import flow as flow_lib
from dianet_jax.motion import strain
from dianet_jax.training import augment
from tests.support import moving

METHODS = ('farneback', 'tv_l1')
SHARES = (0.0, 0.5, 1.0, 0.25)


def settings(**values):
  return configuration.Flow(**{'method': 'farneback'} | values)


def inner(flow):
  """Cuts off the border, where motion from outside cannot be measured."""
  return flow[..., 8:-8, 8:-8, :]


@pytest.mark.parametrize('method', METHODS)
def test_a_translation(method):
  clips = moving.batch(
    [
      moving.clip(moving.translation(0.8, -0.5), SHARES),
      moving.clip(moving.translation(-0.4, 0.6), SHARES[:2]),
    ],
    [2, 1],
    padded=2,
  )
  first = np.array([[0, 2, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0]])
  last = np.array([[2, 3, 1], [1, 1, 0], [0, 0, 0], [0, 0, 0]])
  flow = flow_lib.between(clips, first, last, settings(method=method))
  assert flow.shape == (4, 3, 64, 64, 2) and flow.dtype == np.float32
  # No motion is found where the frames are the same one.
  assert (flow[first == last] == 0).all()
  for row, column, expected in (
    (0, 0, (0.8, -0.5)),
    (0, 1, (-0.6, 0.375)),
    (1, 0, (-0.2, 0.3)),
  ):
    error = inner(flow[row, column]) - expected
    assert np.abs(error).mean() < 0.05, (row, column)
  # More pairs than are found in one call are the same pairs.
  many = flow_lib.between(
    clips,
    np.tile(first, (1, 8)),
    np.tile(last, (1, 8)),
    settings(method=method),
  )
  np.testing.assert_allclose(many, np.tile(flow, (1, 8, 1, 1, 1)), atol=1e-5)


@pytest.mark.parametrize('method', METHODS)
def test_the_motion_of_the_head_is_subtracted(method):
  def bump(x, y):
    near = np.exp(-((x - 32) ** 2 + (y - 32) ** 2) / 72)
    return 1.0 + 0.6 * near, -0.5 + 0 * x

  clips = moving.batch([moving.clip(bump, (0.0, 1.0))], [1])
  pair = np.array([[0]]), np.array([[1]])
  [[plain]] = flow_lib.between(clips, *pair, settings(method=method))
  [[found]] = flow_lib.between(
    clips, *pair, settings(method=method, head_motion='median')
  )
  median = np.median(plain, axis=(0, 1))
  np.testing.assert_allclose(found, plain - median, atol=1e-5)
  assert np.abs(median - (1.0, -0.5)).max() < 0.15
  assert abs(inner(found)[:10].mean()) < 0.1 < found[32, 32, 0]


def of_motion(motion, method, mirrored=False):
  frames = moving.clip(motion, (0.0, 1.0))
  if mirrored:
    frames = frames[:, :, ::-1]
  clips = moving.batch([frames], [1])
  pair = np.array([[0]]), np.array([[1]])
  return flow_lib.between(clips, *pair, settings(method=method))[0]


def swirl(x, y):
  """Smooth, in every direction, below two pixels."""
  return 0.9 * np.sin(y / 9) + 0.4, 0.8 * np.cos(x / 8 + y / 20)


@pytest.mark.parametrize('method', METHODS)
def test_the_flow_of_a_mirrored_clip_is_the_mirrored_flow(method):
  pixels = settings(coding='pixels', channels=configuration.FLOW_CHANNELS)
  plain, mirrored = (
    flow_lib.images(of_motion(swirl, method, side), pixels, 64)
    for side in (False, True)
  )
  moved = augment.move(plain, 0, 0, jnp.bool_(True), flow_lib.channels(pixels))
  # u, v, strain and magnitude; the direction of next to nothing is noise.
  assert np.abs(moved - mirrored)[..., :4].mean() < 0.02
  agreement = (moved * mirrored)[..., 4:].sum(axis=-1)
  assert (1 - agreement).mean() < 0.02
  # It is no small thing that agrees.
  assert np.abs(plain - mirrored)[..., :2].mean() > 0.3


@pytest.mark.parametrize('method', METHODS)
def test_the_flow_of_a_turned_clip_is_the_turned_flow(method):
  """Within a tenth of a pixel, a tenth of the motion, away from the border."""
  turn = math.radians(20)
  cosine, sine, middle = math.cos(turn), math.sin(turn), (moving.SIZE - 1) / 2

  def back(x, y):
    """Where a place of the turned image lies in the upright one."""
    right, down = x - middle, y - middle
    return (
      middle + cosine * right - sine * down,
      middle + cosine * down + sine * right,
    )

  def turned_frame(share):
    y, x = np.mgrid[: moving.SIZE, : moving.SIZE].astype(float)
    x, y = back(x, y)
    right, down = swirl(x, y)
    grey = moving.pattern(x - share * right, y - share * down)
    return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=-1)

  clips = moving.batch([np.stack([turned_frame(0), turned_frame(1)])], [1])
  pair = np.array([[0]]), np.array([[1]])
  expected = flow_lib.between(clips, *pair, settings(method=method))[0]
  plain = of_motion(swirl, method)
  channels = flow_lib.channels(settings(coding='pixels', channels=('u', 'v')))
  moved = np.asarray(
    augment.move(plain, 0, 0, jnp.bool_(False), channels, jnp.float32(turn))
  )
  assert np.abs(inner(moved - expected)).mean() < 0.1
  assert np.abs(inner(plain - expected)).mean() > 0.1


def test_pixels_are_derived_before_they_are_reduced():
  y, x = np.mgrid[:32, :32].astype(np.float32)
  flow = np.stack([np.sin(x), np.cos(y)], axis=-1)[None]
  chosen = settings(coding='pixels', channels=('strain', 'v', 'u', 'magnitude'))
  found = np.asarray(flow_lib.images(flow, chosen, 8))[0]

  def means(values):
    return np.asarray(values).reshape(8, 4, 8, 4).mean(axis=(1, 3))

  for channel, expected in enumerate(
    (strain.strain(flow)[0], flow[0, ..., 1], flow[0, ..., 0],
     strain.magnitude(flow)[0])
  ):  # fmt: skip
    np.testing.assert_allclose(found[..., channel], means(expected), atol=1e-5)
  names = [channel.name for channel in flow_lib.channels(chosen)]
  assert names == ['strain', 'v', 'u', 'magnitude']
  # The vector is found whatever the order, and its mirror too.
  mirrored = augment.move(
    found[None], 0, 0, jnp.bool_(True), flow_lib.channels(chosen)
  )
  np.testing.assert_allclose(mirrored[0], found[:, ::-1] * (1, 1, -1, 1))
  quarter = augment.move(
    found[None], 0, 0, jnp.bool_(False), flow_lib.channels(chosen),
    jnp.float32(math.pi / 2),
  )  # fmt: skip
  # What pointed to the right points up.
  np.testing.assert_allclose(
    quarter[0, ..., 1], -np.rot90(found[..., 2]), atol=1e-4
  )


def test_grey_levels_are_whole_and_fill_their_range():
  flow = np.random.default_rng(0).normal(size=(2, 16, 16, 2))
  flow = flow.astype(np.float32) * (5, 0.1)
  flow[1] = 0
  moves, still = np.asarray(flow_lib.images(flow, settings(), 8)) + 127.5
  assert (moves == np.round(moves)).all()
  assert (moves.min(axis=(0, 1)) == 0).all()
  assert (moves.max(axis=(0, 1)) == 255).all()
  np.testing.assert_array_equal(still, 127.5)
  # Scaled apart: no rotation, but a mirror.
  channels = flow_lib.channels(settings())
  assert augment.unturnable(channels) == ['u', 'v']
  mirrored = augment.move(moves[None] - 127.5, 0, 0, jnp.bool_(True), channels)
  flipped = flow[:1, :, ::-1] * np.float32([-1, 1])
  np.testing.assert_allclose(
    mirrored, flow_lib.images(flipped, settings(), 8), atol=1
  )


def test_colours_are_neither_mirrored_nor_turned():
  coded = flow_lib.channels(settings(coding='hsv'))
  refused = configuration.Augment(rotation_degrees=3.0)
  keys = [key for key, _ in augment.refused(coded, refused)]
  assert keys == ['flip_probability', 'rotation_degrees']
  shifted = configuration.Augment(flip_probability=0.0, shift_pixels=4)
  assert not list(augment.refused(coded, shifted))
  flow = np.zeros((1, 8, 8, 2), np.float32)
  flow[0, 4:, :, 0], flow[0, :4, :, 1] = 3, 1.5
  found = np.asarray(flow_lib.images(flow, settings(coding='hsv'), 8))[0]
  # What moves most is brightest; to the right is red.
  np.testing.assert_allclose(found[5], [(1, 0, 0)] * 8, atol=1e-6)
  np.testing.assert_allclose(found[1], [(0, 0, 0)] * 8, atol=1e-6)


def test_colours_are_made_before_they_are_reduced():
  rng = np.random.default_rng(0)
  flow = rng.normal(size=(1, 3, 16, 16, 2)).astype(np.float32)
  hsv = settings(coding='hsv')
  found = flow_lib.images(flow, hsv, 4)
  whole = np.asarray(flow_lib.images(flow, hsv, 16))
  np.testing.assert_allclose(
    found, whole.reshape(1, 3, 4, 4, 4, 4, 3).mean(axis=(3, 5)), atol=1e-6
  )


def test_the_brightness_of_colours_is_of_the_frame_or_the_clip():
  rng = np.random.default_rng(0)
  flow = rng.normal(size=(2, 3, 16, 16, 2)).astype(np.float32)
  flow *= np.array([1, 2, 4], np.float32)[:, None, None, None]
  flow[:, :, 0, 0] = 0
  frame, clip = (
    np.asarray(flow_lib.images(flow, settings(coding='hsv', **scale), 16))
    for scale in ({}, {'value_scale': 'clip'})
  )
  # With full saturation, the value is the largest of the three colours.
  magnitude = np.linalg.norm(flow, axis=-1)
  for found, axes in ((frame, (2, 3)), (clip, (1, 2, 3))):
    expected = magnitude / magnitude.max(axis=axes, keepdims=True)
    np.testing.assert_allclose(found.max(axis=-1), expected, atol=1e-5)
  assert (frame.max(axis=(2, 3, 4)) > 0.99).all()
  assert (clip[:, 0].max(axis=(1, 2, 3)) < 0.6).all()
