"""Converts images of any representation to pictures for display."""

import base64
from collections.abc import Iterator, Sequence

import cv2
from jaxtyping import Float, UInt8
import numpy as np

from dianet_jax.motion import scaling
from dianet_jax.motion.registry import Channel

# If a clip has more pictures, they are combined in one sheet.
_MOST = 10


def pictures(
  images: Float[np.ndarray, 'view height width channel'],
  views: Sequence[str],
  channels: Sequence[Channel],
) -> Iterator[tuple[str, UInt8[np.ndarray, 'height width color']]]:
  """Converts the images of a clip to pictures.

  A view of three channels becomes one RGB picture, otherwise each channel
  becomes a grey picture. Each view is scaled by its own range.

  Args:
    images: of one clip.
    views: title of each view.
    channels: of the images.

  Yields:
    (title, picture), uint8, 0..255.

  >>> view = np.zeros((1, 2, 2, 2), np.float32)
  >>> u_and_v = Channel('u', 'pixels'), Channel('v', 'pixels')
  >>> [title for title, _ in pictures(view, ['onset to apex'], u_and_v)]
  ['onset to apex: u', 'onset to apex: v']
  """
  found = []
  for title, image in zip(views, images, strict=True):
    pixels = scaling.to_display(image)
    if len(channels) in (1, 3):
      found.append((title, pixels))
      continue
    for index, channel in enumerate(channels):
      found.append((f'{title}: {channel.name}', pixels[..., index, None]))
  if len(found) <= _MOST:
    yield from found
    return
  yield f'{found[0][0]} ... {found[-1][0]}', sheet([p for _, p in found])


def source(
  pixels: UInt8[np.ndarray, 'height width color'], kind: str = '.png'
) -> str:
  """Encodes a picture as the source of an <img>.

  Args:
    pixels: grey or RGB picture, 0..255.
    kind: '.png', or '.jpg' for photographs.

  Returns:
    A data URL.

  >>> source(np.zeros((1, 1, 3), np.uint8))[:22]
  'data:image/png;base64,'
  """
  _, encoded = cv2.imencode(kind, pixels[..., ::-1])
  name = {'.png': 'png', '.jpg': 'jpeg'}[kind]
  return (
    f'data:image/{name};base64,' + base64.b64encode(encoded.tobytes()).decode()
  )


def sheet(
  pixels: Sequence[UInt8[np.ndarray, 'height width color']],
) -> UInt8[np.ndarray, 'sheet_height sheet_width color']:
  """Arranges pictures in a grid with about as many rows as columns.

  Args:
    pixels: pictures of the same size.

  Returns:
    The sheet; unused cells are white.

  >>> sheet([np.zeros((4, 6, 1), np.uint8)] * 5).shape
  (8, 18, 1)
  """
  columns = int(np.ceil(np.sqrt(len(pixels))))
  rows = -(-len(pixels) // columns)
  height, width, colors = pixels[0].shape
  page = np.full((rows, columns, height, width, colors), 255, np.uint8)
  for index, picture in enumerate(pixels):
    page[divmod(index, columns)] = picture
  page = np.moveaxis(page, 2, 1)
  return page.reshape(rows * height, columns * width, colors)
