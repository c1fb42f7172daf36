"""Rank pooling: identities of the coefficients, accuracy, padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax import rank_pooling

ALL_PHASES = ('onset_apex', 'apex_offset', 'onset_offset')


def reference_images(frames, onset, apex, offset, phases=ALL_PHASES):
  """The definition, in float64: sum_t alpha_t psi_t, frame by frame."""
  key = {'onset': onset, 'apex': apex, 'offset': offset}
  images = []
  for phase in phases:
    first, last = (key[end] for end in rank_pooling.PHASES[phase])
    alpha = rank_pooling.coefficients(last - first + 1)
    images.append(
      np.tensordot(alpha, frames[first : last + 1].astype(np.float64), 1)
    )
  return np.stack(images)


def pool_one(frames, onset, apex, offset, phases=ALL_PHASES):
  keys = (np.array([k], np.int32) for k in (onset, apex, offset))
  return np.asarray(
    rank_pooling.dynamic_images(jnp.asarray(frames)[None], *keys, phases)
  )[0]


@pytest.mark.parametrize('num_frames', [2, 3, 5, 17, 96, 1000])
def test_coefficients_sum_to_zero(num_frames):
  alpha = rank_pooling.coefficients(num_frames)
  assert abs(alpha.sum()) < 1e-9 * num_frames


@pytest.mark.parametrize('num_frames', [1, 2, 5, 96])
def test_coefficients_equal_the_sum_form_of_other_code(num_frames):
  other = [
    sum((2 * i - num_frames - 1) / i for i in range(t, num_frames + 1))
    for t in range(1, num_frames + 1)
  ]
  np.testing.assert_allclose(
    rank_pooling.coefficients(num_frames), other, rtol=0, atol=3e-13
  )


def test_coefficients_of_short_clips():
  np.testing.assert_array_equal(rank_pooling.coefficients(1), [0])
  np.testing.assert_allclose(rank_pooling.coefficients(2), [-0.5, 0.5])
  np.testing.assert_allclose(
    rank_pooling.coefficients(5), [-3.7, 0.3, 1.3, 1.3, 0.8], atol=1e-12
  )


def test_coefficients_are_not_the_linear_weights():
  for num_frames, cosine in ((5, 0.75), (96, 0.53)):
    alpha = rank_pooling.coefficients(num_frames)
    linear = 2.0 * np.arange(1, num_frames + 1) - num_frames - 1
    found = alpha @ linear / np.linalg.norm(alpha) / np.linalg.norm(linear)
    assert found == pytest.approx(cosine, abs=0.005)


@pytest.mark.parametrize('num_frames', [2, 64, 1000])
def test_a_static_clip_is_exactly_zero(num_frames):
  frames = np.full((num_frames, 6, 5, 3), 251, np.uint8)
  images = pool_one(frames, 0, num_frames // 2, num_frames - 1)
  np.testing.assert_array_equal(images, 0)


@pytest.mark.parametrize('num_frames', [2, 3, 40, 300, 1000])
def test_close_to_float64_on_motion_of_one_grey_level(num_frames):
  rng = np.random.default_rng(num_frames)
  base = rng.integers(100, 250, (1, 8, 8, 3))
  frames = (base + rng.integers(0, 2, (num_frames, 8, 8, 3))).astype(np.uint8)
  keys = 0, num_frames // 3, num_frames - 1
  expected = reference_images(frames, *keys)
  error = np.abs(pool_one(frames, *keys) - expected)
  largest = np.abs(expected).max(axis=(1, 2, 3), keepdims=True)
  assert (error <= 1e-5 * largest).all()


def test_padded_batch_of_unequal_clips():
  rng = np.random.default_rng(0)
  lengths = (9, 30, 17)
  keys = np.array([(0, 4, 8), (3, 20, 29), (2, 2, 16)], np.int32)
  clips = [rng.integers(0, 256, (n, 7, 6, 3), np.uint8) for n in lengths]
  padded = rng.integers(0, 256, (3, 32, 7, 6, 3), np.uint8)
  for row, clip in zip(padded, clips, strict=True):
    row[: len(clip)] = clip
  pooled = rank_pooling.dynamic_images(padded, *keys.T, ALL_PHASES)
  assert pooled.shape == (3, 3, 7, 6, 3) and pooled.dtype == jnp.float32
  for image, clip, key in zip(pooled, clips, keys, strict=True):
    expected = reference_images(clip, *key)
    np.testing.assert_allclose(image, expected, atol=1e-5 * expected.max())


def test_frames_outside_the_phase_have_no_influence():
  frames = np.random.default_rng(1).random((12, 4, 4, 1)).astype(np.float32)
  clean = pool_one(frames, 2, 5, 8)
  frames[:2] = np.nan
  frames[9:] = np.inf
  np.testing.assert_array_equal(pool_one(frames, 2, 5, 8), clean)


def test_a_phase_of_one_frame_is_empty_and_order_is_as_asked():
  frames = np.random.default_rng(2).integers(0, 256, (9, 4, 4, 3), np.uint8)
  images = pool_one(frames, 0, 8, 8, ('apex_offset', 'onset_apex'))
  np.testing.assert_array_equal(images[0], 0)
  np.testing.assert_array_equal(
    images[1], pool_one(frames, 0, 8, 8, ('onset_offset',))[0]
  )


def test_gradient_is_the_coefficients():
  frames = jnp.zeros((1, 5, 1, 1, 1))
  keys = (jnp.array([k]) for k in (0, 4, 4))
  gradient = jax.grad(
    lambda f: rank_pooling.dynamic_images(f, *keys, ('onset_apex',)).sum()
  )(frames)
  np.testing.assert_allclose(
    gradient[0, :, 0, 0, 0], rank_pooling.coefficients(5), atol=1e-6
  )


def test_unknown_phase():
  with pytest.raises(KeyError, match='apex_onset'):
    pool_one(np.zeros((3, 2, 2, 1), np.uint8), 0, 1, 2, ('apex_onset',))
