"""Optical flow against planted motion and committed figures of OpenCV."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from benchmarks import optical_flow as benchmark
from benchmarks.peers import optical_flow_forms as peers
from dianet_jax.core import errors
from dianet_jax.motion import head_motion, optical_flow

# Written by `python -m benchmarks.optical_flow --reference=FILE` with OpenCV
# 5.0.0's contributed modules.
KEPT = np.load(pathlib.Path(__file__).parent / 'opencv_tv_l1.npz')


@pytest.fixture(scope='module')
def pairs():
  return peers.make_pairs(benchmark.REFERENCE_SIZE)


@pytest.fixture(scope='module')
def frames(pairs):
  return tuple(
    np.stack([getattr(pair, side) for pair in pairs])
    for side in ('first', 'second')
  )


@pytest.fixture(scope='module')
def flow(frames):
  return np.asarray(optical_flow.tv_l1(*frames))


def test_the_committed_figures_are_of_these_pairs(pairs):
  assert list(KEPT['names']) == [pair.name for pair in pairs]


def test_errs_no_more_than_opencv(pairs, flow):
  ours = np.array(
    [peers.end_point_error(f, pair) for f, pair in zip(flow, pairs)]
  )
  assert ours.mean() < 0.9 * KEPT['errors'].mean()
  kinds = np.array([pair.name.split()[0] for pair in pairs])
  for kind in peers.KINDS:
    of_kind = kinds == kind
    assert ours[of_kind].mean() <= KEPT['errors'][of_kind].mean(), kind
  assert (ours - KEPT['errors']).max() < 0.02


@pytest.mark.slow
def test_meets_opencv_at_the_same_iterations(frames):
  same = np.asarray(
    optical_flow.tv_l1(*frames, **peers.SAME, interpolation='cubic')
  )[::3]
  difference = np.abs(same - KEPT['same'] / 1000)
  assert difference.mean() < 0.02


def test_a_still_pair_does_not_move(frames):
  assert not np.asarray(optical_flow.tv_l1(frames[0], frames[0])).any()


def test_points_from_first_to_second_x_then_y(pairs, flow):
  shift = [pair.name for pair in pairs].index('shift 2.0 noise 0')
  np.testing.assert_allclose(flow[shift].mean((0, 1)), (2, -1), atol=0.05)


def test_a_pair_does_not_depend_on_its_neighbours(frames, flow):
  others = [f[::-1].copy() for f in frames]
  for other, same in zip(others, frames):
    other[5] = same[5]
  found = np.asarray(optical_flow.tv_l1(*others))
  np.testing.assert_array_equal(found[5], flow[5])


def test_the_form_for_accelerators_gives_the_same(monkeypatch, frames):
  small = tuple(f[:3, :24, :24] for f in frames)
  few = {'scales': 2, 'warps': 2, 'inner': 5}
  ours = optical_flow.tv_l1(*small, **few)
  # Floats: another trace, which meets the other form.
  monkeypatch.setattr(
    jax.lax,
    'platform_dependent',
    lambda *args, cpu, default: default(*args),
  )
  vectorised = optical_flow.tv_l1(*(f.astype(np.float32) for f in small), **few)
  assert vectorised.dtype == np.float32
  np.testing.assert_allclose(vectorised, ours, atol=1e-4)


@pytest.mark.parametrize('shape', [(0, 20, 20), (1, 2, 2), (2, 7, 40)])
def test_small_and_empty_batches(shape):
  first = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  found = np.asarray(optical_flow.tv_l1(first, first[:, ::-1], inner=3))
  assert found.shape == (*shape, 2)
  assert np.isfinite(found).all()


def test_no_coarser_scale_than_sixteen_pixels():
  assert optical_flow._pyramid(28, 28, 5, 0.8) == [(28, 28), (22, 22), (18, 18)]


@pytest.mark.parametrize('window', [1, 3, 5])
def test_the_median_filter_is_scipys(window):
  image = np.random.default_rng(0).normal(size=(13, 9)).astype(np.float32)
  np.testing.assert_array_equal(
    optical_flow.median_filter(jnp.asarray(image), window),
    scipy.ndimage.median_filter(image, window, mode='nearest'),
  )


def test_farneback_has_the_same_interface(pairs, frames):
  found = optical_flow.farneback(*frames)
  assert found.dtype == np.float32
  assert found.shape == (*frames[0].shape, 2)
  shift = [pair.name for pair in pairs].index('shift 2.0 noise 0')
  np.testing.assert_allclose(found[shift].mean((0, 1)), (2, -1), atol=0.3)
  assert optical_flow.farneback(*(f[:0] for f in frames)).shape[0] == 0


@pytest.mark.parametrize('method', optical_flow.METHODS)
@pytest.mark.parametrize(
  'first, second, message',
  [
    (np.zeros((4, 4)), np.zeros((4, 4)), 'pair, height, width'),
    (np.zeros((1, 4, 4)), np.zeros((1, 4, 5)), 'same shape'),
    (np.zeros((1, 4, 4), bool), np.zeros((1, 4, 4), bool), 'grey levels'),
    (np.zeros((1, 1, 4)), np.zeros((1, 1, 4)), 'at least 2 x 2'),
  ],
)
@pytest.mark.usefixtures('unchecked')
def test_invalid_pairs_of_images_are_refused(method, first, second, message):
  with pytest.raises(errors.UserError, match=message):
    optical_flow.METHODS[method](first, second)


@pytest.mark.parametrize('wrong', [{'median': 4}, {'interpolation': 'area'}])
def test_unknown_filters_are_refused(wrong):
  with pytest.raises(errors.UserError, match=str(*wrong.values())):
    optical_flow.tv_l1(np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), **wrong)


def test_grey_is_what_opencv_makes_of_colours():
  colours = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 3), np.uint8)
  expected = [peers.cv2.cvtColor(c, peers.cv2.COLOR_RGB2GRAY) for c in colours]
  np.testing.assert_allclose(optical_flow.grey(colours), expected, atol=0.51)


@pytest.mark.parametrize('kind', ['median', 'rigid'])
def test_head_motion_is_removed(kind):
  pair = peers.make_pair(64)
  head = np.broadcast_to(np.float32((1.5, -0.75)), pair.flow.shape)
  left = head_motion.without_head_motion((pair.flow + head)[None], kind)[0]
  np.testing.assert_allclose(left, pair.flow, atol=0.02)


def test_only_the_rigid_fit_removes_a_rotation_of_the_head():
  pair = peers.make_pair(64)
  y, x = np.mgrid[:64, :64] - 31.5
  head = np.stack([0.3 - 0.01 * y, 0.01 * x - 0.2], -1)
  moved = (pair.flow + head)[None].astype(np.float32)
  rigid, median = (
    np.asarray(head_motion.without_head_motion(moved, kind))[0]
    for kind in ('rigid', 'median')
  )
  np.testing.assert_allclose(rigid, pair.flow, atol=0.02)
  assert np.abs(median - pair.flow).max() > 0.2


def test_head_motion_may_stay_and_other_kinds_are_refused():
  flow = np.ones((1, 4, 4, 2), np.float32)
  np.testing.assert_array_equal(
    head_motion.without_head_motion(flow, 'none'), flow
  )
  with pytest.raises(errors.UserError, match='affine'):
    head_motion.without_head_motion(flow, 'affine')
