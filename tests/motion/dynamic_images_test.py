"""From the frames of a clip to its dynamic images."""

import cv2
import numpy as np
import pytest

from dianet_jax.core import config as configuration
from dianet_jax.core import errors
from dianet_jax.data import inputs
from dianet_jax.motion import (
  dynamic_images,
  motion_intensity,
  rank_pooling,
  resizing,
)
from dianet_jax.motion.phase_flow import PHASE_FLOW


def test_reducing_averages():
  # Stripes of one pixel vanish: no aliasing. A gradient stays one.
  stripes = np.tile([100.0, -100.0], 16)
  image = np.broadcast_to(stripes[:, None], (1, 1, 32, 32, 3))
  reduced = np.asarray(resizing.antialiased(image, 8))
  assert reduced.shape == (1, 1, 8, 8, 3)
  assert np.abs(reduced[:, :, :, 1:-1]).max() < 1e-3
  gradient = np.broadcast_to(np.arange(32.0)[:, None], (1, 1, 32, 32, 3))
  reduced = np.asarray(resizing.antialiased(gradient, 8))[0, 0, 0, :, 0]
  np.testing.assert_allclose(reduced[1:-1], np.arange(5.5, 28, 4), atol=1e-3)
  np.testing.assert_array_equal(resizing.antialiased(gradient, 32), gradient)


def test_crop_and_frame_size(make_config):
  image = np.zeros((60, 80, 3), np.uint8)
  image[30:, 40:] = (10, 100, 200)
  encoded = cv2.imencode('.png', image[..., ::-1])[1].tobytes()
  config = make_config(data__crop=(0.5, 0.5, 1.0, 1.0)).data
  frames = inputs.decode_clip([encoded] * 2, config)
  assert frames.shape == (2, 224, 224, 3) and frames.dtype == np.uint8
  assert (frames == (10, 100, 200)).all()


def test_a_crop_without_a_face(make_config):
  encoded = cv2.imencode('.png', np.zeros((60, 80, 3), np.uint8))[1].tobytes()
  config = make_config(data__crop=(0.5, 0.5, 0.6, 0.6)).data
  with pytest.raises(errors.UserError, match='8 x 6 pixels'):
    inputs.decode_clip([encoded], config)


def record(frames, apex):
  return {
    'clip_id': b'clip',
    'frames': [cv2.imencode('.png', f[..., ::-1])[1].tobytes() for f in frames],
    'onset': 0,
    'apex': apex,
    'offset': len(frames) - 1,
  }


@pytest.mark.parametrize(
  'apex,lengths',
  # Frames from the apex on, of the annotated offset and of two earlier ones.
  [(3, [6, 5, 4]), (6, [3, 2, 2]), (7, [2, 2, 2]), (8, [1, 1, 1])],
)
def test_the_offset_moves_and_a_motion_remains(make_config, apex, lengths):
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (9, 16, 16, 3)).astype(np.uint8)
  config = make_config(
    data__dataset='casme2',
    data__frame_size=16,
    data__image_size=16,
    data__offset_jitter_frames=2,
    train__augment__shift_pixels=0,
  ).data
  made = inputs.make(
    [record(frames, apex)],
    config,
    None,
    {'x': dynamic_images.DYNAMIC_IMAGES},
  )['x']
  assert made.shape == (3, 1, 2, 16, 16, 3)
  for variant, length in zip(made[:, 0], lengths, strict=True):
    ends = (0, apex + 1), (apex, apex + length)
    for image, (first, end) in zip(variant, ends):
      alpha = rank_pooling.coefficients(end - first)
      expected = np.tensordot(alpha, frames[first:end].astype(float), 1)
      np.testing.assert_allclose(image, expected, atol=1e-2)


@pytest.mark.parametrize(
  'phases', [('onset_offset',), ('onset_apex', 'apex_offset')]
)
def test_both_orders_are_views_of_a_phase(make_config, phases):
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (9, 16, 16, 3)).astype(np.uint8)
  config = make_config(
    data__dataset='casme2',
    data__frame_size=16,
    data__image_size=16,
    data__phases=phases,
    data__frame_order='both',
    model__fusion='concat',
  ).data
  row = dynamic_images.DYNAMIC_IMAGES
  [images] = inputs.make([record(frames, 4)], config, None, {'x': row})['x'][0]
  assert images.shape == row.shape(config) == (2 * len(phases), 16, 16, 3)
  moved = motion_intensity.motion_intensity(
    frames.reshape(1, 9, -1), np.array([0]), (16, 16, 3)
  )[0]
  key = {'onset': 0, 'apex': 4, 'offset': 8}
  of_view = zip(row.phases(config), row.views(config), images, strict=True)
  for number, (phase, title, image) in enumerate(of_view):
    assert phase == phases[number // 2]
    by = 'intensity' if number % 2 else 'time'
    assert title == f'{phase.replace("_", " to ")} by {by}'
    first, last = (key[end] for end in rank_pooling.PHASES[phase])
    chosen = np.arange(first, last + 1)
    if by == 'intensity':
      chosen = chosen[np.argsort(moved[chosen], kind='stable')]
    alpha = rank_pooling.coefficients(len(chosen))
    expected = np.tensordot(alpha, frames[chosen].astype(float), 1)
    np.testing.assert_allclose(image, expected, atol=1e-2)


def test_views_are_of_phases_in_the_order_that_is_set():
  settings = configuration.Data(phases=('onset_offset', 'onset_apex'))
  for row in (dynamic_images.DYNAMIC_IMAGES, PHASE_FLOW):
    assert row.phases(settings) == ('onset_offset', 'onset_apex')
