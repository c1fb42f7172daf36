"""Strain, magnitude, orientation and colours of flow that is known."""

import cv2
import numpy as np
import pytest

from dianet_jax.motion import strain


def linear(a, b, c, d):
  """u = a x + b y, v = c x + d y."""
  y, x = np.mgrid[:9, :12].astype(np.float32)
  return np.stack([a * x + b * y, c * x + d * y], axis=-1)


@pytest.mark.parametrize(
  'gradient, expected',
  [
    # A turn and a shift stretch nothing.
    ((0.0, -0.1, 0.1, 0.0), 0.0),
    ((0.3, 0.0, 0.0, 0.0), 0.3),
    ((0.3, 0.0, 0.0, 0.4), 0.5),
    ((0.0, 0.2, 0.1, 0.0), 0.3 / np.sqrt(2)),
    ((0.1, 0.2, 0.3, 0.4), np.sqrt(0.01 + 0.16 + 0.25 / 2)),
  ],
)
def test_strain_of_a_linear_motion(gradient, expected):
  flow = linear(*gradient) + np.float32([7, -2])
  # Up to the border, and in each flow of a batch.
  found = strain.strain(np.stack([flow, 2 * flow]))
  np.testing.assert_allclose(found[0], expected, atol=1e-5)
  np.testing.assert_allclose(found[1], 2 * expected, atol=1e-5)


def test_magnitude_and_orientation():
  flow = np.float32([[[3, 4], [0, 0], [-2, 0]]])
  np.testing.assert_allclose(strain.magnitude(flow), [[5, 0, 2]])
  found = strain.orientation(flow)
  np.testing.assert_allclose(found, [[[0.6, 0.8], [0, 0], [-1, 0]]], rtol=1e-6)


def test_colors_are_those_of_opencv():
  angle = np.linspace(0, 2 * np.pi, 50, endpoint=False, dtype=np.float32)
  flow = np.stack([np.cos(angle), np.sin(angle)], -1)[None]
  value = np.linspace(0.2, 1, 50, dtype=np.float32)[None]
  hsv = np.stack([np.degrees(angle)[None], value * 0 + 1, value], axis=-1)
  expected = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
  found = np.asarray(strain.colors(flow, value))
  np.testing.assert_allclose(found, expected, atol=1e-5)
  # To the right is red.
  np.testing.assert_allclose(found[0, 0], (0.2, 0, 0), atol=1e-6)
