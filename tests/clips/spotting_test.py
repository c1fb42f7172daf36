"""Tests of apex spotting."""

import cv2
import numpy as np
import pytest

from dianet_jax.clips import spotting
from tests.support import raw_trees
from tfds_builders import prepare, simulate


def _clip(shifts, noise=0.0):
  frames = np.stack([raw_trees.frame(shift)[..., 0] for shift in shifts])
  random = np.random.default_rng(0).normal(0, noise, frames.shape)
  return np.clip(frames + random, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize('apex', [1, 7, 19])
def test_finds_the_greatest_motion(apex):
  shifts = [max(0.0, 3 - 0.3 * abs(i - apex)) * (i > 0) for i in range(20)]
  assert spotting.spot_apex(_clip(shifts)) == apex


def test_noise_as_large_as_the_motion_does_not_move_the_apex():
  shifts = [2 * np.sin(np.pi * i / 30) for i in range(31)]
  assert abs(spotting.spot_apex(_clip(shifts, noise=3.0)) - 15) <= 4


def test_static_clip_has_its_apex_at_the_onset():
  assert spotting.spot_apex(_clip([0.0] * 5)) == 0


def test_darkening_counts_like_brightening():
  """Differences of uint8 would wrap around."""
  frames = np.full((4, 8, 8), 100, np.uint8)
  frames[2, 2:4] = 60
  frames[3, 2:4] = 110
  assert spotting.spot_apex(frames) == 2


@pytest.mark.parametrize('change', ['drift', 'turn', 'gain', 'offset'])
def test_head_motion_and_light_do_not_move_the_apex(change):
  """Each of them changes more pixels by more than the motion does."""
  rows, columns = np.mgrid[:96, :80].astype(np.float32)

  def face(share, motion):
    x, y = columns - 40, rows - 48
    if change == 'drift':
      x, y = x - 2.4 * share, y + 1.8 * share
    if change == 'turn':
      x, y = x + 0.02 * share * y, y - 0.02 * share * x
    mouth = np.exp(-((x - 10 - motion) ** 2 + (y - 20) ** 2) / 30)
    levels = 110 + 40 * np.sin(x / 7) * np.cos(y / 9) - 60 * mouth
    gain = 1 + 0.1 * share * (change == 'gain')
    return gain * levels + 10 * share * (change == 'offset')

  clip = [face(i / 20, max(0.0, 1 - abs(i - 8) / 8)) for i in range(21)]
  clip = np.stack(clip).round().astype(np.uint8)
  plain = np.abs(clip.astype(float) - clip[0]).mean((1, 2))
  assert np.argmax(plain) > 15
  assert abs(spotting.spot_apex(clip) - 8) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
  ('dataset', 'frames_per_second'),
  [('casme2', 200), ('samm', 200), ('mmew', 90)],
)
def test_frame_error_on_simulated_clips(tmp_path, dataset, frames_per_second):
  """Half a hundredth of a second on average; a clip lasts 0.2 to 0.5."""
  root = simulate.write(dataset, tmp_path / 'raw', subjects=2)
  found = prepare.builder_class(dataset, '').find(root)
  errors = []
  for clip in found.clips:
    record = clip.read(decode=False)
    images = [cv2.imread(path, cv2.IMREAD_GRAYSCALE)
              for path in record['frames']]  # fmt: skip
    spotted = spotting.spot_apex(np.stack(images))
    errors.append(abs(spotted - record['apex']) / frames_per_second)
  print(f'{dataset}: seconds, mean {np.mean(errors):.4f}, '
        f'greatest {np.max(errors):.4f}')  # fmt: skip
  assert len(errors) == 20
  assert np.mean(errors) < 0.010
  assert np.quantile(errors, 0.9) < 0.020


def test_no_frames_are_refused():
  with pytest.raises(ValueError, match='without frames'):
    spotting.spot_apex(np.zeros((0, 8, 8), np.uint8))
