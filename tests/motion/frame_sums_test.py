"""Every platform's form against float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.motion import frame_sums, rank_pooling

# Name -> a form that runs on any platform.
FORMS = {
  'cpu': frame_sums.cpu,
  'gpu': frame_sums.gpu,
  'tpu': functools.partial(frame_sums.tpu, interpret=True),
  'tpu bfloat16': functools.partial(
    frame_sums.tpu, matrix_dtype=jnp.bfloat16, interpret=True
  ),
}
# Clips, frames, pixels: none fills its blocks but the last.
SHAPES = [(3, 1, 126), (1, 2, 1), (5, 33, 294), (2, 70, 126), (2, 64, 256)]


@pytest.fixture(params=FORMS)
def form(request):
  return jax.jit(FORMS[request.param])


def _weights(clips, num_frames):
  """Both phases' float64 weights and the apex, another one in each clip."""
  apexes = np.linspace(0, num_frames - 1, clips).astype(np.int32)
  weights = np.zeros((clips, 2, num_frames))
  for apex, (before, after) in zip(apexes, weights):
    before[: apex + 1] = rank_pooling.coefficients(apex + 1)
    after[apex:] = rank_pooling.coefficients(num_frames - apex)
  return weights, apexes


def _expected(frames, weights, reference):
  frames = frames.astype(np.float64)
  motion = frames - frames[np.arange(len(frames)), reference][:, None]
  return np.einsum('ckt,ctp->ckp', weights, motion)


def _assert_close(actual, expected):
  largest = np.abs(expected).max()
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * largest)


def _weak_motion(shape, base=200, seed=0):
  noise = np.random.default_rng(seed).integers(0, 2, shape, np.uint8)
  return noise + np.uint8(base)


@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_sums_equal_float64(form, shape):
  frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  weights, apexes = _weights(*shape[:2])
  actual = form(frames, weights.astype(np.float32), apexes)
  _assert_close(actual, _expected(frames, weights, apexes))


@pytest.mark.parametrize('base', [0, 100, 250])
@pytest.mark.parametrize('num_frames', [64, 1000])
def test_motion_of_one_grey_level_is_kept(form, base, num_frames):
  frames = _weak_motion((2, num_frames, 126), base)
  weights, apexes = _weights(2, num_frames)
  actual = form(frames, weights.astype(np.float32), apexes)
  _assert_close(actual, _expected(frames, weights, apexes))


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('num_frames', [1, 2, 77, 1000])
def test_static_clip_is_exactly_zero(form, num_frames, dtype):
  still = np.random.default_rng(0).integers(0, 256, (3, 1, 130))
  frames = np.repeat(still, num_frames, axis=1).astype(dtype)
  weights, apexes = _weights(3, num_frames)
  assert not np.any(form(frames, weights.astype(np.float32), apexes))


def test_weights_may_have_any_sum_and_size(form):
  random = np.random.default_rng(0)
  weights = (
    random.normal(size=(4, 3, 20)) * np.logspace(-6, 6, 4)[:, None, None]
  )
  weights[:, 1] = 0.0
  reference = np.array([0, 19, 7, 7], np.int32)
  frames = random.integers(0, 256, (4, 20, 130), np.uint8)
  actual = form(frames, weights.astype(np.float32), reference)
  for clip, expected in zip(actual, _expected(frames, weights, reference)):
    _assert_close(clip, expected)
    assert not np.any(clip[1])


@pytest.mark.parametrize('padding', [np.nan, np.inf, -np.inf])
def test_frames_of_weight_zero_have_no_influence(form, padding):
  weights, apexes = _weights(2, 20)
  weights = np.pad(weights, ((0, 0), (0, 0), (2, 3))).astype(np.float32)
  frames = np.random.default_rng(0).uniform(0, 255, (2, 25, 126))
  frames = frames.astype(np.float32)
  expected = _expected(frames, weights, apexes + 2)
  frames[:, :2] = padding
  frames[:, -3:] = padding
  _assert_close(form(frames, weights, apexes + 2), expected)


@pytest.mark.slow
def test_vmap_and_pmap_equal_the_batched_call(form):
  shape = (4, 3, 20, 130)
  frames = _weak_motion(shape)
  weights, apexes = _weights(3, 20)
  weights = weights.astype(np.float32)
  expected = [form(batch, weights, apexes) for batch in frames]
  batched = jax.vmap(form, in_axes=(0, None, None))
  np.testing.assert_array_equal(batched(frames, weights, apexes), expected)
  split = jax.pmap(form, in_axes=(0, None, None))
  np.testing.assert_array_equal(split(frames, weights, apexes), expected)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_gradient_is_the_weights_closed_at_the_reference(
  monkeypatch, form, dtype
):
  monkeypatch.setattr(frame_sums, '_by_platform', form)
  weights, apexes = _weights(2, 9)
  weights[0, 1, 8] += 1.0
  closed = weights.copy()
  for clip, apex in enumerate(apexes):
    closed[clip, :, apex] -= weights[clip].sum(-1)
  upstream = np.random.default_rng(0).normal(size=(2, 2, 126))

  def loss(frames):
    sums = frame_sums.frame_sums(frames, weights.astype(np.float32), apexes)
    return jnp.sum(sums * upstream.astype(np.float32))

  gradient = jax.grad(loss)(jnp.ones((2, 9, 126), dtype))
  assert gradient.dtype == dtype
  expected = np.einsum('ckt,ckp->ctp', closed, upstream)
  tolerance = 1e-5 if dtype == jnp.float32 else 1e-2
  np.testing.assert_allclose(
    gradient.astype(jnp.float32), expected, atol=tolerance * expected.max()
  )


def test_gradient_ignores_padding_of_nan():
  weights, apexes = _weights(1, 5)
  weights = np.pad(weights, ((0, 0), (0, 0), (0, 1))).astype(np.float32)
  frames = np.ones((1, 6, 126), np.float32)
  frames[:, -1] = np.nan

  def loss(frames):
    return frame_sums.frame_sums(frames, weights, apexes).sum()

  gradient = jax.grad(loss)(frames)
  assert np.all(np.isfinite(gradient))
  assert not np.any(gradient[:, -1])


def test_weights_are_constants_for_uint8_frames():
  weights, apexes = _weights(1, 5)
  frames = _weak_motion((1, 5, 126))

  def loss(weights):
    return frame_sums.frame_sums(frames, weights, apexes).sum()

  assert not np.any(jax.grad(loss)(weights.astype(np.float32)))


@pytest.mark.parametrize(
  'platform, form, others',
  [
    ('tpu', 'tpu_custom_call', ['stablehlo.while']),
    ('cuda', 'stablehlo.reduce', ['tpu_custom_call', 'stablehlo.while']),
    ('cpu', 'stablehlo.while', ['tpu_custom_call']),
  ],
)
def test_each_platform_is_lowered_to_its_own_form(platform, form, others):
  weights, apexes = _weights(3, 20)
  text = (
    jax.jit(frame_sums.frame_sums)
    .trace(_weak_motion((3, 20, 130)), weights.astype(np.float32), apexes)
    .lower(lowering_platforms=(platform,))
    .as_text()
  )
  assert form in text
  assert not [other for other in others if other in text]


def test_public_function_runs_here_under_jit_vmap_and_pmap():
  frames = _weak_motion((4, 3, 20, 130))
  weights, apexes = _weights(3, 20)
  expected = [_expected(batch, weights, apexes) for batch in frames]
  arguments = (weights.astype(np.float32), apexes)
  for wrap in (jax.vmap, jax.pmap):
    wrapped = wrap(frame_sums.frame_sums, in_axes=(0, None, None))
    _assert_close(wrapped(frames, *arguments), np.stack(expected))


@pytest.mark.parametrize('num_frames', [1, 64, 1000, 9000])
@pytest.mark.parametrize('pixels', [1, 126, 224 * 224 * 3])
def test_a_block_is_a_multiple_of_a_register_and_fits(num_frames, pixels):
  columns = frame_sums.block_pixels(num_frames, pixels)
  assert columns % 128 == 0
  assert columns == 128 or columns * num_frames <= 2**20
  assert columns < pixels + 128
