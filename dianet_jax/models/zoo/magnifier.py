"""Motion magnification as in SKD-TSTSAN.

Source: the code of arXiv 2406.17538, after Oh et al., "Learning-based Video
Motion Magnification", ECCV 2018.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.models import layers

Frames = Float[Array, 'clip frame height width channel']
# Of each frame, or the same for all frames or clips.
Onset = Float[Array, '#clip #frame height width channel']
NewFrames = Float[Array, 'clip new_frame new_height new_width feature']


def widths_of(*widths: int, factor: float) -> list[int]:
  """Widths times a factor, rounded to multiples of 8, at least 8.

  >>> widths_of(16, 32, factor=0.5)
  [8, 16]
  """
  # Multiples of 8, because an eighth of the channels is shifted in time.
  return [max(8, round(width * factor / 8) * 8) for width in widths]


class _Reflected(nn.Module):
  """Convolution of frames with reflected borders, without bias."""

  width: int
  size: int = 3
  stride: int = 1
  dtype: Any = None

  @nn.compact
  def __call__(self, x: Frames) -> NewFrames:
    edge = (self.size // 2,) * 2
    x = jnp.pad(x, ((0, 0), (0, 0), edge, edge, (0, 0)), mode='reflect')
    return layers.Conv(
      self.width,
      (self.size, self.size),
      self.stride,
      'VALID',
      use_bias=False,
      kernel_init=layers.uniform_fan_in,
      dtype=self.dtype,
      name='convolution',
    )(x)


class _ResidualPair(nn.Module):
  dtype: Any = None

  @nn.compact
  def __call__(self, x: Frames) -> NewFrames:
    width = x.shape[-1]
    y = nn.relu(_Reflected(width, dtype=self.dtype, name='first')(x))
    return x + _Reflected(width, dtype=self.dtype, name='second')(y)


class Magnifier(nn.Module):
  """Onset and apex -> a feature map of the apex with amplified motion.

  Attributes:
    factor: multiplies the widths.
    amplification: multiplies the difference of the encoded frames.
    dtype: computation dtype; None for that of the images.
  """

  factor: float = 1.0
  amplification: float = 2.0
  dtype: Any = None

  @nn.compact
  def __call__(self, onset: Onset, apex: Frames) -> NewFrames:
    """A map with half the rows and columns of the frames."""
    low, high = widths_of(16, 32, factor=self.factor)

    def convolution(width, size=3, stride=1, *, name):
      return _Reflected(width, size, stride, self.dtype, name=name)

    def pairs(names):
      return [_ResidualPair(self.dtype, name=name) for name in names]

    first = convolution(low, 7, name='encode_1')
    second = convolution(high, stride=2, name='encode_2')
    blocks = pairs(f'encode_block_{n}' for n in range(3))
    motion = convolution(high, name='motion')
    motion_blocks = pairs(f'motion_block_{n}' for n in range(2))

    def encoded(x):
      x = nn.relu(second(nn.relu(first(x))))
      for block in blocks:
        x = block(x)
      x = nn.relu(motion(x))
      for block in motion_blocks:
        x = block(x)
      return x

    onset, apex = encoded(onset), encoded(apex)
    y = nn.relu(convolution(high, 7, name='difference')(apex - onset))
    y = convolution(high, name='amplify')(y * self.amplification)
    [block] = pairs(['amplify_block'])
    return apex + block(y)
