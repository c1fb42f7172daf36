"""Streaming rank pooling equals that of the complete clip."""

import hypothesis
from hypothesis import strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.core import errors
from dianet_jax.motion import rank_pooling, streaming


def pool(frames, cuts=()):
  stream = streaming.start(frames[0])
  for chunk in np.split(frames[1:], sorted(cuts)):
    stream = streaming.add(stream, chunk)
  return stream


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(
  seed=st.integers(0, 2**32 - 1),
  num_frames=st.integers(1, 60),
  levels=st.integers(1, 255),
  cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_equals_the_closed_form(seed, num_frames, levels, cuts):
  rng = np.random.default_rng(seed)
  frames = rng.integers(255 - levels, 256, (num_frames, 3, 4, 1), np.uint8)
  expected = np.tensordot(
    rank_pooling.coefficients(num_frames), frames.astype(np.float64), 1
  )
  whole, parts = pool(frames), pool(frames, cuts)
  assert int(parts.num_frames) == num_frames
  np.testing.assert_array_equal(parts.dynamic_image, whole.dynamic_image)
  error = np.abs(whole.dynamic_image - expected).max()
  assert error <= 1e-5 * np.abs(expected).max()


def test_a_long_clip_of_weak_motion():
  rng = np.random.default_rng(0)
  base = rng.integers(100, 250, (1, 8, 8, 3))
  frames = (base + rng.integers(0, 2, (1000, 8, 8, 3))).astype(np.uint8)
  expected = np.tensordot(
    rank_pooling.coefficients(1000), frames.astype(np.float64), 1
  )
  error = np.abs(pool(frames, [300, 307]).dynamic_image - expected).max()
  assert error <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_a_static_clip_is_exactly_zero(dtype):
  stream = pool(np.full((500, 4, 4, 3), 251, dtype), [100])
  np.testing.assert_array_equal(stream.dynamic_image, 0)


def test_the_image_can_be_read_before_the_end():
  frames = np.random.default_rng(1).integers(0, 256, (30, 4, 4, 3), np.uint8)
  halfway = np.asarray(pool(frames[:12]).dynamic_image)
  stream = pool(frames, [11])
  np.testing.assert_array_equal(
    np.asarray(pool(frames[:12]).dynamic_image), halfway
  )
  assert np.abs(stream.dynamic_image - halfway).max() > 1


def test_the_first_frame_is_not_given_away():
  frame = jnp.full((2, 2, 1), 7.0)
  streaming.add(streaming.start(frame), frame[None])
  np.testing.assert_array_equal(frame, 7)


@pytest.mark.parametrize(
  'shape', [(4, 4, 3), (2, 4, 4, 1), (0, 9, 9), (4,)], ids=str
)
def test_frames_of_another_shape(shape):
  stream = streaming.start(np.zeros((4, 4, 3), np.uint8))
  with pytest.raises(errors.UserError, match=r'frame\[None\]'):
    streaming.add(stream, np.zeros(shape, np.uint8))
