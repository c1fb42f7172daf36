"""Rank pooling: identities of the coefficients, accuracy, padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.core import errors
from dianet_jax.motion import rank_pooling

ALL_PHASES = ('onset_apex', 'apex_offset', 'onset_offset')


def reference_images(
  frames, onset, apex, offset, phases=ALL_PHASES, kind='rank'
):
  """The definition, in float64: sum_t alpha_t psi_t, frame by frame."""
  key = {'onset': onset, 'apex': apex, 'offset': offset}
  images = []
  for phase in phases:
    first, last = (key[end] for end in rank_pooling.PHASES[phase])
    alpha = rank_pooling.COEFFICIENTS[kind](last - first + 1)
    images.append(
      np.tensordot(alpha, frames[first : last + 1].astype(np.float64), 1)
    )
  return np.stack(images)


def pool_one(frames, onset, apex, offset, phases=ALL_PHASES, **variant):
  keys = (np.array([k], np.int32) for k in (len(frames), onset, apex, offset))
  return np.asarray(
    rank_pooling.dynamic_images(
      jnp.asarray(frames)[None], *keys, phases, **variant
    )
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


def test_linear_coefficients_differ_from_rank_pooling():
  for num_frames, cosine in ((5, 0.75), (96, 0.53)):
    alpha = rank_pooling.coefficients(num_frames)
    linear = rank_pooling.linear_coefficients(num_frames)
    found = alpha @ linear / np.linalg.norm(alpha) / np.linalg.norm(linear)
    assert found == pytest.approx(cosine, abs=0.005)


@pytest.mark.parametrize('num_frames', [1, 2, 5, 96])
def test_running_mean_coefficients_equal_the_default(num_frames):
  np.testing.assert_allclose(
    rank_pooling.running_mean_coefficients(num_frames),
    rank_pooling.coefficients(num_frames),
    rtol=0,
    atol=3e-13,
  )


@pytest.mark.parametrize('kind', rank_pooling.COEFFICIENTS)
def test_every_kind_of_coefficients(kind):
  frames = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), np.uint8)
  expected = reference_images(frames, 3, 11, 38, kind=kind)
  np.testing.assert_allclose(
    pool_one(frames, 3, 11, 38, kind=kind),
    expected,
    atol=1e-5 * np.abs(expected).max(),
  )


def grey_levels(levels):
  """A clip of one grey level per frame, so that motion is their difference."""
  frames = np.array(levels, np.uint8)[:, None, None, None]
  return np.broadcast_to(frames, (len(levels), 4, 5, 3))


def test_motion_intensity_ranks_frames_by_motion():
  # The onset is the darkest: in order of motion the levels are sorted.
  levels = [7, 8, 30, 9, 60, 20, 12]
  pooled = pool_one(
    grey_levels(levels), 0, 6, 6, ('onset_apex',), order='motion_intensity'
  )
  expected = rank_pooling.coefficients(7) @ np.sort(levels)
  np.testing.assert_allclose(pooled, expected, rtol=1e-5)


def test_motion_intensity_is_measured_from_the_onset_of_the_clip():
  levels = [50, 58, 90, 70, 52, 61]
  pooled = pool_one(
    grey_levels(levels), 0, 2, 5, ('apex_offset',), order='motion_intensity'
  )
  expected = rank_pooling.coefficients(4) @ np.array([52, 61, 70, 90])
  np.testing.assert_allclose(pooled, expected, rtol=1e-5)


def test_frames_that_moved_as_much_stay_in_temporal_order():
  # Brighter or darker by as much; and two frames that are equal.
  levels = [50, 60, 40, 60, 55, 45, 60]
  pooled = pool_one(
    grey_levels(levels), 0, 6, 6, ('onset_apex',), order='motion_intensity'
  )
  expected = rank_pooling.coefficients(7) @ [50, 55, 45, 60, 40, 60, 60]
  np.testing.assert_allclose(pooled, expected, rtol=1e-5)


@pytest.mark.parametrize('phase', ['onset_apex', 'onset_offset'])
def test_motion_intensity_of_growing_motion_is_the_default(phase):
  frames = grey_levels(np.arange(20) * 9)
  by_time, by_intensity = pool_one(frames, 2, 17, 19, (phase,), order='both')
  np.testing.assert_array_equal(by_intensity, by_time)
  assert np.abs(by_time).min() > 1


def test_both_orders_are_those_of_each_phase_in_turn():
  frames = np.random.default_rng(1).integers(0, 256, (12, 4, 4, 3), np.uint8)
  one, other = (
    pool_one(frames, 2, 5, 9, order=order)
    for order in ('time', 'motion_intensity')
  )
  both = pool_one(frames, 2, 5, 9, order='both')
  np.testing.assert_array_equal(both[0::2], one)
  np.testing.assert_array_equal(both[1::2], other)
  assert (one != other).any()


def test_flattened_frames_are_ordered_by_their_shape():
  frames = np.random.default_rng(1).integers(0, 256, (12, 4, 5, 3), np.uint8)
  expected = pool_one(frames, 2, 5, 9, order='both')
  flat = pool_one(
    frames.reshape(12, -1), 2, 5, 9, order='both', frame_shape=(4, 5, 3)
  )
  np.testing.assert_array_equal(flat, expected.reshape(6, -1))


@pytest.mark.parametrize('order', ['motion_intensity', 'both'])
def test_motion_intensity_does_not_look_outside_the_phase(order):
  frames = np.random.default_rng(1).random((12, 4, 4, 1)).astype(np.float32)
  clean = pool_one(frames, 2, 5, 8, order=order)
  frames[:2], frames[9:] = np.nan, np.inf
  np.testing.assert_array_equal(pool_one(frames, 2, 5, 8, order=order), clean)


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
  pooled = rank_pooling.dynamic_images(
    padded, np.array(lengths), *keys.T, ALL_PHASES
  )
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


def test_a_phase_of_one_frame_is_zero_and_phases_are_in_the_given_order():
  frames = np.random.default_rng(2).integers(0, 256, (9, 4, 4, 3), np.uint8)
  images = pool_one(frames, 0, 8, 8, ('apex_offset', 'onset_apex'))
  np.testing.assert_array_equal(images[0], 0)
  np.testing.assert_array_equal(
    images[1], pool_one(frames, 0, 8, 8, ('onset_offset',))[0]
  )


def test_gradient_is_the_coefficients():
  frames = jnp.zeros((1, 5, 1, 1, 1))
  keys = (jnp.array([k]) for k in (5, 0, 4, 4))
  gradient = jax.grad(
    lambda f: rank_pooling.dynamic_images(f, *keys, ('onset_apex',)).sum()
  )(frames)
  np.testing.assert_allclose(
    gradient[0, :, 0, 0, 0], rank_pooling.coefficients(5), atol=1e-6
  )


def test_gradient_of_overlapping_phases():
  frames = np.random.default_rng(3).random((2, 25, 2, 3, 1)).astype(np.float32)
  keys = [np.array(k) for k in ((25, 22), (1, 0), (20, 3), (24, 21))]
  mix = np.random.default_rng(4).random((2, 3, 2, 3, 1)).astype(np.float32)
  gradient = jax.grad(
    lambda f: (mix * rank_pooling.dynamic_images(f, *keys, ALL_PHASES)).sum()
  )(frames)
  for row in range(2):
    expected = np.zeros(frames.shape[1:])
    onset, apex, offset = (k[row] for k in keys[1:])
    for phase, (a, b) in enumerate(
      ((onset, apex), (apex, offset), (onset, offset))
    ):
      alpha = rank_pooling.coefficients(b - a + 1)
      expected[a : b + 1] += alpha[:, None, None, None] * mix[row, phase]
    np.testing.assert_allclose(gradient[row], expected, atol=2e-5)


def test_a_key_frame_in_the_padding_counts_as_the_last_frame():
  frames = np.random.default_rng(5).integers(0, 256, (1, 20, 3, 3, 1), np.uint8)
  one, other = (
    rank_pooling.dynamic_images(
      frames, *(np.array([k]) for k in (12, 0, 5, offset))
    )
    for offset in (11, 17)
  )
  np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_vmap_and_pmap_agree_with_the_batch():
  rng = np.random.default_rng(6)
  frames = rng.integers(0, 256, (4, 2, 33, 5, 4, 3), np.uint8)
  keys = [np.full((4, 2), k) for k in (33, 2, 19, 31)]
  flat = rank_pooling.dynamic_images(
    frames.reshape(8, *frames.shape[2:]), *(k.reshape(8) for k in keys)
  ).reshape(4, 2, 2, 5, 4, 3)
  for over in (jax.vmap, jax.pmap):
    pooled = over(rank_pooling.dynamic_images)(frames, *keys)
    np.testing.assert_allclose(pooled, flat, atol=1e-5 * np.abs(flat).max())


def test_there_is_no_float_copy_of_the_frames():
  frames = jax.ShapeDtypeStruct((4, 100, 32, 32, 3), np.uint8)
  keys = [jax.ShapeDtypeStruct((4,), np.int32)] * 4
  compiled = rank_pooling.dynamic_images.lower(frames, *keys).compile()
  memory = compiled.memory_analysis()
  assert memory.temp_size_in_bytes < memory.argument_size_in_bytes / 4


@pytest.mark.slow
def test_peak_memory_of_long_clips_is_no_copy():
  keys = [jax.ShapeDtypeStruct((2,), np.int32)] * 4
  for dtype in (np.uint8, np.float32):
    frames = jax.ShapeDtypeStruct((2, 1000, 16, 16, 3), dtype)
    lowered = rank_pooling.dynamic_images.lower(frames, *keys, ALL_PHASES)
    memory = lowered.compile().memory_analysis()
    # The table of coefficients is most of it.
    assert memory.temp_size_in_bytes < 2e5


def test_under_x64():
  frames = np.random.default_rng(7).integers(0, 256, (12, 3, 3, 1), np.uint8)
  expected = pool_one(frames, 1, 5, 11)
  with jax.enable_x64(True):
    np.testing.assert_array_equal(pool_one(frames, 1, 5, 11), expected)


@pytest.mark.parametrize('dtype', [np.uint8, np.int64, np.int16])
def test_key_frames_of_any_integer_type(dtype):
  frames = np.random.default_rng(8).integers(
    0, 256, (1, 300, 2, 2, 1), np.uint8
  )
  keys = [np.array([k]) for k in (101, 2, 40, 99)]
  expected = rank_pooling.dynamic_images(frames, *keys)
  found = rank_pooling.dynamic_images(frames, *(k.astype(dtype) for k in keys))
  np.testing.assert_array_equal(found, expected)


def test_key_frames_out_of_range_are_the_ends():
  frames = np.random.default_rng(9).integers(0, 256, (20, 3, 3, 1), np.uint8)
  expected = pool_one(frames, 0, 5, 19)
  np.testing.assert_array_equal(pool_one(frames, -1, 5, 25), expected)
  longer = rank_pooling.dynamic_images(
    frames[None], *(np.array([k]) for k in (99, 0, 5, 25)), ALL_PHASES
  )
  np.testing.assert_array_equal(longer[0], expected)
  nothing = rank_pooling.dynamic_images(
    frames[None], *(np.array([k]) for k in (0, 0, 5, 19)), ALL_PHASES
  )
  np.testing.assert_array_equal(nothing, 0)


def test_no_clips():
  none = np.zeros(0, np.int32)
  frames = np.zeros((0, 5, 4, 4, 3), np.uint8)
  assert rank_pooling.dynamic_images(frames, *[none] * 4).shape == (
    0,
    2,
    4,
    4,
    3,
  )


_FRAMES, _KEY = np.zeros((1, 3, 2, 2, 1), np.uint8), np.array([1])


@pytest.mark.parametrize(
  'change, message',
  [
    (
      {'kind': 'closed'},
      "'closed' is not known; .* rank, running_mean, linear",
    ),
    ({'order': 'random'}, "'random' is not known; .* time, motion_.*, both"),
    (
      {'order': 'both', 'frame_shape': (2, 3, 1)},
      r'frame_shape=\(2, 3, 1\): frames of 4 values .* by motion intensity',
    ),
    (
      {'order': 'both', 'frames': np.zeros((1, 3, 4))},
      r'frame_shape=\(4,\): .* expected their height, width and',
    ),
    (
      {'order': 'both', 'frames': np.zeros((1, 3, 2, 2, 2))},
      r'frame_shape=\(2, 2, 2\): .* number of channels, 1 or 3',
    ),
    ({'phases': ('apex_onset',)}, "'apex_onset' is not known; .* onset_apex"),
    ({'phases': 'onset_apex'}, "phases='onset_apex': expected a tuple"),
    ({'phases': ()}, 'expected a tuple'),
    (
      {'apex': np.array([1.0])},
      r'apex is float\S+ \(1,\); expected an array of',
    ),
    ({'apex': [1]}, 'apex is .*list'),
    ({'offset': np.array([1, 1])}, r'offset is int\S+ \(2,\)'),
    ({'lengths': np.int32(3)}, r'lengths is int32 \(\)'),
    ({'frames': _FRAMES[0]}, r'lengths is .* of shape \(3,\), one per clip'),
    ({'frames': _FRAMES[:, :0]}, 'one frame or more'),
    ({'frames': _FRAMES > 0}, r'frames are bool \(1, 3, 2, 2, 1\)'),
  ],
)
@pytest.mark.usefixtures('unchecked')
def test_wrong_arguments(change, message):
  arguments = {'frames': _FRAMES, 'lengths': np.array([3])}
  arguments |= dict.fromkeys(('onset', 'apex', 'offset'), _KEY)
  with pytest.raises(errors.UserError, match=message):
    rank_pooling.dynamic_images(**arguments | change)
