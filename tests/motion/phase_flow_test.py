"""Flow of the phases: out of frames, and out of the images of a data set."""

import cv2
import numpy as np
import pytest

from dianet_jax.data import inputs
from dianet_jax.motion import optical_flow, phase_flow
from dianet_jax.motion import registry as motion
from dianet_jax.motion.phase_flow import PHASE_FLOW
from tests.support import moving

SHARES = (0.0, 0.4, 1.0, 0.5, 0.1)


def swirl(x, y):
  return 1.2 * np.sin(y / 9) + 0.6, 1.1 * np.cos(x / 8 + y / 20)


@pytest.fixture(scope='module')
def frames():
  return moving.clip(swirl, SHARES)


def published(first, last, size):
  """An image of flow as those of MEGC 2019 were made, by hand, uint8."""
  grey = [
    np.asarray(optical_flow.grey(f.astype(np.float32)))[None]
    for f in (first, last)
  ]
  flow = np.asarray(optical_flow.farneback(*grey))[0].astype(np.float64)
  u, v = flow[..., 0], flow[..., 1]
  (u_y, u_x), (v_y, v_x) = np.gradient(u), np.gradient(v)
  strain = np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2)
  image = cv2.resize(
    np.stack([u, v, strain], axis=-1),
    (size, size),
    interpolation=cv2.INTER_AREA,
  )
  low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
  return np.round((image - low) / (high - low) * 255).astype(np.uint8)


@pytest.mark.parametrize(
  'channels', [('u', 'v', 'strain'), ('strain', 'v', 'u')]
)
def test_both_roads_lead_to_the_same_images(frames, channels):
  """Out of frames, and out of a folder of images such as is published."""
  settings = moving.settings(image_size=28, flow={'channels': channels})
  record = moving.record(frames, 2)
  rows = {'x': PHASE_FLOW}
  made = inputs.make([record], settings, None, rows)['x']
  assert made.shape == (1, 1, 2, 28, 28, 3)
  stored = {
    'clip_id': b'clip',
    'onset_apex': moving.png(published(frames[0], frames[2], 28)),
    'apex_offset': moving.png(published(frames[2], frames[4], 28)),
    'positions': [],
  }
  other = moving.settings(
    dataset='megc2019_flow',
    frame_size=28,
    image_size=28,
    flow={'channels': channels},
  )
  read = inputs.make([stored], other, None, rows)['x']
  # A grey level where rounding falls the other way.
  assert np.abs(made - read).max() <= 1
  assert (made != read).mean() < 0.01
  assert (read.min(), read.max()) == (-127.5, 127.5)
  # u has its place.
  u = channels.index('u')
  assert made[0, 0, 0, ..., u].std() > 20
  assert np.corrcoef(*made[0, 0, :, ..., u].reshape(2, -1))[0, 1] < -0.5


def test_pixels_are_the_motion(frames):
  settings = moving.settings(flow={'coding': 'pixels'})
  clips = moving.batch([frames], [2], padded=1)
  images = np.asarray(PHASE_FLOW(clips, settings))
  assert images.shape == (2, 2, 16, 16, 3)
  y, x = np.mgrid[:64, :64]
  truth = np.stack(swirl(x, y), axis=-1).reshape(16, 4, 16, 4, 2)
  truth = truth.mean(axis=(1, 3))
  forth, back = images[0, :, 2:-2, 2:-2, :2]
  assert np.abs(forth - truth[2:-2, 2:-2]).mean() < 0.25
  assert np.abs(back + 0.9 * truth[2:-2, 2:-2]).mean() < 0.25
  assert (images[1] == 0).all()
  assert PHASE_FLOW.views(settings) == ('onset to apex', 'apex to offset')


@pytest.mark.parametrize('apex, empty', [(0, 0), (4, 1)])
@pytest.mark.parametrize('coding', ['grey_levels', 'pixels', 'hsv'])
def test_a_phase_of_one_frame_is_nothing_and_is_noted(
  frames, apex, empty, coding
):
  settings = moving.settings(flow={'coding': coding})
  [images] = np.asarray(PHASE_FLOW(moving.batch([frames], [apex]), settings))
  assert (images[empty] == 0).all() and np.abs(images[1 - empty]).max() > 0.1
  note = PHASE_FLOW.note({'onset': 0, 'apex': apex, 'offset': 4}, settings)
  name = settings.phases[empty]
  assert note == f'{name} is a single frame: no motion'
  assert not PHASE_FLOW.note({'onset': 0, 'apex': 2, 'offset': 4}, settings)


def test_displacements_out_of_frames(frames):
  """Magnitude taken before images are reduced; both phases in pixels."""
  settings = moving.settings()
  clips = moving.batch([frames], [2], padded=1)
  found, nothing = np.asarray(phase_flow.displacement(clips, settings))
  assert found.shape == (2, 16, 16, 3) and (nothing == 0).all()
  pixels = moving.settings(
    flow={'coding': 'pixels', 'channels': ('u', 'v', 'magnitude')}
  )
  [expected] = np.asarray(PHASE_FLOW(clips, pixels))[:1]
  np.testing.assert_allclose(found, expected, atol=1e-5)
  assert (np.hypot(found[..., 0], found[..., 1]) < found[..., 2] - 1e-3).any()


def test_displacements_out_of_stored_images():
  rng = np.random.default_rng(0)
  stored = {
    phase: rng.integers(0, 256, (1, 28, 28, 3)).astype(np.uint8)
    for phase in ('onset_apex', 'apex_offset')
  }
  none = np.zeros(1, int)
  clips = motion.ClipBatch(
    None, none, none, none, none, stored, frame_shape=(28, 28, 3)
  )
  settings = moving.settings(dataset='megc2019_flow', image_size=28)
  found = np.asarray(phase_flow.displacement(clips, settings))[0]
  for image, values in zip(found, stored.values()):
    both = values[0, ..., :2].astype(float)
    both -= np.median(both, axis=(0, 1))
    both /= np.abs(both).max(axis=(0, 1))
    np.testing.assert_allclose(image[..., :2], both, atol=1e-6)
    np.testing.assert_allclose(
      image[..., 2], np.hypot(*np.moveaxis(both, -1, 0)), atol=1e-6
    )
  # Scaled apart, whoever reads them: not to be turned.
  chosen = {'a': 'mm_cof', 'b': 'phase_flow'}
  for channels in motion.channels(chosen, settings, 'phase_flow').values():
    assert [c.unit for c in channels[:2]] == ['', '']


@pytest.mark.parametrize(
  'values, message',
  [
    ({'phases': ('onset_offset',)}, 'not the whole clip'),
    ({'flow': {'coding': 'pixels'}}, 'asks for u, v, strain in pixels'),
    ({'flow': {'channels': ('u', 'magnitude')}}, 'asks for u, magnitude in'),
  ],
)
def test_what_stored_images_lack(values, message):
  settings = moving.settings(dataset='megc2019_flow', **values)
  assert message in PHASE_FLOW.unsupported(settings, 'phase_flow')
  # Frames have it all.
  assert not PHASE_FLOW.unsupported(settings, '')
  assert 'no images of optical flow' in PHASE_FLOW.unsupported(
    settings, 'depth'
  )
