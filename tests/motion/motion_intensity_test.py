"""The measure of motion, against OpenCV."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.motion import motion_intensity


def reference(frames, onset):
  """Grey levels, then the mean of 3 x 3 pixels, then the difference."""
  grey = frames.astype(np.float64) @ [0.299, 0.587, 0.114]
  blurred = [
    cv2.blur(image, (3, 3), borderType=cv2.BORDER_REPLICATE) for image in grey
  ]
  return [np.abs(image - blurred[onset]).mean() for image in blurred]


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_it_is_the_difference_of_blurred_grey_frames(dtype):
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (2, 7, 6, 9, 3)).astype(dtype)
  onset = np.array([0, 3])
  found = motion_intensity.motion_intensity(
    frames.reshape(2, 7, -1), onset, (6, 9, 3)
  )
  expected = [reference(clip, row) for clip, row in zip(frames, onset)]
  np.testing.assert_allclose(found, expected, atol=1e-4)
  assert found[0, 0] == found[1, 3] == 0


def test_noise_of_single_pixels_counts_less_than_motion():
  noise, motion = np.zeros((2, 9, 9, 1), np.float32)
  noise[1::3, 1::3], motion[:3, :3] = 9.0, 9.0
  noise[4::3, 4::3] *= -1
  frames = np.stack([np.zeros_like(noise), noise, motion]).reshape(1, 3, -1)
  assert np.abs(frames).sum(axis=-1)[0].tolist() == [0, 81, 81]
  found = motion_intensity.motion_intensity(
    jnp.asarray(frames), jnp.array([0]), (9, 9, 1)
  )
  assert 0 < found[0, 1] <= found[0, 2]
