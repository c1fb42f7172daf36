"""Evidence of regions, for a known function."""

import numpy as np
import pytest

from dianet_jax.explanation import explainer, occlusion, regions
from dianet_jax.motion.registry import REPRESENTATIONS, Channel

FEED = {'flow': 'phase_flow', 'tokens': 'phase_flow'}
CHANNELS = {'flow': (Channel('u', ''), Channel('v', '')), 'tokens': ()}
MASKS = regions.masks(28, 28)
MOUTH, BROWS = (MASKS[regions.NAMES.index(n)] for n in ('mouth', 'brows'))


def inputs():
  """Motion of the mouth in u and of the brows in v; the rest is still."""
  flow = np.full((1, 28, 28, 2), 3.0, np.float32)
  flow[0, MOUTH, 0] += 1
  flow[0, BROWS, 1] += 1
  return {'flow': flow, 'tokens': np.ones((5,), np.float32)}


def predict(given):
  """The mouth is evidence for class 1, the brows half as much against it."""
  flow = given['flow'] - 3
  mouth = flow[:, 0, MOUTH, 0].mean(axis=1)
  brows = flow[:, 0, BROWS, 1].mean(axis=1)
  logits = np.stack([0 * mouth, 2 * mouth - brows], axis=-1)
  assert given['tokens'].all()
  return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def evidence(class_):
  given = inputs()
  still = occlusion.still(given, FEED, CHANNELS)
  np.testing.assert_array_equal(still['flow'], np.full((1, 28, 28, 2), 3.0))
  return occlusion.by_region(predict, given, still, CHANNELS, class_)


def test_regions_that_matter_and_no_others():
  found = evidence(1)
  # From logits of 2 - 1 to those of -1; from those of 0 to those of 2.
  fall = np.log1p(np.exp(1)) - np.log1p(np.exp(-1))
  rise = np.log1p(np.exp(0)) - np.log1p(np.exp(-2))
  assert found['mouth'] == pytest.approx((fall + rise) / 2, rel=1e-5)
  assert found['mouth'] > 0 > found['brows']
  others = set(regions.NAMES) - {'mouth', 'brows'}
  assert {found[name] for name in others} == {0.0}
  assert occlusion.shares(found)['mouth'] == 1
  # What speaks for one class speaks against the other.
  assert occlusion.shares(evidence(0))['brows'] == 1


def test_a_model_without_images_has_no_regions():
  assert (
    occlusion.by_region(predict, {'tokens': np.ones(5)}, {}, {'tokens': ()}, 1)
    == {}
  )


def test_a_table_of_shares_by_region_and_class():
  one, other = (
    explainer.Explanation(occlusion.shares(evidence(c)), {}, {}) for c in (1, 0)
  )
  rows = explainer.table([one, one, other], [1, 1, 0], ['a', 'b', 'c'])
  assert rows[0] == [
    'region (action units)', 'a\n1 clips', 'b\n2 clips', 'c\n0 clips'
  ]  # fmt: skip
  assert rows[1] == ['brows (1, 2, 4)', '1.00', '0.00', '']
  assert [row[0].split()[0] for row in rows[1:]] == list(regions.NAMES)
  none = explainer.Explanation({}, {}, {})
  assert explainer.table([none], [0], ['a']) == []
  assert explainer.table([], [], ['a']) == []


def test_pictures_lie_over_the_face_and_show_the_hottest_place():
  face = np.full((56, 40, 3), 90, np.uint8)
  heat = np.zeros((4, 4))
  heat[3, 0] = 2.0
  why = explainer.Explanation(
    {**dict.fromkeys(regions.NAMES, 0.0), 'chin': 1.0}, {'deep': heat}, {}
  )
  (title, chin), (layer, shown) = why.pictures(face)
  assert title == 'regions of the face' and layer == 'class activation, deep'
  for picture in (chin, shown):
    assert min(picture.shape[:2]) == 224 and picture.dtype == np.uint8
  changed = (shown != 90).any(axis=-1)
  assert (
    changed[-1, 0] and not changed[:100].any() and not changed[:, 150:].any()
  )
  assert (chin[-5, 112] != 90).any() and (chin[:100] == 90).all()
  empty = explainer.Explanation({}, {'deep': np.zeros((4, 4))}, {})
  [(_, grey)] = empty.pictures(face)
  assert (grey == 90).all()


@pytest.mark.parametrize('name', REPRESENTATIONS)
def test_removing_motion_twice_changes_nothing_more(name):
  row = REPRESENTATIONS[name]
  images = np.random.default_rng(0).uniform(size=(4, 6, 6, 38)).astype('f')
  still = np.asarray(row.still(images))
  assert still.shape == images.shape and still.dtype == np.float32
  np.testing.assert_array_equal(np.asarray(row.still(still)), still)
  assert (still != images).any()
