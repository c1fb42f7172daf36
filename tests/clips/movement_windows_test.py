"""Inputs of the learned spotter: motion of the face before and after a step."""

import dataclasses

import numpy as np
import pytest

from dianet_jax.clips import movement_windows, movements
from tests.support import measured


@pytest.fixture
def track():
  _, blocks = measured.acted('a', 0, seconds=10)
  joined = movements.join(blocks, measured.GRID)
  head = np.random.default_rng(1).normal(size=joined.head.shape)
  return dataclasses.replace(joined, head=head)


def test_a_mirrored_face_has_mirrored_differences(track):
  # Brows, eyes and mouth, each with the patch of the other side.
  other = [4, 3, 2, 1, 0, 6, 5, 10, 9, 8, 7, 12, 11]
  mirrored = dataclasses.replace(
    track,
    motion=track.motion[:, other] * [-1, 1],
    head=track.head * [-1, 1, -1, 1],
  )
  found = movement_windows.differences(track)
  assert found.shape[1:] == movement_windows.SHAPE and np.ptp(found) > 1
  np.testing.assert_allclose(
    movement_windows.mirrored(found),
    movement_windows.differences(mirrored),
    atol=1e-6,
  )


def test_differences_are_to_earlier_and_to_later_steps():
  motion = np.zeros((500, measured.PATCHES, 2))
  motion[200:, 0, 0] = 1.0
  track = movements.join(measured.blocks(motion), measured.GRID)
  found = movement_windows.differences(track)
  lag = movement_windows.LAGS.index(0.8)
  before, after = found[:, 2 * lag, 0], found[:, 2 * lag + 1, 0]
  assert before[220] == pytest.approx(1) and after[220] == 0
  assert before[180] == 0 and after[180] == pytest.approx(-1)
  assert not found[:, :, 1:].any()


def test_steps_of_two_faces_are_not_compared(track):
  part = np.where(np.arange(len(track.part)) < 250, 0, 1)
  part[400:450] = -1
  motion = np.where(part[:, None, None] < 0, np.nan, track.motion)
  motion = motion + 100 * part[:, None, None]
  two = dataclasses.replace(track, part=part, motion=motion)
  found = movement_windows.differences(two)
  assert np.isfinite(found).all()
  assert np.abs(found[..., :-4]).max() < 10
  assert not found[400:450].any()
