"""Tests of apex spotting."""

import numpy as np
import pytest
import raw_trees

from dianet_jax import spotting


def _clip(shifts, noise=0.0):
  frames = np.stack([raw_trees.frame(shift)[..., 0] for shift in shifts])
  random = np.random.default_rng(0).normal(0, noise, frames.shape)
  return np.clip(frames + random, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize('apex', [1, 7, 19])
def test_finds_the_greatest_motion(apex):
  shifts = [max(0.0, 3 - 0.3 * abs(i - apex)) * (i > 0) for i in range(20)]
  assert spotting.spot_apex(_clip(shifts)) == apex


def test_noise_of_the_size_of_the_motion_does_not_decide():
  shifts = [2 * np.sin(np.pi * i / 30) for i in range(31)]
  assert abs(spotting.spot_apex(_clip(shifts, noise=3.0)) - 15) <= 4


def test_static_clip_has_its_apex_at_the_onset():
  assert spotting.spot_apex(_clip([0.0] * 5)) == 0


def test_darkening_counts_like_brightening():
  """Differences of bytes would wrap around."""
  frames = np.full((4, 8, 8), 100, np.uint8)
  frames[2] = 60
  frames[3] = 110
  assert spotting.spot_apex(frames) == 2


def test_no_frames():
  with pytest.raises(ValueError, match='without frames'):
    spotting.spot_apex(np.zeros((0, 8, 8), np.uint8))
