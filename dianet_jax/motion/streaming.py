"""Rank pooling of live video and of clips that exceed the memory.

Frames are added one after another. The first frame of the phase must be known,
but not the last: the dynamic image of all frames so far is always available.
Derivation: with running means V_t = (psi_1 + ... + psi_t) / t, rank pooling of
t frames is

    d_t = sum_{i <= t} (2 i - t - 1) V_i.

Frame t changes all previous weights by -1 and adds (t - 1) V_t, so

    d_t - d_{t-1} = (t - 1) V_t - sum_{i < t} V_i =: E_t,
    E_t - E_{t-1} = (t - 1) (V_t - V_{t-1}),
    V_t - V_{t-1} = (psi_t - V_{t-1}) / t.

The state has three float images (V, E, d) and the first frame, independently of
the number of frames. V is stored relative to the first frame, because otherwise
weak motion would be lost by rounding: for motion of one grey level over 1,000
frames, the error is 4e-6 of the largest value instead of 1e-3. It grows with
the number of frames, to 1e-4 for about 20,000.

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
  """The state of rank pooling, a pytree.

  Attributes:
    first: psi_1, the first frame.
    num_frames: t, the number of frames so far, including the first.
    mean: V_t - psi_1, grey levels.
    slope: E_t, the change of the dynamic image by the last frame.
    dynamic_image: d_t, signed, in grey levels; exactly 0 for a static clip.
  """

  first: Num[AnyArray, '*image']
  num_frames: Int32[Array, '']
  mean: Float32[Array, '*image']
  slope: Float32[Array, '*image']
  dynamic_image: Float32[Array, '*image']


def start(frame: Num[AnyArray, '*image']) -> Stream:
  """Starts a stream with its first frame (the onset or the apex).

  Args:
    frame: uint8 or float [height, width, channel], or any other shape, such as
      [clip, height, width, channel] for several clips at once.

  Returns:
    A stream of one frame, whose dynamic image is 0.
  """
  # Separate buffers, because `add` donates each of them.
  return Stream(
    jnp.array(frame),
    jnp.ones((), jnp.int32),
    *(jnp.zeros(jnp.shape(frame), jnp.float32) for _ in range(3)),
  )


@functools.partial(jax.jit, donate_argnums=0)
def add(stream: Stream, frames: Num[AnyArray, 'frame ...']) -> Stream:
  """Adds frames to a stream; the result does not depend on the chunk size.

  Args:
    stream: its memory is donated, so use only the result afterwards.
    frames: uint8 or float, in temporal order, any number. Each new number of
      frames is compiled once.

  Returns:
    The stream after these frames.

  Raises:
    UserError: the frames have another shape than the first one.
  """
  if frames.shape[1:] != stream.first.shape:
    raise errors.UserError(
      f'The frames are {frames.shape}; expected (frames,'
      f' {str(stream.first.shape)[1:]}, like the first one. Pass a single frame'
      ' as frame[None].'
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
