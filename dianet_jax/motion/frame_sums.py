"""Weighted sums over the frames of clips, as fast as the frames can be read.

    sums[c, k] = sum_t weights[c, k, t] * (frames[c, t] - frames[c, reference])

Subtracting a frame of the clip makes weak motion on a bright background exact,
and the result for a static clip exactly 0. Each platform has its own
implementation, which `frame_sums` selects during lowering.

Pixels are one flat axis, height * width * channel, because a last axis of 3
channels is padded to 128 on a TPU.
"""

from collections.abc import Callable
import functools

import jax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int, Num

from dianet_jax.core.arrays import AnyArray

Frames = Num[AnyArray, 'clip frame pixel']
Weights = Float32[AnyArray, 'clip phase frame']
Reference = Int[AnyArray, ' clip']
Sums = Float32[Array, 'clip phase pixel']

# Frames added in one iteration of the CPU loop. More than one, so that the sums
# are not read and written for each frame. 16 are as fast for long clips and
# slower for short ones; with 20 or more, the speed drops to a fifth.
_CHUNK = 8
# Bytes of frames per step of the TPU kernel; two steps are in flight. Large
# enough to hide the fixed cost of a step, and small enough that the first step,
# which cannot be hidden, does not matter.
_BLOCK_BYTES = 2**20
_LANES = 128
_ROWS = 32  # Rows of 8-bit numbers in a register.
# A weight is a signed integer of 22 bits, in three digits of 8 bits.
_WEIGHT_BITS = 22
# Their matrix unit does not support int8; bfloat16 is correct on all chips.
_TPUS_WITHOUT_INT8 = ('TPU v2', 'TPU v3', 'TPU v4')


def frame_sums(frames: Frames, weights: Weights, reference: Reference) -> Sums:
  """Weighted sums of the differences between frames and a reference frame.

  Works under jit, vmap and pmap. Differentiable once, in reverse mode, with
  respect to float frames; weights are constants with gradient 0. The uint8
  frames are read once on a TPU, once per two phases on a GPU, and once per
  phase, only within the phase, on a CPU.

  Args:
    frames: uint8 or float32 [clip, frame, pixel], grey levels. Other dtypes are
      converted to float32.
    weights: float32 [clip, phase, frame]. A frame with weight 0 does not affect
      the phase, even if it contains NaN.
    reference: int32 [clip], index of a frame without NaN.

  Returns:
    float32 [clip, phase, pixel], grey levels; exactly 0 for a static clip.

  >>> frames = jnp.array([[[10], [13]]], jnp.uint8)
  >>> frame_sums(frames, jnp.array([[[-1.0, 1.0]]]), jnp.array([0])).tolist()
  [[[3.0]]]
  """
  if not frames.size:
    return jnp.zeros((*weights.shape[:2], frames.shape[2]), jnp.float32)
  weights = jax.lax.stop_gradient(weights)
  if frames.dtype == jnp.uint8:
    return _by_platform(frames, weights, reference)
  return _float_sums(frames.astype(jnp.float32), weights, reference)


def _by_platform(frames, weights, reference):
  return jax.lax.platform_dependent(
    frames, weights, reference, default=cpu, tpu=tpu, cuda=gpu, rocm=gpu
  )


@jax.custom_vjp
def _float_sums(frames, weights, reference):
  return _by_platform(frames, weights, reference)


def _float_sums_forward(frames, weights, reference):
  return _by_platform(frames, weights, reference), (weights, reference)


def _float_sums_backward(residuals, gradient):
  weights, reference = residuals
  # The reference frame is subtracted from all frames.
  folded = weights - jnp.where(
    _is_reference(weights, reference), weights.sum(-1, keepdims=True), 0
  )
  gradient = jnp.einsum(
    'ckt,ckp->ctp', folded, gradient, precision=jax.lax.Precision.HIGHEST
  )
  return gradient, None, None


_float_sums.defvjp(_float_sums_forward, _float_sums_backward)


def _is_reference(weights, reference):
  """Mask, bool [clip, 1, frame]: True at the clip's reference frame."""
  frame = jnp.arange(weights.shape[-1])
  return (frame == reference[:, None])[:, None]


def _motion(frames, reference):
  """Frames minus reference, float32 [clip, frame, pixel], to be fused."""
  first = jnp.take_along_axis(frames, reference[:, None, None], axis=1)
  return frames.astype(jnp.float32) - first.astype(jnp.float32)


def cpu(frames: Frames, weights: Weights, reference: Reference) -> Sums:
  """The sums as loops over clips, phases and chunks of the phase's frames.

  Args and Returns: see `frame_sums`.
  """
  frames, weights = jnp.asarray(frames), jnp.asarray(weights)
  reference = jnp.asarray(reference, jnp.int32)
  num_clips, num_frames, num_pixels = frames.shape
  num_phases = weights.shape[1]
  used = weights != 0
  first = jax.lax.argmax(used, 2, jnp.int32)
  last = num_frames - 1 - jax.lax.argmax(used[..., ::-1], 2, jnp.int32)
  length = jnp.where(used.any(axis=2), last - first + 1, 0)
  # A chunk may extend beyond the last frame.
  weights = jnp.pad(weights, ((0, 0), (0, 0), (0, _CHUNK)))

  def frame(clip, t):
    # Sliced from the batch, because slicing the clip would copy it.
    start = clip, jnp.int32(t), jnp.int32(0)
    image = jax.lax.dynamic_slice(frames, start, (1, 1, num_pixels))
    return image.reshape(num_pixels).astype(jnp.float32)

  def add_clip(clip, sums):
    clip = jnp.int32(clip)
    start = frame(clip, reference[clip])
    for phase in range(num_phases):

      def add(total, t, phase=phase):
        weight, motion = weights[clip, phase, t], frame(clip, t) - start
        if not jnp.issubdtype(frames.dtype, jnp.integer):
          # 0 x NaN would not be 0.
          motion = jnp.where(weight != 0, motion, 0)
        return total + weight * motion

      image = _add_frames(add, first[clip, phase], length[clip, phase])
      sums = jax.lax.dynamic_update_slice(
        sums, image[None, None], (clip, jnp.int32(phase), jnp.int32(0))
      )
    return sums

  shape = (num_clips, num_phases, num_pixels)
  start = jnp.zeros(shape, jnp.float32)
  return jax.lax.fori_loop(0, num_clips, add_clip, start)


def _add_frames(add: Callable, first: jax.Array, length: jax.Array) -> Array:
  """Folds `add(total, t)` over `length` frames from `first`, in chunks."""

  def add_chunk(total, t):
    for t in [t + i for i in range(_CHUNK)]:
      total = add(total, t)
    return total

  # Starts from the first chunk instead of zeros.
  chunks = jnp.maximum(length // _CHUNK, 1)
  total = jax.lax.fori_loop(
    1,
    chunks,
    lambda i, total: add_chunk(total, first + i * _CHUNK),
    add_chunk(0.0, first),
  )
  return jax.lax.fori_loop(
    first + chunks * _CHUNK,
    first + length,
    lambda t, total: add(total, t),
    total,
  )


def gpu(frames: Frames, weights: Weights, reference: Reference) -> Sums:
  """The sums as reductions over the products of two phases at once.

  Separate reductions would read the frames once per phase. A matrix product
  would write them as floats, and so would a reduction over three phases, which
  XLA does not fuse.

  Args and Returns: see `frame_sums`.
  """
  motion = _motion(frames, reference)
  products = [
    jnp.where(weight != 0, weight * motion, 0)
    for weight in jnp.moveaxis(weights, 1, 0)[..., None]
  ]
  zero = jnp.zeros((), jnp.float32)
  sums = []
  for first in range(0, len(products), 2):
    pair = products[first : first + 2]
    sums += jax.lax.reduce(
      pair,
      [zero] * len(pair),
      lambda a, b: [x + y for x, y in zip(a, b)],
      [1],
    )
  return jnp.stack(sums, axis=1)


def tpu(
  frames: Frames,
  weights: Weights,
  reference: Reference,
  matrix_dtype: jnp.dtype | None = None,
  interpret: bool = False,
) -> Sums:
  """The sums in integers on the matrix unit, as a Pallas kernel.

  Weights become signed integers in three digits of 8 bits, whose sum over
  frames is exactly 0. Products and sums are exact, and pixels need no
  conversion, which would take most of the time of the kernel. Float frames use
  a matrix product instead.

  Args and Returns: see `frame_sums`.
    matrix_dtype: input dtype of the matrix unit. bfloat16 also represents the
      digits, and its float32 sums are exact up to 1,024 frames. None selects
      int8, or bfloat16 if this process has a TPU without int8.
    interpret: runs the kernel on any platform, slowly.
  """
  if frames.dtype != jnp.uint8:
    return _matrix_product(frames, weights, reference)
  if matrix_dtype is None:
    matrix_dtype = _matrix_dtype()
  digits, unit = _digits(weights, reference)
  clips, num_frames, pixels = frames.shape
  phases = weights.shape[1]
  # Digits after the last frame are 0, so padding has no effect.
  rows = pl.cdiv(num_frames, _ROWS) * _ROWS
  digits = jnp.pad(digits, ((0, 0), (0, 0), (0, rows - num_frames)))
  columns = block_pixels(num_frames, pixels)
  return pl.pallas_call(
    functools.partial(_add_block, matrix_dtype=matrix_dtype),
    grid=(clips, pl.cdiv(pixels, columns)),
    in_specs=[
      pl.BlockSpec((1, 3 * phases, rows), lambda clip, block: (clip, 0, 0)),
      pl.BlockSpec((1, phases, 1), lambda clip, block: (clip, 0, 0)),
      pl.BlockSpec((1, rows, columns), lambda clip, block: (clip, 0, block)),
    ],
    out_specs=pl.BlockSpec(
      (1, phases, columns), lambda clip, block: (clip, 0, block)
    ),
    out_shape=jax.ShapeDtypeStruct((clips, phases, pixels), jnp.float32),
    interpret=interpret,
    name='frame_sums',
  )(digits, unit, frames)


def block_pixels(num_frames: int, pixels: int) -> int:
  """Number of pixels per step of the TPU kernel, a multiple of 128.

  Args:
    num_frames: of each clip.
    pixels: of each frame.

  >>> block_pixels(num_frames=64, pixels=100)
  128
  """
  rows = pl.cdiv(num_frames, _ROWS) * _ROWS
  columns = max(_BLOCK_BYTES // rows // _LANES, 1)
  return min(columns, pl.cdiv(pixels, _LANES)) * _LANES


def _add_block(digits_ref, unit_ref, frames_ref, sums_ref, matrix_dtype):
  phases = sums_ref.shape[1]
  # Flipping the top bit of an unsigned byte and reading it as signed subtracts
  # 128, which has no effect because the digits sum to 0.
  frames = pltpu.bitcast(frames_ref[0] ^ jnp.uint8(128), jnp.int8)
  digits = digits_ref[0]
  sum_dtype = jnp.int32
  if matrix_dtype != jnp.int8:
    frames = frames.astype(jnp.float32).astype(matrix_dtype)
    digits = digits.astype(jnp.float32).astype(matrix_dtype)
    sum_dtype = jnp.float32
  sums = jnp.dot(digits, frames, preferred_element_type=sum_dtype)
  high, middle, low = (
    sums[i * phases : (i + 1) * phases].astype(jnp.int32) for i in range(3)
  )
  # Carries, so that the part below `high` is exact in float32.
  middle += low >> 8
  high += middle >> 8
  rest = ((middle & 255) << 8) + (low & 255)
  total = high.astype(jnp.float32) * 65536.0 + rest.astype(jnp.float32)
  sums_ref[0] = total * unit_ref[0]


def _matrix_dtype():
  if jax.default_backend() != 'tpu':
    return jnp.int8
  kind = jax.devices()[0].device_kind
  return jnp.bfloat16 if kind in _TPUS_WITHOUT_INT8 else jnp.int8


def _digits(
  weights: Weights, reference: Reference
) -> tuple[Array, Float32[Array, 'clip phase 1']]:
  """Weights as multiples of a unit; that of the reference makes the sum 0.

  Returns:
    int8 [clip, 3 * phase, frame], digits of weight 65536, 256 and 1, each
    -128..127; and their unit, a power of two.
  """
  at_reference = _is_reference(weights, reference)
  others = jnp.where(at_reference, 0, weights).sum(-1, keepdims=True)
  largest = jnp.abs(weights).max(-1, keepdims=True)
  largest = jnp.maximum(largest, jnp.abs(others))
  # Powers of two are computed from bits, because `exp2` and `log2` are not
  # exact on a TPU. One bit is reserved for the rounding error of the sum.
  exponent = jnp.frexp(largest)[1] - _WEIGHT_BITS
  exponent = jnp.clip(exponent, -100, 100)
  unit = jnp.ldexp(jnp.ones_like(largest), exponent)
  whole = jnp.round(weights / unit).astype(jnp.int32)
  closing = -jnp.where(at_reference, 0, whole).sum(-1, keepdims=True)
  whole = jnp.where(at_reference, closing, whole)
  middle = (whole + 128) >> 8
  high = (middle + 128) >> 8
  digits = [high, middle - (high << 8), whole - (middle << 8)]
  return jnp.concatenate(digits, axis=1).astype(jnp.int8), unit


def _matrix_product(frames, weights, reference):
  motion = _motion(frames, reference)
  sums = [
    jnp.einsum(
      'ct,ctp->cp',
      weight,
      jnp.where(weight[..., None] != 0, motion, 0),
      precision=jax.lax.Precision.HIGHEST,
    )
    for weight in jnp.moveaxis(weights, 1, 0)
  ]
  return jnp.stack(sums, axis=1)
