"""Place, time and size of the motion of simulated faces."""

import numpy as np
import pytest

from tfds_builders.simulation import faces as faces_lib
from tfds_builders.simulation import motion as motion_lib


@pytest.fixture(scope='module')
def face():
  return faces_lib.draw(np.random.default_rng(0), 0, 84, 70)


def _motion(face, expression, seed=0):
  return motion_lib.motion(
    face,
    expression,
    motion_lib.Timing(onset=2, apex=12, offset=30, frames=34),
    0.2,
    motion_lib.Recording(),
    np.random.default_rng(seed),
  )


def test_motion_at_the_apex_has_the_size_of_a_micro_expression(face):
  low, high = np.array(motion_lib.Recording().amplitude_pixels) * 84 / 340
  for seed in range(5):
    expression = motion_lib.Expression({4: 1.0})
    weights, fields = _motion(face, expression, seed)
    size = np.linalg.norm(fields[1], axis=-1)
    assert low * 0.999 <= size.max() <= high * 1.001
    assert weights[12, 1] == 1
    # Brows move, the mouth doesn't.
    assert size[:42].max() > 100 * size[60:].max()


def test_brows_go_down_when_lowered(face):
  field = motion_lib.displacement(face, {4: 1.0})
  x, y = face.landmarks['brow_inner']
  row = round(face.centre[1] + face.unit * y)
  for side in (1, -1):
    column = round(face.centre[0] + face.unit * side * x)
    towards_nose, down = field[row, column] * (-side, 1)
    assert down > 0.8
    assert towards_nose > 0.2
  # A frame shows at each pixel what was above it.
  weights, fields = _motion(face, motion_lib.Expression({4: 1.0}))
  assert fields[1, row, column, 1] < 0 < weights[12, 1]


def test_one_side_is_stronger_when_asymmetric(face):
  even = motion_lib.displacement(face, {12: 1.0})
  np.testing.assert_allclose(even[:, ::-1] * (-1, 1), even, atol=1e-6)
  uneven = np.linalg.norm(
    motion_lib.displacement(face, {12: 1.0}, 0.3), axis=-1
  )
  assert uneven[:, 35:].max() / uneven[:, :35].max() == pytest.approx(
    1.3 / 0.7, rel=0.05
  )


def test_envelopes_are_zero_at_both_ends_and_one_at_the_apex():
  timing = motion_lib.Timing(onset=3, apex=10, offset=30, frames=36)
  frame = np.arange(36)
  for skew in (0.8, 1.0, 1.3):
    on = motion_lib.envelope(frame, timing, skew)
    assert on[3] == on[30] == 0
    assert on[10] == 1
    assert not on[:3].any() and not on[31:].any()
    assert (np.diff(on[3:11]) > 0).all()
    assert (np.diff(on[10:31]) < 0).all()
  after = motion_lib.aftermath(frame, timing)
  assert not after[:11].any()
  np.testing.assert_allclose(after[30:], 0, atol=1e-15)
  assert after[20] == pytest.approx(1)


def test_the_head_has_not_drifted_at_the_onset(face):
  weights, _ = _motion(face, motion_lib.Expression({4: 1.0}))
  np.testing.assert_allclose(weights[2, 4:], 0, atol=1e-7)
  assert abs(weights[-1, 4:6]).max() > 0


def test_noise_differs_from_frame_to_frame(face):
  recording = motion_lib.Recording()
  rng = np.random.default_rng(0)
  noise = motion_lib.noise_bank(rng, 84, 70, recording.noise_levels)
  weights, fields = _motion(face, motion_lib.Expression({4: 1.0}))
  still = np.repeat(weights[:1], 5, axis=0)
  frames = np.stack(
    list(motion_lib.film(face, still, fields, noise, recording, rng))
  ).astype(np.float64)
  assert frames.shape == (5, 84, 70, 3)
  for before, after in zip(frames, frames[1:]):
    # Two frames' noise, and rounding, added up.
    assert (after - before).std() == pytest.approx(2.0 * 2**0.5, rel=0.15)


def test_faces_differ():
  pictures = [
    faces_lib.draw(np.random.default_rng(i), i, 84, 70).picture
    for i in range(4)
  ]
  for i, one in enumerate(pictures):
    for other in pictures[:i]:
      assert abs(one - other).mean() > 8
