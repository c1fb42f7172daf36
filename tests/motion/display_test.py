"""Pictures of any number of views and channels."""

import numpy as np
import pytest

from dianet_jax.motion import display, scaling
from dianet_jax.motion.registry import Channel


def images(views, channels):
  rng = np.random.default_rng(0)
  return rng.normal(size=(views, 4, 5, channels)).astype(np.float32)


def pictures(views, channels):
  names = [f'v{i}' for i in range(views)]
  described = [Channel(f'c{i}', '') for i in range(channels)]
  made = images(views, channels)
  return made, list(display.pictures(made, names, described))


@pytest.mark.parametrize('channels', [1, 3])
def test_a_view_is_a_picture(channels):
  made, found = pictures(2, channels)
  assert [title for title, _ in found] == ['v0', 'v1']
  for image, (_, pixels) in zip(made, found):
    np.testing.assert_array_equal(pixels, scaling.to_display(image))


def test_channels_apart():
  made, found = pictures(2, 2)
  assert [t for t, _ in found] == ['v0: c0', 'v0: c1', 'v1: c0', 'v1: c1']
  expected = scaling.to_display(made[1])[..., 1:]
  np.testing.assert_array_equal(found[3][1], expected)


def test_many_are_one_sheet():
  made, found = pictures(1, 38)
  [(title, page)] = found
  # Six rows of seven.
  assert title == 'v0: c0 ... v0: c37' and page.shape == (6 * 4, 7 * 5, 1)
  every = scaling.to_display(made[0])
  np.testing.assert_array_equal(page[:4, :5, 0], every[..., 0])
  np.testing.assert_array_equal(page[4:8, 5:10, 0], every[..., 8])
  assert (page[20:, 15:] == 255).all()
