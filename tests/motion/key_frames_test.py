"""The key frames, their difference, and those that differ most."""

import numpy as np
import pytest

from dianet_jax.data import inputs
from dianet_jax.motion import key_frames
from dianet_jax.motion.key_frames import APEX_DIFFERENCE, KEY_FRAMES
from tests.support import moving


@pytest.fixture
def frames():
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (7, 16, 16, 3)).astype(np.uint8)


def test_values(frames):
  clips = moving.batch([frames, frames[:1]], [4, 0])
  settings = moving.settings(frame_size=16)
  found = np.asarray(KEY_FRAMES(clips, settings))
  np.testing.assert_array_equal(found[0], frames[[0, 4, 6]])
  np.testing.assert_array_equal(found[1], frames[[0, 0, 0]])
  assert KEY_FRAMES.views(settings) == (
    'onset frame', 'apex frame', 'offset frame'
  )  # fmt: skip
  motion, onset = np.moveaxis(
    np.asarray(APEX_DIFFERENCE(clips, settings)), 1, 0
  )
  np.testing.assert_array_equal(motion[0], frames[4].astype(float) - frames[0])
  np.testing.assert_array_equal(onset[0], frames[0])
  assert (motion[1] == 0).all()
  small = moving.settings(frame_size=16, image_size=8)
  assert KEY_FRAMES(clips, small).shape == (2, 3, 8, 8, 3)
  assert APEX_DIFFERENCE(clips, small).shape == (2, 2, 8, 8, 3)


def test_an_apex_at_an_end_is_noted():
  settings = moving.settings()
  at_onset = {'onset': 0, 'apex': 0, 'offset': 5}
  at_offset = {'onset': 0, 'apex': 5, 'offset': 5}
  assert KEY_FRAMES.note(at_onset, settings).startswith(
    'onset_apex is a single'
  )
  assert KEY_FRAMES.note(at_offset, settings).startswith('apex_offset is')
  still = {'onset': 5, 'apex': 5, 'offset': 5}
  assert KEY_FRAMES.note(still, settings).endswith('the prediction is a guess')
  assert KEY_FRAMES.note(at_offset, settings).endswith('no motion')
  assert APEX_DIFFERENCE.note(at_onset, settings).startswith('onset_apex is')
  assert not APEX_DIFFERENCE.note(at_offset, settings)


def by_search(frames, onset, apex, offset, share):
  """All pairs, in float64."""

  def near(a, b):
    return ((frames[a].astype(float) - frames[b]) ** 2).sum()

  n, m = int(share * (apex - onset)), int(share * (offset - apex))
  best = max(
    ((near(a, o), o, a) for o in range(onset, onset + n + 1)
     for a in range(apex - n, apex + 1)),
    key=lambda item: item[0],
  )  # fmt: skip
  last = max(range(offset - m, offset + 1), key=lambda e: near(e, best[2]))
  return best[1], best[2], last


@pytest.mark.parametrize('share', [0.1, 0.25, 0.5])
def test_the_key_frames_that_differ_most(share):
  rng = np.random.default_rng(3)
  clips = [
    rng.integers(0, 256, (n, 6, 6, 3)).astype(np.uint8) for n in (30, 12, 2, 1)
  ]
  apexes = [17, 8, 1, 0]
  batch = moving.batch(clips, apexes)
  found = key_frames.most_different(batch, share)
  for row, (clip, apex) in enumerate(zip(clips, apexes)):
    expected = by_search(clip, 0, apex, len(clip) - 1, share)
    keys = found.onset[row], found.apex[row], found.offset[row]
    assert keys == expected
  assert (found.onset != batch.onset).any()
  # Of equals the annotated ones: a still clip stays as it is.
  still = moving.batch([np.full((20, 4, 4, 3), 9, np.uint8)], [10])
  same = key_frames.most_different(still, share)
  assert (same.onset, same.apex, same.offset) == (0, 10, 19)
  # A later onset comes before an earlier apex.
  tied = np.repeat(np.array([0, 9, 5, 5, 5, 5, 5, 5, 5, 9, 0], np.uint8), 12)
  tied = key_frames.most_different(
    moving.batch([tied.reshape(11, 2, 2, 3)], [10]), 0.1
  )
  assert (tied.onset, tied.apex) == (1, 10)
  # 8-bit differences wrap: 200 is further from 0 than 100 is. Of four equal
  # onsets, with an earlier apex, the annotated one comes last.
  levels = np.array([0, 0, 0, 0, 100, 200, 100, 0, 0, 0], np.uint8)
  ramp = np.repeat(levels, 12).reshape(10, 2, 2, 3)
  peak = key_frames.most_different(moving.batch([ramp], [6]), 0.5)
  assert (peak.onset, peak.apex) == (1, 5)


def test_they_are_a_variant_that_training_sees(make_config, frames):
  frames = np.concatenate([frames, frames[::-1]])
  settings = make_config(
    data__dataset='casme2',
    data__frame_size=16,
    data__image_size=16,
    data__key_frame_search=0.5,
    train__augment__shift_pixels=0,
  ).data
  record = moving.record(frames, 6)
  made = inputs.make([record], settings, None, {'x': KEY_FRAMES})['x']
  assert made.shape == (2, 1, 3, 16, 16, 3)
  np.testing.assert_array_equal(made[0, 0], frames[[0, 6, 13]])
  expected = by_search(frames, 0, 6, 13, 0.5)
  np.testing.assert_array_equal(made[1, 0], frames[list(expected)])
