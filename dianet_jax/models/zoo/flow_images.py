"""Shared by models of optical flow images: channel order, range, mosaic.

The published images are 28 x 28 pixels with the channels u, v and strain, each
scaled separately to 0..255. CausalNet's, which are stored, were scaled before
they were reduced to that size, so that few of their channels reach 0 and 255
(measured: .4 % of those of u reach 255); those of STSTNet and HTNet after it.
Most published code reads them with OpenCV, which reverses the order of
channels, and does not scale them.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dianet_jax.core import config, schema

# Eyes and corners of the mouth in a 28 x 28 image: (row, column). HTNet uses
# these where it finds no face. It exchanges rows and columns, which transposes
# the blocks of the face.
LANDMARKS = ((9, 11), (21, 10), (10, 21), (20, 21))
SIZE = 28
# How position images are derived, see `position_images`.
POSITIONS = ('derived', 'centred')

Images = Float[Array, 'clip view height width channel']
Image = Float[Array, '*batch height width channel']


@dataclasses.dataclass(frozen=True)
class Settings(config.Model):
  """Settings of every model of flow images."""

  channel_order: str = schema.key(
    'bgr',
    'bgr: reversed (strain, v, u), as published code reads the images; rgb: as'
    ' they are (u, v, strain).',
    schema.one_of('bgr', 'rgb'),
  )
  input_scale: int = schema.key(
    255,
    'Range of the values that the network reads: 255 (0..255 as in published'
    ' code, from the -1..1 of data.scaling: minmax for the range that images'
    ' have in published code, grey_levels for that of stored ones), or 1 (as'
    ' data.scaling gives them).',
    schema.Check(lambda value: value in (1, 255), '1 or 255'),
  )


def in_range(images: Image, settings: Settings) -> Image:
  """Maps images from -1..1 to the range of `settings.input_scale`.

  >>> in_range(jnp.array([[[-1.0], [0.0], [1.0]]]), Settings()).ravel().tolist()
  [0.0, 127.5, 255.0]

  Args:
    images: float, -1..1.
    settings: `input_scale` is 255 for 0..255, 1 for unchanged images.
  """
  if settings.input_scale == 1:
    return images
  return (images + 1) * (settings.input_scale / 2)


def read(inputs: Mapping[str, Images], settings: Settings) -> Images:
  """The only input, in the channel order and range of the settings.

  >>> images = jnp.zeros((1, 1, 1, 1, 3)).at[..., 0].set(1)
  >>> read({'phase_flow': images}, Settings(input_scale=1)).ravel().tolist()
  [0.0, 0.0, 1.0]

  Args:
    inputs: one entry, float images of -1..1.
    settings: see `Settings`.
  """
  [images] = inputs.values()
  images = in_range(images, settings)
  return images[..., ::-1] if settings.channel_order == 'bgr' else images


def check_views(
  specs: Mapping[str, jax.ShapeDtypeStruct], key: str, views: int
) -> Iterator[tuple[str, bool, str]]:
  """Checks that the only input has the views that `key` of the settings needs.

  >>> spec = jax.ShapeDtypeStruct((1, 28, 28, 3), float)
  >>> [check] = check_views({'phase_flow': spec}, 'phases', views=2)
  >>> check[:2]
  ('phases', False)

  Args:
    specs: one entry, see `registry.Model.check`.
    key: the setting that needs the views.
    views: how many it needs.

  Yields:
    One check, see `registry.Model.check`.
  """
  [spec] = specs.values()
  yield (
    key,
    len(spec.shape) == 4 and spec.shape[0] >= views,
    f'another value, or {views} phase(s) in data.phases: there are'
    f' {spec.shape[0]}',
  )


def check_vectors(
  settings: config.Model, channels: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[str, bool, str]]:
  """Checks that the first two channels of the only input are u and v.

  >>> from dianet_jax.motion.registry import Channel
  >>> channels = {'phase_flow': [Channel('red', '')]}
  >>> [check] = check_vectors(config.Model(), channels)
  >>> check[:2]
  ('name', False)

  Args:
    settings: of the model.
    channels: one entry, see `registry.Model`.

  Yields:
    One check, see `registry.Model.check`.
  """
  del settings
  [named] = channels.values()
  yield (
    'name',
    [channel.component for channel in named[:2]] == ['x', 'y'],
    'another model, or images whose first two channels are u and v'
    ' (data.inputs, data.flow.channels, data.flow.coding): there are '
    + ', '.join(channel.name for channel in named),
  )


def mosaic(images: Image) -> Image:
  """Arranges crops around the eyes and the corners of the mouth in a 2x2 grid.

  >>> image = jnp.arange(16).reshape(4, 4, 1).astype(float)
  >>> print(mosaic(image)[..., 0].astype(int))
  [[ 1  2  8  9]
   [ 5  6 12 13]
   [ 2  3 10 11]
   [ 6  7 14 15]]

  Args:
    images: height and width are multiples of 4; landmarks are scaled from
      28 x 28.

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


def position_images(
  flow: Images, steps: int = 30, centred: bool = False
) -> Images:
  """Clipped and rounded displacements, in place of CausalNet's position images.

  How the authors made theirs is unknown. These share what was measured on them:
  u and v within three times their median absolute value, in 31 levels, and an
  empty third channel.

  Only the displacements of raw clips (`data.flow.coding=pixels`), unscaled or
  scaled by `symmetric`, have their zero at no motion. Stored grey levels do not
  show it: `data.scaling=standardize` has it at the mean, `minmax` in the middle
  between the lowest and the highest value of all channels. In 120 of the
  published flow images (measured) the median of u and of v is off that zero by
  .07 of the clipping limit with `standardize`, but by .29 and .33 with
  `minmax`, where most of what is clipped and rounded is thus an offset.
  `centred` takes the median as no motion instead. `grey_levels` has the zero at
  mid-grey, which is no motion only where each channel's range is symmetric.

  >>> u = jnp.array([0.0, 1.0, 100.0])
  >>> flow = jnp.stack([u, u, u], axis=-1)[None, None, None]
  >>> print(position_images(flow)[0, 0, 0].round(3))
  [[ 0.     0.    -1.   ]
   [ 0.333  0.333 -1.   ]
   [ 1.     1.    -1.   ]]

  Args:
    flow: u and v in any unit, 0 for no motion, then further channels.
    steps: number of steps between the lowest and the highest value.
    centred: whether to first subtract the median of each channel of an image.

  Returns:
    Images of the same shape, -1..1; further channels are -1.
  """
  vector = flow[..., :2]
  if centred:
    vector = vector - jnp.median(vector, axis=(-3, -2), keepdims=True)
  typical = jnp.median(jnp.abs(vector), axis=(-3, -2), keepdims=True)
  vector = jnp.clip(vector / jnp.where(typical == 0, 1, 3 * typical), -1, 1)
  vector = jnp.round((vector + 1) / 2 * steps) / steps * 2 - 1
  rest = jnp.full_like(flow[..., 2:], -1)
  return jnp.concatenate([vector, rest], axis=-1)


def positions_of(flow: Images, kind: str) -> Images:
  """`position_images` of a kind in `POSITIONS`."""
  return position_images(flow, centred=kind == 'centred')


def enlarged(
  images: Image, size: int
) -> Float[Array, '*batch size size channel']:
  """Resizes images bilinearly, without antialiasing.

  >>> image = jnp.array([[[0.0], [1.0]], [[0.0], [1.0]]])
  >>> enlarged(image, 4)[0, :, 0].tolist()
  [0.0, 0.25, 0.75, 1.0]

  Args:
    images: any float dtype.
    size: new height and width, pixels; 0 leaves the images unchanged.
  """
  if not size:
    return images
  shape: Sequence[int] = (*images.shape[:-3], size, size, images.shape[-1])
  return jax.image.resize(images, shape, 'linear', antialias=False)
