"""Approximate rank pooling: the motion of each phase as one signed image.

Source: Bilen et al., "Dynamic Image Networks for Action Recognition", CVPR
2016. For frames psi_1..psi_T and harmonic numbers H_t the dynamic image is

    d = sum_t alpha_t psi_t,
    alpha_t = 2 (T - t + 1) - (T + 1) (H_T - H_{t-1}).

The coefficients sum to 0, so d can be computed from differences to one frame:
the apex, which belongs to all phases. Differences to the source: coefficients
are computed in float64 and then rounded, and a phase of one frame gives 0 (no
motion), where the original MATLAB code gives the frame itself.
"""

from collections.abc import Callable, Mapping
import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Float64, Int, Integer, Num
import numpy as np

from dianet_jax.core import errors
from dianet_jax.core.arrays import AnyArray
from dianet_jax.motion import frame_sums
from dianet_jax.motion import motion_intensity as intensity_lib

# Phase -> its first and last key frame. Both belong to the phase, so the apex
# frame belongs to all phases.
PHASES = {
  'onset_apex': ('onset', 'apex'),
  'apex_offset': ('apex', 'offset'),
  'onset_offset': ('onset', 'offset'),
}


def coefficients(num_frames: int) -> Float64[np.ndarray, ' frame']:
  """The weights alpha_1..alpha_T of `num_frames` frames.

  Args:
    num_frames: T, at least 1.

  Returns:
    float64 [frame], summing to 0. Two frames have (-1/2, 1/2), one frame has 0.

  >>> coefficients(4).round(3).tolist()
  [-2.417, 0.583, 1.083, 0.75]

  Source: Bilen et al. (2016), eq. 6, in closed form.
  """
  t = np.arange(1, num_frames + 1)
  harmonic = np.concatenate([[0.0], np.cumsum(1.0 / t)])
  tail = harmonic[num_frames] - harmonic[:num_frames]
  return 2.0 * (num_frames - t + 1) - (num_frames + 1) * tail


def linear_coefficients(num_frames: int) -> Float64[np.ndarray, ' frame']:
  """The weights 2 t - T - 1, which are linear in time.

  They are often called rank pooling, but are equivalent to it only if applied
  to running means of the frames. Applied to frames, they weight both ends
  equally, whereas `coefficients` emphasises the first frame (the cosine
  similarity of both is .75 for T = 5 and .53 for T = 96).

  Args:
    num_frames: T, at least 1.

  Returns:
    float64 [frame], summing to 0.

  >>> linear_coefficients(4).tolist()
  [-3.0, -1.0, 1.0, 3.0]

  Source: Bilen et al. (2016), the derivation before eq. 6.
  """
  return 2.0 * np.arange(1, num_frames + 1) - num_frames - 1


def running_mean_coefficients(
  num_frames: int,
) -> Float64[np.ndarray, ' frame']:
  """The weight of each frame if linear weights are applied to running means.

  In sum_t (2 t - T - 1) V_t with V_t = (psi_1 + ... + psi_t) / t, the weight of
  psi_t is sum_{i >= t} (2 i - T - 1) / i. Most published code uses this form.
  It differs from `coefficients` only by rounding (2e-13 for T = 96).

  Args:
    num_frames: T, at least 1.

  Returns:
    float64 [frame], summing to 0.

  >>> np.allclose(running_mean_coefficients(4), coefficients(4))
  True

  Source: Bilen et al. (2016), eq. 5.
  """
  i = np.arange(1, num_frames + 1)
  return np.cumsum((linear_coefficients(num_frames) / i)[::-1])[::-1]


COEFFICIENTS: Mapping[str, Callable[[int], np.ndarray]] = {
  'rank': coefficients,
  'running_mean': running_mean_coefficients,
  'linear': linear_coefficients,
}

# Name -> criteria by which the frames of a phase are ranked, one for each of
# its images; see `dynamic_images`.
ORDERS: Mapping[str, tuple[str, ...]] = {
  'time': ('time',),
  'motion_intensity': ('motion_intensity',),
  'both': ('time', 'motion_intensity'),
}


@functools.lru_cache(maxsize=8)
def _table(max_frames: int, kind: str) -> Float32[np.ndarray, 'length frame']:
  """Row n has the coefficients of n frames, then zeros; 4 MB for 1,000 frames.

  The table is computed in float64 on the host. Evaluating the closed form in
  float32 on the device would have an error of 8e-4 for T = 1,000.
  """
  table = np.zeros((max_frames + 1, max_frames), np.float32)
  for n in range(1, max_frames + 1):
    table[n, :n] = COEFFICIENTS[kind](n)
  return table


def _rank_by_motion(intensity, inside):
  """Number of frames of the phase that moved less, [clip, phase, frame]."""
  intensity = jnp.where(inside, intensity[:, None], jnp.inf)
  # Both sorts are stable, so equal frames stay in temporal order.
  return jnp.argsort(jnp.argsort(intensity, axis=-1), axis=-1)


def frame_weights(
  num_frames: int,
  first: Int[AnyArray, 'clip phase'],
  last: Int[AnyArray, 'clip phase'],
  kind: str = 'rank',
  order: str = 'time',
  intensity: Float[AnyArray, 'clip frame'] | None = None,
) -> Float32[Array, 'clip view frame']:
  """Weight of each frame in the dynamic images of each phase.

  Args:
    num_frames: length of the frame axis.
    first: index of the first frame of each phase.
    last: index of the last frame, which belongs to the phase.
    kind: key of `COEFFICIENTS`.
    order: key of `ORDERS`.
    intensity: see `motion_intensity`; not needed for `order='time'`.

  Returns:
    float32 [clip, view, frame], 0 outside the phase. A view for each phase;
    with `order='both'` two, by time and by motion intensity.

  >>> first, last = jnp.array([[0]]), jnp.array([[2]])
  >>> frame_weights(4, first, last, 'linear').tolist()
  [[[-2.0, 0.0, 2.0, 0.0]]]
  >>> moved = jnp.array([[0.0, 5.0, 3.0, 9.0]])
  >>> frame_weights(4, first, last, 'linear', 'both', moved).tolist()
  [[[-2.0, 0.0, 2.0, 0.0], [-2.0, 2.0, 0.0, 0.0]]]
  """
  frame = jnp.arange(num_frames)[None, None]
  inside = (frame >= first[..., None]) & (frame <= last[..., None])
  table = jnp.asarray(_table(num_frames, kind))
  length = jnp.clip(last - first + 1, 0, num_frames)[..., None]
  weights = []
  for criterion in ORDERS[order]:
    if criterion == 'time':
      rank = frame - first[..., None]
    else:
      assert intensity is not None, 'frames are ranked by it'
      rank = _rank_by_motion(intensity, inside)
    ranked = table[length, jnp.clip(rank, 0, num_frames - 1)]
    weights.append(jnp.where(inside, ranked, 0))
  shape = len(first), first.shape[1] * len(weights), num_frames
  return jnp.stack(weights, axis=2).reshape(shape)


def _check_names(phases, kind, order):
  """Raises UserError for an unknown phase, kind or order."""
  if isinstance(phases, str) or not phases:
    raise errors.UserError(
      f'phases={phases!r}: expected a tuple of one or more of '
      + ', '.join(PHASES)
    )
  for name, known in (
    *((phase, PHASES) for phase in phases),
    (kind, COEFFICIENTS),
    (order, ORDERS),
  ):
    if name not in known:
      raise errors.UserError(
        f'Rank pooling: {name!r} is not known; expected one of '
        + ', '.join(known)
      )


def _key_frames(frames, lengths, **keys):
  """Key frames, int32 [clip], clipped to the clip; checks dtypes and shapes."""
  real = jnp.issubdtype(frames.dtype, jnp.integer) or jnp.issubdtype(
    frames.dtype, jnp.floating
  )
  if frames.ndim < 2 or not frames.shape[1] or not real:
    raise errors.UserError(
      f'frames are {frames.dtype} {frames.shape}; expected uint8 or float32'
      ' [clip, frame, height, width, channel] with one frame or more.'
    )
  for name, key in {'lengths': lengths, **keys}.items():
    dtype = getattr(key, 'dtype', type(key))
    whole = hasattr(key, 'dtype') and jnp.issubdtype(dtype, jnp.integer)
    if not whole or key.shape != frames.shape[:1]:
      raise errors.UserError(
        f'{name} is {dtype} {getattr(key, "shape", "")}; expected an array of'
        f' integers of shape {frames.shape[:1]}, one per clip.'
      )
  end = jnp.minimum(lengths.astype(jnp.int32), frames.shape[1]) - 1
  return {
    name: jnp.clip(key.astype(jnp.int32), 0, end) for name, key in keys.items()
  }


@functools.partial(
  jax.jit, static_argnames=('phases', 'kind', 'order', 'frame_shape')
)
def dynamic_images(
  frames: Num[AnyArray, 'clip frame *image'],
  lengths: Integer[AnyArray, ' clip'],
  onset: Integer[AnyArray, ' clip'],
  apex: Integer[AnyArray, ' clip'],
  offset: Integer[AnyArray, ' clip'],
  phases: tuple[str, ...] = ('onset_apex', 'apex_offset'),
  kind: str = 'rank',
  order: str = 'time',
  frame_shape: tuple[int, ...] = (),
) -> Float[Array, 'clip view *image']:
  """Computes the dynamic images of all phases of clips.

  Sums are accumulated in float32, by the fastest implementation for the
  platform (see `frame_sums`), without a float copy of uint8 frames. Works under
  jit, vmap and pmap; a clip axis is faster than vmap. Differentiable once, in
  reverse mode, with respect to float frames. Intended for up to about 1,000
  frames, because a table grows with their square; for longer clips use
  `streaming`.

  Args:
    frames: uint8 or float [clip, frame, height, width, channel], grey levels;
      shorter clips are padded at the end. Frames outside a phase do not affect
      it, except for the onset in an order by motion intensity. On a TPU, pass
      [clip, frame, pixel], flattened before it is put on the device (free in
      NumPy); flattening on the device takes eight times as long as the sums.
    lengths: integers [clip], number of frames without padding. A key frame
      beyond it is replaced by the last frame; if it is 0, images are 0.
    onset: integers [clip], index into the frame axis, from 0.
    apex: integers [clip], onset <= apex. A phase that ends before it begins
      gives 0.
    offset: integers [clip], apex <= offset < length; the frame belongs to the
      phase.
    phases: keys of `PHASES`, in the order of the result.
    kind: key of `COEFFICIENTS`; the default is approximate rank pooling.
    order: criterion by which the frames of a phase are ranked. 'time' is rank
      pooling, the temporal-ranked dynamic image of the second source.
      'motion_intensity' is its motion-intensity dynamic image: frames are
      sorted by ascending `motion_intensity.motion_intensity`, and equal ones
      stay in temporal order. It reads the frames once more, and copies them on
      a TPU. 'both' gives two images of each phase, first that by time. The
      second source states this reordering; the measure is ours.
    frame_shape: height, width and channel of a frame, if frames are flattened;
      not needed for `order='time'`.

  Returns:
    float32 [clip, view, ...] with the axes of a frame, signed, in grey levels;
    a view for each phase, or two with `order='both'`; exactly 0 for a static
    clip and for a phase of one frame.

  Raises:
    UserError: a phase, kind or order is unknown, or an array or `frame_shape`
      has the wrong dtype or shape.

  In the example, a clip of one pixel brightens from 10 to 30:

  >>> frames = np.array([10, 30, 30], np.uint8).reshape(1, 3, 1, 1, 1)
  >>> key = lambda index: np.array([index])
  >>> dynamic_images(frames, key(3), key(0), key(1), key(2)).ravel().tolist()
  [10.0, 0.0]

  Source: Bilen et al., CVPR 2016; Man et al., arXiv 2510.09730.
  """
  _check_names(phases, kind, order)
  keys = _key_frames(frames, lengths, onset=onset, apex=apex, offset=offset)
  first, last = (
    jnp.stack([keys[PHASES[phase][end]] for phase in phases], axis=-1)
    for end in (0, 1)
  )
  num_clips, num_frames, *image = frames.shape
  # Flattened, because a last axis of 3 channels is padded to 128 on a TPU.
  frames = frames.reshape(num_clips, num_frames, math.prod(image))
  intensity = None
  if order != 'time':
    intensity = intensity_lib.motion_intensity(
      jax.lax.stop_gradient(frames), keys['onset'], frame_shape or tuple(image)
    )
  weights = frame_weights(num_frames, first, last, kind, order, intensity)
  sums = frame_sums.frame_sums(frames, weights, keys['apex'])
  return sums.reshape(num_clips, weights.shape[1], *image)
