"""Weighted sums over the frames of clips: the one loop that must be fast.

    sums[clip, phase] = sum_t weights[clip, phase, t] (frame_t - frame_apex)

A read of the frames is all that this should cost, whatever the number of
phases. Each platform has a form of its own, chosen when the call is lowered.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int, Num

# Frames that one pass of the CPU's loop adds up: sixteen streams are what its
# prefetchers follow (20 or more: a fifth of the speed).
_CHUNK = 16


def cpu(
  frames: Num[Array, 'clip frame pixel'],
  weights: Float32[Array, 'clip phase frame'],
  keys: Int[Array, 'clip 3'],
  covers: tuple[tuple[int, ...], ...],
) -> Float32[Array, 'clip phase pixel']:
  """A loop over clips around loops over chunks of frames."""
  num_clips, num_frames, num_pixels = frames.shape
  num_phases = weights.shape[1]

  def frame(clip, t):
    # Straight out of the batch: a slice of the clip would be a copy of it.
    start = (clip, t, 0)
    image = jax.lax.dynamic_slice(frames, start, (1, 1, num_pixels))
    return image.reshape(num_pixels).astype(jnp.float32)

  def add_chunk(sums, clip, reference, first, last, size, phases):
    """`sums` plus `size` frames from `first` on, as far as `last`."""
    sums = list(sums)
    for t in [first + i for i in range(size)]:
      inside = t <= last
      motion = frame(clip, t) - reference
      if not jnp.issubdtype(frames.dtype, jnp.integer):
        # What lies outside may be anything: 0 x NaN would not be 0.
        motion = jnp.where(inside, motion, 0)
      for i, phase in enumerate(phases):
        weight = jnp.where(inside, weights[clip, phase, t], 0)
        sums[i] = sums[i] + weight * motion
    return tuple(sums)

  def segment(sums, clip, reference, first, last, phases):
    def chunk(i, sums):
      start = first + i * _CHUNK
      return add_chunk(sums, clip, reference, start, last, _CHUNK, phases)

    # The first chunk, which may be cut short, needs no zeros to add to.
    whole = jnp.maximum((last - first + 1) // _CHUNK, 1)
    sums = jax.lax.fori_loop(1, whole, chunk, chunk(0, sums))
    return jax.lax.fori_loop(
      first + whole * _CHUNK,
      last + 1,
      lambda t, s: add_chunk(s, clip, reference, t, last, 1, phases),
      sums,
    )

  def add_clip(clip, result):
    reference = frame(clip, keys[clip, 1])
    sums = [0.0] * num_phases
    for index, phases in enumerate(covers):
      if phases:
        added = segment(
          tuple(sums[p] for p in phases),
          clip,
          reference,
          keys[clip, index],
          keys[clip, index + 1],
          phases,
        )
        for phase, total in zip(phases, added, strict=True):
          sums[phase] = total
    for phase, total in enumerate(sums):
      result = jax.lax.dynamic_update_slice(
        result, total[None, None], (clip, phase, 0)
      )
    return result

  shape = (num_clips, num_phases, num_pixels)
  return jax.lax.fori_loop(0, num_clips, add_clip, jnp.zeros(shape))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def frame_sums(
  frames: Num[Array, 'clip frame pixel'],
  weights: Float32[Array, 'clip phase frame'],
  keys: Int[Array, 'clip 3'],
  covers: tuple[tuple[int, ...], ...],
) -> Float32[Array, 'clip phase pixel']:
  """Weighted sums of each frame's difference from the apex frame.

  Args:
    frames: uint8 or float. Where a weight is 0 outside of its phase the frame
      may hold anything.
    weights: 0 outside of the phase. Not differentiated.
    keys: onset, apex and offset, indices into the frame axis.
    covers: the phases that cover onset to apex, and those that cover apex to
      offset; the apex itself adds 0 and may be met twice.

  Returns:
    float32, exactly 0 where no frame of a phase differs from the apex.
  """
  return cpu(frames, weights, keys, covers)


def _forward(frames, weights, keys, covers):
  # Of the frames only the type is needed.
  residuals = weights, keys, frames[:0]
  return frame_sums(frames, weights, keys, covers), residuals


def _backward(covers, residuals, gradient):
  """The sums are linear in the frames: their weights again."""
  del covers
  weights, keys, frames = residuals
  if jnp.issubdtype(frames.dtype, jnp.integer):
    return None, None, None
  apex = jax.nn.one_hot(keys[:, 1], weights.shape[2])[:, None]
  weights -= apex * weights.sum(axis=2, keepdims=True)
  frames_gradient = jnp.einsum(
    'ckt,ckp->ctp', weights, gradient, precision='highest'
  )
  return frames_gradient.astype(frames.dtype), None, None


frame_sums.defvjp(_forward, _backward)
