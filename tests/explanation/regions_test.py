"""Regions cover the face exactly once and contain their landmarks."""

import numpy as np
import pytest

from dianet_jax.core import config
from dianet_jax.explanation import regions
from dianet_jax.models.zoo import flow_images
from dianet_jax.motion.skd_tstsan import SKD_TSTSAN


@pytest.mark.parametrize('size', [(224, 224), (28, 28), (12, 12), (7, 5)])
def test_each_pixel_is_in_one_region(size):
  masks = regions.masks(*size)
  assert masks.shape == (len(regions.NAMES), *size)
  assert (masks.sum(axis=0) == 1).all()


def region_at(row, column):
  masks = regions.masks(1000, 1000)
  [found] = np.flatnonzero(masks[:, int(1000 * row), int(1000 * column)])
  return regions.NAMES[found]


def test_landmarks_lie_in_their_regions():
  # Where alignment puts the eyes.
  assert region_at(0.35, 0.32) == region_at(0.35, 0.68) == 'eyes'
  assert region_at(0.24, 0.5) == 'brows' and region_at(0.55, 0.5) == 'nose'
  assert region_at(0.95, 0.5) == 'chin' and region_at(0.6, 0.2) == 'cheeks'
  assert region_at(0.02, 0.5) == region_at(0.5, 0.02) == 'elsewhere'
  # Of the published flow images.
  names = ['eyes', 'mouth', 'eyes', 'mouth']
  for (row, column), name in zip(flow_images.LANDMARKS, names):
    place = (row + 0.5) / flow_images.SIZE, (column + 0.5) / flow_images.SIZE
    assert region_at(*place) == name


def test_blocks_of_a_face_show_its_regions_together():
  channels = SKD_TSTSAN.channels(config.Data())
  masks = regions.of_channels(48, 48, channels)
  whole = regions.masks(192, 192)
  # The first 16 blocks, put side by side, are the face.
  face = masks[..., 2:18].reshape(len(masks), 48, 48, 4, 4)
  face = face.transpose(0, 3, 1, 4, 2).reshape(len(masks), 192, 192)
  np.testing.assert_array_equal(face, whole)
  np.testing.assert_array_equal(masks[..., 0], regions.masks(48, 48))
