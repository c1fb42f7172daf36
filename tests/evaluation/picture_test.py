"""The picture of a clip shows what the run computes."""

import cv2
from matplotlib import axes
import numpy as np
import pytest

from dianet_jax.evaluation import picture
from dianet_jax.motion import rank_pooling

APEX = 4


@pytest.fixture
def frames():
  """A square that moves to and fro."""
  rng = np.random.default_rng(0)
  ground = rng.integers(90, 110, (16, 16, 3)).astype(np.uint8)
  clip = []
  for column in (0, 3, 1, 6, 8, 5, 7, 2, 4):
    frame = ground.copy()
    frame[4:8, column : column + 4] += 100
    clip.append(frame)
  return np.stack(clip)


@pytest.mark.parametrize('order', rank_pooling.ORDERS)
@pytest.mark.parametrize('kind', ['rank', 'linear'])
def test_the_weights_drawn_are_those_of_the_images(
  make_config, frames, kind, order, tmp_path, monkeypatch
):
  config = make_config(data__coefficients=kind, data__frame_order=order).data
  weights, images = picture.pool(frames, APEX, config)
  expected = np.tensordot(weights, frames.astype(np.float64), 1)
  np.testing.assert_allclose(images, expected, atol=1e-2)
  drawn = []
  plot = axes.Axes.plot

  def spy(self, x, y, **options):
    drawn.append((list(x), np.array(y)))
    return plot(self, x, y, **options)

  monkeypatch.setattr(axes.Axes, 'plot', spy)
  path = tmp_path / 'clip.png'
  picture.draw(frames, APEX, weights, images, path)
  assert cv2.imread(str(path)).std() > 10
  made = rank_pooling.COEFFICIENTS[kind]
  for (numbers, values), (first, end) in zip(drawn, ((0, 4), (4, 8))):
    assert numbers == list(range(first, end + 1))
    np.testing.assert_allclose(np.sort(values), np.sort(made(5)), rtol=1e-5)
    moved = np.abs(frames[first : end + 1] - frames[first].astype(float))
    rank = np.argsort(np.argsort(moved.mean(axis=(1, 2, 3)), kind='stable'))
    if order == 'time':
      rank = np.arange(5)
    np.testing.assert_allclose(values, made(5)[rank], rtol=1e-5)
  assert len(drawn) == 2
