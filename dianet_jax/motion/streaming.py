"""Rank pooling of live video and of clips longer than memory.

Frames are folded in as they come; the phase's first frame must be known, its
end need not be: the dynamic image of all frames so far can be read off at any
time. Derivation: with running means V_t = (psi_1 + ... + psi_t) / t, rank
pooling of t frames is

    d_t = sum_{i <= t} (2 i - t - 1) V_i.

One more frame changes every weight by -1 and adds (t - 1) V_t, so

    d_t - d_{t-1} = (t - 1) V_t - sum_{i < t} V_i =: E_t,
    E_t - E_{t-1} = (t - 1) (V_t - V_{t-1}),
    V_t - V_{t-1} = (psi_t - V_{t-1}) / t.

Three float images (V, E, d) are the state, whatever the number of frames, and
the first frame as it came: V is kept relative to it, for the mean of bright
frames would round away weak motion (motion of one grey level, 1,000 frames:
1e-3 of the largest value wrong without it, 4e-6 with it). Rounding grows with
the number of frames: 1e-4 is reached at some 20,000.

>>> stream = start(jnp.array([10], jnp.uint8))
>>> stream = add(stream, jnp.array([[10], [40]], jnp.uint8))
>>> int(stream.num_frames), stream.dynamic_image.round(3).tolist()
(3, [20.0])
"""

import functools

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int32, Num

from dianet_jax.core import errors
from dianet_jax.core.arrays import AnyArray


@flax.struct.dataclass
class Stream:
  """The state of one phase, or of several side by side; a pytree.

  Attributes:
    first: psi_1, as it came.
    num_frames: t, frames so far, the first one included.
    mean: V_t - psi_1, grey levels.
    slope: E_t, what the last frame added to the dynamic image.
    dynamic_image: d_t, signed, in grey levels; exactly 0 on a static clip.
  """

  first: Num[AnyArray, '*image']
  num_frames: Int32[Array, '']
  mean: Float32[Array, '*image']
  slope: Float32[Array, '*image']
  dynamic_image: Float32[Array, '*image']


def start(frame: Num[AnyArray, '*image']) -> Stream:
  """The stream that begins with `frame` (the onset, or the apex).

  Args:
    frame: uint8 or float [height, width, channel], or any shape, such as
      [clip, height, width, channel] for several clips in step.

  Returns:
    A stream of one frame, whose dynamic image is 0.
  """
  # Buffers of their own: `add` gives each of them away.
  return Stream(
    jnp.array(frame),
    jnp.ones((), jnp.int32),
    *(jnp.zeros(jnp.shape(frame), jnp.float32) for _ in range(3)),
  )


@functools.partial(jax.jit, donate_argnums=0)
def add(stream: Stream, frames: Num[AnyArray, 'frame ...']) -> Stream:
  """`stream` with the next frames; how many at once has no influence.

  Args:
    stream: donated: on most platforms its memory is used again, so keep the
      result and not the argument.
    frames: uint8 or float, in order; none is allowed. Each new chunk size is
      compiled once.

  Returns:
    The stream after the frames.

  Raises:
    UserError: the frames are not of the first one's shape.
  """
  if frames.shape[1:] != stream.first.shape:
    raise errors.UserError(
      f'The frames are {frames.shape}; expected (frames,'
      f' {str(stream.first.shape)[1:]}, as the first one was. A single frame'
      ' is handed in as frame[None].'
    )
  if not frames.shape[0]:
    return stream
  first = stream.first.astype(jnp.float32)

  def add_frame(i, s):
    number = s.num_frames + 1
    motion = frames[i].astype(jnp.float32) - first
    step = (motion - s.mean) / number
    slope = s.slope + (number - 1) * step
    return Stream(
      s.first, number, s.mean + step, slope, s.dynamic_image + slope
    )

  return jax.lax.fori_loop(0, frames.shape[0], add_frame, stream)
