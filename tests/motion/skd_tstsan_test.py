"""The 38 channels of SKD-TSTSAN."""

import dataclasses

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.core import config as configuration
from dianet_jax.motion import optical_flow
from dianet_jax.motion.skd_tstsan import SKD_TSTSAN
from dianet_jax.training import augment
from tests.support import moving

# Of a face 128 pixels wide.
SETTINGS = moving.settings(frame_size=128)
CHANNELS = SKD_TSTSAN.channels(SETTINGS)


def swirl(x, y):
  return 1.1 * np.sin(y / 15) + 0.3, 0.9 * np.cos(x / 13 + y / 30)


@pytest.fixture(scope='module')
def frames():
  return moving.clip(swirl, (0.0, 0.5, 1.0, 0.2), size=128)


@pytest.fixture(scope='module')
def made(frames):
  clips = moving.batch([frames, frames[:, :, ::-1], frames[:1]], [2, 2, 0])
  return np.asarray(SKD_TSTSAN(clips, SETTINGS))


def own_range(image):
  return (image - image.min()) / np.ptp(image)


def to_48(image):
  return cv2.resize(image, (48, 48), interpolation=cv2.INTER_LINEAR)


def test_a_change_of_brightness_is_seen_only_by_the_common_range(frames):
  brighter = frames[:3].copy() // 2
  brighter[1] = brighter[0] + 40
  clips = moving.batch([brighter], [1])
  for jointly in (False, True):
    settings = dataclasses.replace(SETTINGS, scale_jointly=jointly)
    apex, onset = np.moveaxis(SKD_TSTSAN(clips, settings)[0, 0], -1, 0)[:2]
    difference = np.asarray(apex - onset)
    if jointly:
      grey = np.asarray(optical_flow.grey(brighter.astype(np.float32)))[:2]
      np.testing.assert_allclose(difference, 40 / np.ptp(grey), rtol=1e-3)
    else:
      np.testing.assert_allclose(difference, 0, atol=1e-5)


def test_every_channel(frames, made):
  assert made.shape == (3, 1, 48, 48, 38) == (3, *SKD_TSTSAN.shape(SETTINGS))
  assert len(CHANNELS) == 38
  image = made[0, 0]
  assert (image.min(axis=(0, 1)) >= 0).all() and image.max() <= 1
  grey = np.asarray(optical_flow.grey(frames.astype(np.float32)))
  for first, number in ((0, 2), (1, 0)):
    face = own_range(grey[number])
    np.testing.assert_allclose(image[..., first], to_48(face), atol=1e-4)
    for row in range(4):
      for column in range(4):
        rows, columns = (slice(32 * i, 32 * i + 32) for i in (row, column))
        channel = 2 + 16 * first + 4 * row + column
        np.testing.assert_allclose(
          image[..., channel], to_48(face[rows, columns]), atol=1e-4
        )
        name = f'{("apex", "onset")[first]}, block {row + 1} {column + 1}'
        assert CHANNELS[channel].name == name
  for first, (start, end) in ((34, (0, 2)), (36, (2, 3))):
    flow = np.asarray(
      optical_flow.farneback(grey[start][None], grey[end][None])
    )[0]
    for component in (0, 1):
      expected = own_range(to_48(flow[..., component]))
      np.testing.assert_allclose(
        image[..., first + component], expected, atol=0.01
      )


def test_the_mirrored_clip_has_the_mirrored_channels(made):
  mirrored = augment.move(made[0], 0, 0, jnp.bool_(True), CHANNELS)
  error = np.abs(np.asarray(mirrored) - made[1])
  assert error[..., :34].max() < 1e-4
  assert error[..., 34:].mean() < 0.02
  plain = np.abs(made[0] - made[1]).mean(axis=(0, 1, 2))
  assert (plain > 0.02).all()


def test_blocks_are_mirrored_only():
  still = configuration.Augment(shift_pixels=0)
  assert not list(augment.refused(CHANNELS, still))
  moved = configuration.Augment(rotation_degrees=2.0)
  keys = {key for key, _ in augment.refused(CHANNELS, moved)}
  assert keys == {'shift_pixels', 'rotation_degrees'}


def test_a_clip_of_one_frame(made):
  assert (made[2, 0, ..., 34:] == 0.5).all()
  np.testing.assert_array_equal(made[2, 0, ..., 0], made[2, 0, ..., 1])
