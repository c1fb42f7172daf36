"""Which frames are sampled, their differences, and flow from the onset."""

import numpy as np
import pytest

from dianet_jax.motion import flow as flow_lib
from dianet_jax.motion import sampled_frames
from dianet_jax.motion.long_term_flow import LONG_TERM_FLOW
from dianet_jax.motion.sampled_frames import ONSET_DIFFERENCE, SAMPLED_FRAMES
from tests.support import moving

KEYS = {'onset': 0, 'apex': 4, 'offset': 9}


def numbered(lengths, apexes, size=8):
  """Clips whose frame t is t everywhere."""
  clips = [
    np.repeat(np.arange(n, dtype=np.uint8), size**2 * 3).reshape(
      n, size, size, 3
    )
    for n in lengths
  ]
  return moving.batch(clips, apexes)


def settings(frames, span='clip', **values):
  values = {'image_size': 4, 'frame_size': 8} | values
  return moving.settings(sampling={'frames': frames, 'span': span}, **values)


def shown(row, clips, config):
  """The number that each view shows, where it shows one everywhere."""
  images = np.asarray(row(clips, config))
  assert images.shape == (len(clips.lengths), *row.shape(config))
  assert len(row.views(config)) == images.shape[1]
  assert np.ptp(images, axis=(2, 3, 4)).max() < 1e-4
  return images[:, :, 0, 0, 0].round(4)


def test_frames_of_the_clip():
  clips = numbered([10, 3, 1], [4, 1, 0])
  np.testing.assert_allclose(
    shown(SAMPLED_FRAMES, clips, settings(4)),
    [[0, 3, 6, 9], [0, 1, 1, 2], [0, 0, 0, 0]],
  )
  # More than are made at once.
  many = shown(SAMPLED_FRAMES, clips, settings(40))
  np.testing.assert_allclose(many[0], np.rint(np.linspace(0, 9, 40)))


def test_frames_of_each_phase():
  clips = numbered([10, 3], [4, 2])
  config = settings(3, 'phases')
  np.testing.assert_allclose(
    shown(SAMPLED_FRAMES, clips, config),
    [[0, 2, 4, 4, 6, 9], [0, 1, 2, 2, 2, 2]],
  )
  assert SAMPLED_FRAMES.views(config)[:4] == (
    'onset to apex, frame 1 of 3',
    'onset to apex, frame 2 of 3',
    'onset to apex, frame 3 of 3',
    'apex to offset, frame 1 of 3',
  )


def test_differences_begin_after_the_onset():
  clips = numbered([10, 3, 1], [4, 1, 0])
  np.testing.assert_allclose(
    shown(ONSET_DIFFERENCE, clips, settings(3)),
    [[3, 6, 9], [1, 1, 2], [0, 0, 0]],
  )
  # 15 of 16 frames at equal steps, the onset first, are ATM-GCN's.
  clips = numbered([40], [10])
  np.testing.assert_allclose(
    shown(ONSET_DIFFERENCE, clips, settings(15))[0],
    np.rint(np.linspace(0, 39, 16))[1:],
  )


@pytest.mark.parametrize(
  'key_frames, number, expected',
  [
    # The published example: three missing, one more in gaps 3, 4 and 5.
    ((0, 3, 8), 11, [1, 2, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8]),
    ((0, 20, 60), 11, range(15, 26)),
    ((0, 20, 22), 11, [15, 15.5, 16, 16.5, 17, 17.5, 18, 19, 20, 21, 22]),
    ((0, 1, 2), 4, [1, 4 / 3, 5 / 3, 2]),
    ((0, 2, 2), 3, [1, 1.5, 2]),
    ((0, 0, 0), 3, [0, 0, 0]),
    ((0, 1, 1), 3, [1, 1, 1]),
  ],
)
def test_the_window_around_the_apex(key_frames, number, expected):
  found = sampled_frames.apex_window(*key_frames, number)
  assert len(found) == number
  if key_frames == (0, 20, 22):
    assert found[0] == 15 and found[-1] == 22 and (np.diff(found) > 0).all()
    # Eight frames, three between them in the middle gaps.
    np.testing.assert_allclose(
      found, [15, 16, 17, 17.5, 18, 18.5, 19, 19.5, 20, 21, 22]
    )
  else:
    np.testing.assert_allclose(found, list(expected))


def test_blended_frames():
  clips = numbered([9], [3])
  config = settings(11, 'apex_window')
  expected = sampled_frames.apex_window(0, 3, 8, 11)
  np.testing.assert_allclose(
    shown(SAMPLED_FRAMES, clips, config)[0], expected, atol=1e-3
  )


@pytest.mark.parametrize(
  'row, number, span, keys, note',
  [
    (SAMPLED_FRAMES, 10, 'clip', KEYS, ''),
    (SAMPLED_FRAMES, 11, 'clip', KEYS, 'fewer than 11 frames in onset_offset:'),
    (ONSET_DIFFERENCE, 9, 'clip', KEYS, ''),
    (ONSET_DIFFERENCE, 10, 'clip', KEYS, 'fewer than 11 frames'),
    (SAMPLED_FRAMES, 6, 'phases', KEYS, 'fewer than 6 frames in onset_apex:'),
    (SAMPLED_FRAMES, 7, 'phases', KEYS, 'in onset_apex and apex_offset:'),
    (LONG_TERM_FLOW, 9, 'apex_window', KEYS, ''),
    (LONG_TERM_FLOW, 11, 'apex_window', KEYS, 'blended ones between'),
    (
      LONG_TERM_FLOW, 5, 'apex_window',
      {'onset': 0, 'apex': 0, 'offset': 0}, 'a single frame around the apex',
    ),
  ],
)  # fmt: skip
def test_short_clips_are_noted(row, number, span, keys, note):
  found = row.note(keys, settings(number, span))
  assert note in found and bool(note) == bool(found)


def test_flow_from_the_onset():
  shares = (0.0, 0.25, 0.5, 0.75, 1.0)
  clips = moving.batch(
    [
      moving.clip(moving.translation(1.2, -0.8), shares),
      moving.clip(moving.translation(0.0, 0.9), (0.0, 1.0)),
    ],
    [4, 1],
    padded=1,
  )
  config = moving.settings(
    image_size=8, flow={'coding': 'pixels'}, sampling={'frames': 4}
  )
  images = np.asarray(LONG_TERM_FLOW(clips, config))
  assert images.shape == (3, 4, 8, 8, 3)
  found = images[:, :, 2:-2, 2:-2, :2].mean(axis=(2, 3))
  steps = np.array([0.25, 0.5, 0.75, 1.0])[:, None]
  np.testing.assert_allclose(found[0], steps * (1.2, -0.8), atol=0.06)
  # Two frames: until the second is the nearest, the onset itself.
  np.testing.assert_allclose(
    found[1], np.array([[0], [0], [1], [1]]) * (0, 0.9), atol=0.06
  )
  assert (images[2] == 0).all()
  assert LONG_TERM_FLOW.views(config)[1] == 'onset to 2 of 4'


def test_long_sequences_are_made_a_few_frames_at_a_time(monkeypatch):
  clips = numbered([40] * 8, [20] * 8, size=16)
  calls = []
  between = flow_lib.between

  def spy(clips, first, last, options):
    calls.append(first.size)
    return between(clips, first, last, options)

  monkeypatch.setattr(flow_lib, 'between', spy)
  config = settings(7, frame_size=16)
  assert LONG_TERM_FLOW(clips, config).shape == (8, 7, 4, 4, 3)
  assert max(calls) <= flow_lib.PAIRS and sum(calls) == 56


def test_the_brightness_of_a_clip_is_its_own():
  """Made by the clip, neither by a few of its images nor by its batch."""
  shares = np.linspace(0, 1, 8)
  parts = [
    moving.clip(moving.translation(*motion), shares)
    for motion in ((1.2, -0.8), (0.3, 0.2), (2.0, 0.0))
  ]
  config = moving.settings(
    flow={'coding': 'hsv', 'value_scale': 'clip'}, sampling={'frames': 7}
  )
  images = np.asarray(LONG_TERM_FLOW(moving.batch(parts, [7] * 3), config))
  alone = [LONG_TERM_FLOW(moving.batch([part], [7]), config) for part in parts]
  np.testing.assert_allclose(images, np.concatenate(alone), atol=1e-4)
  # What moves most is last; scaled by itself, each image has as much light.
  bright = images.max(axis=(2, 3, 4))
  assert (bright[:, 0] < 0.5).all() and (bright.argmax(axis=1) == 6).all()
