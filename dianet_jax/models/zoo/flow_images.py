"""What models of optical flow images have in common: order, range, mosaic.

The published images are 28 x 28, with the channels u, v and strain, each scaled
by itself to 0..255. Most code reads them with OpenCV, which turns the order of
channels round, and does not scale them.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.core import config, schema

# Of the eyes and the corners of the mouth in an image of 28 x 28: row, column.
# What HTNet takes where it finds no face. Rows and columns are exchanged there,
# so that the face is transposed by blocks.
LANDMARKS = ((9, 11), (21, 10), (10, 21), (20, 21))
SIZE = 28

Images = Float[Array, 'clip view height width channel']
Image = Float[Array, '*batch height width channel']


@dataclasses.dataclass(frozen=True)
class Settings(config.Model):
  """Settings of every model of flow images."""

  channel_order: str = schema.key(
    'bgr',
    'bgr: channels in the reverse order, as published code reads the images'
    ' (strain, v, u); rgb: as they come.',
    schema.one_of('bgr', 'rgb'),
  )
  input_scale: int = schema.key(
    255,
    'Range of the values that the network sees: 255 (0..255, as published code'
    ' has it, made of -1..1, which data.scaling gives: minmax restores the'
    ' published images), or 1: as data.scaling gives them.',
    schema.Check(lambda value: value in (1, 255), '1 or 255'),
  )


def in_range(images: Image, settings: Settings) -> Image:
  """Images from -1..1 to the range that is asked for."""
  if settings.input_scale == 1:
    return images
  return (images + 1) * (settings.input_scale / 2)


def read(inputs: Mapping[str, Images], settings: Settings) -> Images:
  """The one input, in the order and the range that are asked for."""
  [images] = inputs.values()
  images = in_range(images, settings)
  return images[..., ::-1] if settings.channel_order == 'bgr' else images


def check_views(
  specs: Mapping[str, jax.ShapeDtypeStruct], key: str, views: int
) -> Iterator[tuple[str, bool, str]]:
  """That the one input has the views that `key` of the settings needs."""
  [spec] = specs.values()
  yield (
    key,
    len(spec.shape) == 4 and spec.shape[0] >= views,
    f'another value, or {views} phase(s) in data.phases: there are'
    f' {spec.shape[0]}',
  )


def mosaic(images: Image) -> Image:
  """Four crops around the eyes and the corners of the mouth, side by side.

  Args:
    images: of any size that 4 divides; landmarks are scaled from 28 x 28.

  Returns:
    Images of the same shape.

  Source: HTNet, arXiv 2307.14637, and its code.
  """
  height, width = images.shape[-3:-1]
  half = height // 4, width // 4
  crops = []
  for row, column in LANDMARKS:
    top = _start(row, height, half[0])
    left = _start(column, width, half[1])
    crops.append(
      images[..., top : top + 2 * half[0], left : left + 2 * half[1], :]
    )
  rows = [jnp.concatenate(crops[k : k + 2], axis=-2) for k in (0, 2)]
  return jnp.concatenate(rows, axis=-3)


def _start(centre: int, size: int, half: int) -> int:
  place = round(centre * size / SIZE)
  return min(max(place, half), size - half) - half


def position_images(flow: Images, steps: int = 30) -> Images:
  """Displacements cut off and rounded: a stand-in for CausalNet's images.

  How the authors made theirs is unknown. Ours has what was measured of them: u
  and v within three times their median absolute value, in 31 steps, and a third
  channel that is empty.

  Args:
    flow: displacements, then at least one more channel; 0 is no motion.
    steps: how many lie between the lowest and the highest value.

  Returns:
    Images of the same shape, -1..1.
  """
  vector = flow[..., :2]
  typical = jnp.median(jnp.abs(vector), axis=(-3, -2), keepdims=True)
  vector = jnp.clip(vector / jnp.where(typical == 0, 1, 3 * typical), -1, 1)
  vector = jnp.round((vector + 1) / 2 * steps) / steps * 2 - 1
  rest = jnp.full_like(flow[..., 2:], -1)
  return jnp.concatenate([vector, rest], axis=-1)


def enlarged(images: Image, size: int) -> Image:
  """Bilinear, to `size` squared; 0 leaves them as they are."""
  if not size:
    return images
  shape: Sequence[int] = (*images.shape[:-3], size, size, images.shape[-1])
  return jax.image.resize(images, shape, 'linear', antialias=False)
