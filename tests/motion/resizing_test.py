"""Resizing gives the values of OpenCV."""

import cv2
import numpy as np
import pytest

from dianet_jax.motion import resizing


def noise(*shape):
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('length, size', [(224, 28), (224, 112), (50, 28)])
def test_area(length, size):
  images = noise(2, length, length, 3)
  found = np.asarray(resizing.area(images, size))
  for image, reduced in zip(images, found):
    expected = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(reduced, expected, atol=1e-5)
  np.testing.assert_allclose(
    found.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=1e-5
  )
  np.testing.assert_array_equal(resizing.area(images, length), images)


@pytest.mark.parametrize('length, size', [(128, 48), (32, 48)])
def test_bilinear_without_antialiasing(length, size):
  image = noise(length, length, 2)
  expected = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
  np.testing.assert_allclose(
    resizing.bilinear(image, size), expected, atol=1e-4
  )
