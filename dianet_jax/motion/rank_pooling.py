"""Approximate rank pooling: a clip's motion as one signed image a phase.

Source: Bilen et al., "Dynamic Image Networks for Action Recognition", CVPR
2016. For frames psi_1..psi_T and harmonic numbers H_t the dynamic image is

    d = sum_t alpha_t psi_t,
    alpha_t = 2 (T - t + 1) - (T + 1) (H_T - H_{t-1}).

The coefficients sum to 0, so d is computed on the frames' difference from one
frame: the apex, which lies in every phase. Departures from the source: the
coefficients are made in float64 and only then rounded, and a phase of one
frame gives 0 (no motion) where the MATLAB original gives the bare frame.
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

# Phase -> the key frames it runs between. Both ends belong to the phase, so
# the apex frame belongs to all of them.
PHASES = {
  'onset_apex': ('onset', 'apex'),
  'apex_offset': ('apex', 'offset'),
  'onset_offset': ('onset', 'offset'),
}


def coefficients(num_frames: int) -> Float64[np.ndarray, ' frame']:
  """The weights alpha_1..alpha_T of `num_frames` frames.

  They sum to 0 for two frames or more; two frames give (-1/2, 1/2), one
  frame gives 0.

  Args:
    num_frames: T, at least 1.

  Returns:
    float64 [frame].

  >>> coefficients(4).round(3).tolist()
  [-2.417, 0.583, 1.083, 0.75]

  Source: Bilen et al. (2016), eq. 6, in closed form.
  """
  t = np.arange(1, num_frames + 1)
  harmonic = np.concatenate([[0.0], np.cumsum(1.0 / t)])
  tail = harmonic[num_frames] - harmonic[:num_frames]
  return 2.0 * (num_frames - t + 1) - (num_frames + 1) * tail


def linear_coefficients(num_frames: int) -> Float64[np.ndarray, ' frame']:
  """2 t - T - 1: linear in time, on the frames themselves.

  Often called rank pooling. It is so only on running means of the frames; on
  the frames it leans on both ends alike, where the default leans on the first
  frame (cosine between the two: .75 at T = 5, .53 at T = 96).

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
  """The linear weights on running means, gathered frame by frame.

  sum_t (2 t - T - 1) V_t with V_t = (psi_1 + ... + psi_t) / t has psi_t with
  the weight sum_{i >= t} (2 i - T - 1) / i. That is the form most published
  code sums up. It differs from the default by rounding alone (2e-13 at
  T = 96).

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

# What the rank of a frame within its phase is counted by; see `dynamic_images`.
ORDERS = ('time', 'motion_intensity')


@functools.lru_cache(maxsize=8)
def _table(max_frames: int, kind: str) -> Float32[np.ndarray, 'length frame']:
  """Row n: the coefficients of n frames, then zeros. 4 MB for 1,000 frames.

  A table made in float64 on the host is exact where the closed form evaluated
  in float32 inside the kernel loses 8e-4 at T = 1,000.
  """
  table = np.zeros((max_frames + 1, max_frames), np.float32)
  for n in range(1, max_frames + 1):
    table[n, :n] = COEFFICIENTS[kind](n)
  return table


def _rank_by_motion(frames, first, inside):
  """int32 [clip, phase, frame]: how many frames of the phase moved less."""
  start = jnp.take_along_axis(frames, first[:, :, None], axis=1)
  # Whole numbers are added faster, and exactly.
  whole = jnp.issubdtype(frames.dtype, jnp.integer)
  dtype = jnp.int32 if whole else jnp.float32

  # Frame by frame: the differences of all of them would be a copy.
  def intensity(t):
    frame = jax.lax.dynamic_slice_in_dim(frames, t, 1, axis=1)
    return jnp.abs(frame.astype(dtype) - start.astype(dtype)).sum(axis=2)

  moved = jax.lax.map(intensity, jnp.arange(frames.shape[1]))
  moved = jnp.moveaxis(moved, 0, 2).astype(jnp.float32)
  moved = jnp.where(inside, moved, jnp.inf)
  # Equal frames keep their order in time: both sorts are stable.
  return jnp.argsort(jnp.argsort(moved, axis=-1), axis=-1)


def frame_weights(
  frames: Num[AnyArray, 'clip frame pixel'],
  first: Int[AnyArray, 'clip phase'],
  last: Int[AnyArray, 'clip phase'],
  kind: str = 'rank',
  order: str = 'time',
) -> Float32[Array, 'clip phase frame']:
  """What every frame counts in the dynamic image of a phase.

  Args:
    frames: of these `order` may need the motion.
    first: index of each phase's first frame.
    last: of its last, which belongs to it.
    kind: which of `COEFFICIENTS`.
    order: which of `ORDERS`.

  Returns:
    float32 [clip, phase, frame], 0 outside of the phase.

  >>> first, last = jnp.array([[0]]), jnp.array([[2]])
  >>> frame_weights(jnp.zeros((1, 4, 1)), first, last, 'linear').tolist()
  [[[-2.0, 0.0, 2.0, 0.0]]]
  """
  frame = jnp.arange(frames.shape[1])[None, None]
  inside = (frame >= first[..., None]) & (frame <= last[..., None])
  if order == 'time':
    rank = frame - first[..., None]
  else:
    rank = _rank_by_motion(jax.lax.stop_gradient(frames), first, inside)
  table = jnp.asarray(_table(frames.shape[1], kind))
  length = jnp.clip(last - first + 1, 0, frames.shape[1])[..., None]
  weights = table[length, jnp.clip(rank, 0, frames.shape[1] - 1)]
  return jnp.where(inside, weights, 0)


def _check_names(phases, kind, order):
  """UserError for what is not in `PHASES`, `COEFFICIENTS` or `ORDERS`."""
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
        f'{name!r} is not known to rank pooling; expected one of '
        + ', '.join(known)
      )


def _key_frames(frames, lengths, **keys):
  """int32 [clip] each, within the clip; UserError for what is no clip."""
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
        f' integers of shape {frames.shape[:1]}, one a clip.'
      )
  end = jnp.minimum(lengths.astype(jnp.int32), frames.shape[1]) - 1
  return {
    name: jnp.clip(key.astype(jnp.int32), 0, end) for name, key in keys.items()
  }


@functools.partial(jax.jit, static_argnames=('phases', 'kind', 'order'))
def dynamic_images(
  frames: Num[AnyArray, 'clip frame *image'],
  lengths: Integer[AnyArray, ' clip'],
  onset: Integer[AnyArray, ' clip'],
  apex: Integer[AnyArray, ' clip'],
  offset: Integer[AnyArray, ' clip'],
  phases: tuple[str, ...] = ('onset_apex', 'apex_offset'),
  kind: str = 'rank',
  order: str = 'time',
) -> Float[Array, 'clip phase *image']:
  """Dynamic images of every phase of every clip, in one pass over the frames.

  Accumulated in float32, by the form that is fastest on the platform (see
  `frame_sums`, which says what one pass means where), without a float copy of
  uint8 frames. Works under jit, vmap and pmap; an axis of clips is faster than
  vmap. Differentiable once, in reverse, with respect to float frames. For about
  1,000 frames at most: a table grows with their square. Longer: `streaming`.

  Args:
    frames: uint8 or float [clip, frame, height, width, channel], grey levels,
      clips of unequal length padded at the end. What lies outside a phase has
      no influence on it. On a TPU hand in [clip, frame, pixel], flattened
      before it is put on the device (free in NumPy): to flatten it there costs
      eight times what the sums do.
    lengths: integers [clip], frames that are not padding. A key frame beyond
      them counts as the last of them; without any the images are 0.
    onset: integers [clip], index into the frame axis, from 0.
    apex: integers [clip], onset <= apex. A phase that ends before it begins is
      0.
    offset: integers [clip], apex <= offset < length; belongs to the phase.
    phases: which of `PHASES`, in the order wanted.
    kind: which of `COEFFICIENTS`; the default is approximate rank pooling.
    order: what ranks the frames of a phase. 'time' is rank pooling, the
      temporal-ranked dynamic image of the second source. 'motion_intensity'
      ranks them by their mean absolute difference from the phase's first
      frame, so that "late" means "moved far". It reads the frames once more a
      phase, and on a TPU it copies them.
      The second source states the reordering; the measure is ours.

  Returns:
    float32 [clip, phase, ...] with the axes of a frame, signed, in grey
    levels; a static clip and a phase of one frame give exactly 0.

  Raises:
    UserError: an unknown phase, kind or order; frames that are no clips of
      real numbers; key frames that are not an integer a clip.

  One clip of one pixel, which brightens from 10 to 30 and stays:

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
  # Flat: on a TPU a trailing axis of three channels would fill 128 lanes.
  frames = frames.reshape(num_clips, num_frames, math.prod(image))
  sums = frame_sums.frame_sums(
    frames, frame_weights(frames, first, last, kind, order), keys['apex']
  )
  return sums.reshape(num_clips, len(phases), *image)
