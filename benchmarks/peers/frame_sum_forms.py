"""The frame sums in the forms that are compared, and their problem's size."""

import functools
import math

import jax
import jax.numpy as jnp

from dianet_jax.motion import frame_sums, rank_pooling

PHASES = 2


def problem(shape: tuple[int, ...], flat: bool) -> list[jax.ShapeDtypeStruct]:
  """Frames, weights and reference; shape [clip, frame, height, width, c]."""
  clips, frames, *image = shape
  pixels = [math.prod(image)] if flat else image
  return [
    jax.ShapeDtypeStruct((clips, frames, *pixels), jnp.uint8),
    jax.ShapeDtypeStruct((clips, PHASES, frames), jnp.float32),
    jax.ShapeDtypeStruct((clips,), jnp.int32),
  ]


def floor_bytes(arguments: list[jax.ShapeDtypeStruct]) -> int:
  """The frames and weights read once, the sums written once."""
  frames, weights, _ = arguments
  sums = 4 * PHASES * frames.size // frames.shape[1]
  return frames.size + 4 * weights.size + sums


def kernel_steps(shape: tuple[int, ...]) -> int:
  """Steps of the TPU kernel; shape as for `problem`."""
  clips, frames, *image = shape
  pixels = math.prod(image)
  return clips * -(-pixels // frame_sums.block_pixels(frames, pixels))


def einsum_flat(frames, weights, reference):
  """Not centred: loses a weak motion on a bright ground."""
  del reference
  frames = frames.astype(jnp.float32)
  return jnp.einsum('ckt,ctp->ckp', weights, frames, precision='highest')


def einsum_centred(frames, weights, reference):
  first = jnp.take_along_axis(frames, reference[:, None, None], axis=1)
  motion = frames.astype(jnp.float32) - first.astype(jnp.float32)
  return jnp.einsum('ckt,ctp->ckp', weights, motion, precision='highest')


def einsum_images(frames, weights, reference):
  """Height, width and channel as axes of their own; not centred."""
  del reference
  return jnp.einsum(
    'ckt,cthwd->ckhwd',
    weights,
    frames.astype(jnp.float32),
    precision='highest',
  )


def three_phases(frames, weights, reference):
  """As `frame_sums.gpu`, with a phase more."""
  more = jnp.concatenate([weights, weights[:, :1]], axis=1)
  return frame_sums.gpu(frames, more, reference)


def loop(frames, weights, reference):
  """A loop over clips around a loop over frames, as for a processor."""

  def one_clip(clip):
    frames, weights, reference = clip
    first = frames[reference].astype(jnp.float32)

    def add_frame(t, sums):
      motion = frames[t].astype(jnp.float32) - first
      return sums + weights[:, t, None] * motion

    start = jnp.zeros((weights.shape[0], frames.shape[1]), jnp.float32)
    return jax.lax.fori_loop(0, frames.shape[0], add_frame, start)

  return jax.lax.map(one_clip, (frames, weights, reference))


def reduce_each(frames, weights, reference):
  """A reduction for each phase, each of which reads the frames."""
  first = jnp.take_along_axis(frames, reference[:, None, None], axis=1)
  motion = frames.astype(jnp.float32) - first.astype(jnp.float32)
  sums = [
    jnp.sum(weights[:, phase, :, None] * motion, axis=1)
    for phase in range(weights.shape[1])
  ]
  return jnp.stack(sums, axis=1)


def dynamic_images(frames, weights, reference):
  """The public function, which makes its weights of the key frames."""
  del weights
  length = jnp.full(reference.shape, frames.shape[1], jnp.int32)
  return rank_pooling.dynamic_images(
    frames, length, 0 * length, reference, length - 1
  )


def kernel_images(frames, weights, reference):
  """The kernel behind an argument of five axes, which it must flatten."""
  flat = frames.reshape(*frames.shape[:2], -1)
  sums = frame_sums.tpu(flat, weights, reference)
  return sums.reshape(*sums.shape[:2], *frames.shape[2:])


# Name -> (form, whether pixels are one flat axis).
TPU_FORMS = {
  'Pallas, int8 (ours)': (frame_sums.tpu, True),
  'dynamic_images (ours)': (dynamic_images, True),
  'Pallas, bfloat16': (
    functools.partial(frame_sums.tpu, matrix_dtype=jnp.bfloat16),
    True,
  ),
  'einsum, flat, not centred': (einsum_flat, True),
  'einsum, flat, centred': (einsum_centred, True),
  'einsum, 5 axes': (einsum_images, False),
  'loop over frames': (loop, True),
  'Pallas, int8, 5 axes': (kernel_images, False),
}
GPU_FORMS = {
  'one reduction (ours)': frame_sums.gpu,
  'ours, three phases': three_phases,
  'a reduction a phase': reduce_each,
  'einsum, centred': einsum_centred,
}
