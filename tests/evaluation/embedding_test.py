"""Clips as points in a plane, and their neighbours."""

import numpy as np
import pytest

from dianet_jax.evaluation import embedding


def test_clips_of_one_class_are_close_together():
  rng = np.random.default_rng(0)
  labels = np.arange(30) % 3
  logits = 4 * np.eye(3)[labels] + rng.normal(0, 0.2, (30, 3))
  probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  plane = embedding.of_probabilities(
    probabilities, [f'c{i}' for i in range(30)]
  )
  assert plane.points.min() == 0 and plane.points.max() == 1
  same, chance = plane.nearest([str(label) for label in labels])
  assert same == 1 and chance == pytest.approx(9 / 29)
  x, y, color, title = next(plane.drawn([str(label) for label in labels]))
  assert 0 < x < embedding.SIZE and 0 < y < embedding.SIZE
  assert title == 'c0: 0' and color.startswith('hsl(')


@pytest.mark.parametrize('classes', [2, 5])
def test_certain_and_equal_predictions_are_finite(classes):
  certain = np.eye(classes)[[0, 1, 0]]
  plane = embedding.of_probabilities(certain, 'abc')
  assert np.isfinite(plane.points).all()
  np.testing.assert_array_equal(plane.points[0], plane.points[2])
  same = embedding.of_probabilities(np.full((3, classes), 1 / classes), 'abc')
  assert not same.points.any()


def test_one_clip_has_no_neighbour():
  plane = embedding.of_probabilities(np.array([[0.5, 0.5]]), ['a'])
  assert np.isnan(plane.nearest(['x'])).all()
  assert len({color for _, color in embedding.legend('abcabc')}) == 3
