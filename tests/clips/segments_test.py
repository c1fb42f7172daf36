"""Clips are cut as requested, with warnings where a result may be worse."""

import cv2
import numpy as np
import pytest

from dianet_jax.clips import faces, segments
from dianet_jax.core import errors
from tests.support import moving

SETTINGS = moving.settings()


def bump(x, y):
  """Two pixels to the right in one place."""
  return 2 * np.exp(-((x - 30) ** 2 + (y - 30) ** 2) / 60), 0 * y


SHARES = np.concatenate([np.linspace(0, 1, 9), np.linspace(1, 0, 9)[1:]])
CLIP = moving.clip(bump, SHARES)


def take(frames=CLIP, fps=100, settings=SETTINGS, **segment):
  return segments.take(
    'x', segments.of_array(frames, fps), segments.Segment(**segment), settings
  )


def test_numbers_and_seconds_name_the_same_frames():
  by_number = take(onset=3, offset=12)
  by_seconds = take(start=0.03, end=0.125)
  for clip in (by_number, by_seconds):
    assert clip.numbers.tolist() == list(range(3, 13))
    np.testing.assert_allclose(clip.seconds, np.arange(3, 13) / 100)
    np.testing.assert_array_equal(clip.frames, CLIP[3:13])
    assert clip.frames_per_second == pytest.approx(100)
  assert by_number.warnings == by_seconds.warnings


def test_the_apex_is_where_the_motion_is_largest():
  spotted = take()
  assert (spotted.apex, spotted.apex_source) == (8, 'spotted')
  assert take(onset=3).apex == 5
  given = take(onset=3, apex=7)
  assert (given.apex, given.apex_source) == (4, 'given')
  still = take(np.repeat(CLIP[:1], 9, axis=0))
  assert (still.apex, still.apex_source) == (4, 'middle')
  assert any('nothing moves' in text for text in still.warnings)


def test_dropped_frames_are_replaced_by_their_neighbours():
  seconds = np.array([0.0, 0.01, 0.02, 0.05, 0.06, 0.07])
  steps, [warning] = segments.equal_steps(seconds)
  assert steps.tolist() == [0, 1, 2, 2, 3, 3, 4, 5]
  assert '30 ms, the usual one 10' in warning
  even = np.arange(9) / 30
  steps, warnings = segments.equal_steps(even)
  assert steps.tolist() == list(range(9)) and warnings == []


def test_key_frames_keep_their_places_where_frames_were_dropped():
  def dropped():
    for number, image in enumerate(CLIP):
      seconds = (number if number < 4 else number + 3) / 100
      yield segments.Frame(seconds, lambda image=image: image)

  clip = segments.take('x', dropped(), segments.Segment(apex=8), SETTINGS)
  assert len(clip.frames) == len(CLIP) + 3
  assert clip.numbers[clip.apex] == 8
  np.testing.assert_array_equal(clip.frames[clip.apex], CLIP[8])


def test_a_low_frame_rate_gives_a_warning():
  assert any('50 frames per second' in text for text in take(fps=50).warnings)
  for enough in ({}, {'fps': 99.9}):
    texts = take(**enough).warnings
    assert not any('frames per second' in text for text in texts)


@pytest.mark.parametrize(
  'segment,reason',
  [
    ({'onset': 1, 'start': 0.1}, 'not by both'),
    ({'start': -1}, 'start=-1'),
    ({'end': 0}, 'end=0'),
    ({'start': 0.2, 'end': 0.1}, 'more than start=0.2'),
    ({'start': float('nan')}, 'start=nan'),
    ({'apex': 3, 'offset': 3}, 'in this order'),
    ({'onset': 40}, r'0 frame\(s\) of it were found'),
    ({'start': 5}, r'0 frame\(s\) of it were found'),
    ({'apex': 17}, 'numbers 0 to 16'),
  ],
)
def test_invalid_segments_are_refused(segment, reason):
  with pytest.raises(errors.UserError, match=reason):
    take(**segment)


@pytest.fixture(scope='module')
def portrait():
  pytest.importorskip('dlib', reason=f'finds faces: {faces.INSTALL}')
  data = pytest.importorskip('skimage.data', reason='has a photograph')
  return data.astronaut()[:300, 80:380]


def aligned(frames, **segment):
  settings = moving.settings(align=True)
  return take(frames, settings=settings, **segment)


def moved(image, right):
  matrix = np.array([[1.0, 0, right], [0, 1, 0]])
  return cv2.warpAffine(
    image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE
  )


def test_one_transform_aligns_the_whole_clip(portrait):
  frames = np.stack([moved(portrait, right) for right in (0, 1, 2, 3)])
  clip = aligned(frames)
  transform = faces.find_transform(frames[0], 64)
  for found, frame in zip(clip.frames, frames):
    np.testing.assert_array_equal(found, faces.apply(frame, transform, 64))
  assert any('pixels wide' in text for text in clip.warnings)
  assert not any('head moved' in text for text in clip.warnings)


def test_head_motion_gives_a_warning(portrait):
  frames = np.stack([moved(portrait, right) for right in (0, 15, 30)])
  assert any('head moved' in text for text in aligned(frames).warnings)


def test_lost_and_several_faces_give_a_warning(portrait):
  blank = np.zeros_like(portrait)
  with pytest.raises(errors.UserError, match='no face was found'):
    aligned(np.stack([blank, portrait]))
  lost = aligned(np.stack([portrait, portrait, blank]))
  assert any('is detected in the offset' in text for text in lost.warnings)
  two = np.concatenate([portrait, portrait], axis=1)
  both = aligned(np.stack([two, two]))
  assert any('2 faces were detected' in text for text in both.warnings)
