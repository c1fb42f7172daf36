"""Augmentation of phase images.

All phases of a clip are moved alike: they show one face. A dynamic image holds
changes of grey level, which do not turn with the face: positions move, values
stay. Optical flow holds vectors, see `move`.
"""

from collections.abc import Sequence
import math

import jax
import jax.numpy as jnp
from jax.scipy import ndimage
from jaxtyping import Array, Bool, Float, Int, Key

Images = Float[Array, 'phase height width channel']

# Of a clip's key, besides the two keys of a split.
_ROTATION = 2


def move(
  images: Images,
  rows: Int[Array, ''],
  columns: Int[Array, ''],
  flipped: Bool[Array, ''],
  negated_channels: Sequence[int] = (),
  radians: Float[Array, ''] | None = None,
) -> Images:
  """Mirrored left to right if `flipped`, then turned, then moved.

  Every image is resampled once, and what lies outside repeats the border.

  Args:
    images: signed phase images of one clip.
    rows: pixels down.
    columns: pixels to the right.
    flipped: whether to mirror.
    negated_channels: channels that hold a horizontal displacement, whose sign
      turns with the face (channel 0 of optical flow, none of dynamic images).
    radians: counter-clockwise, about the centre; bilinear. Not for optical
      flow: its vectors would have to turn, too, and the components of those
      at hand are each scaled by an unknown factor. None to move by whole
      pixels alone, which is exact.

  Returns:
    Images of the same shape.
  """
  if radians is None:
    images = _take(images, rows, columns, flipped)
  else:
    images = _interpolate(images, rows, columns, flipped, radians)
  sign = jnp.ones(images.shape[-1])
  sign = sign.at[jnp.array(negated_channels, int)].set(-1)
  return images * jnp.where(flipped, sign, 1)


def _take(images, rows, columns, flipped):
  height, width = images.shape[1:3]
  row = jnp.clip(jnp.arange(height) - rows, 0, height - 1)
  column = jnp.clip(jnp.arange(width) - columns, 0, width - 1)
  column = jnp.where(flipped, width - 1 - column, column)
  # Products with one-hot matrices: exact, and faster than gathers on every
  # platform (a vmapped dynamic_slice took a third of the step on a CPU).
  return jnp.einsum(
    'phwc,rh,kw->prkc',
    images,
    jax.nn.one_hot(row, height),
    jax.nn.one_hot(column, width),
    precision='highest',
  )


def _interpolate(images, rows, columns, flipped, radians):
  height, width = images.shape[1:3]
  middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
  # Of every pixel, seen from the centre; then where it comes from.
  down = (jnp.arange(height) - rows - middle_row)[:, None]
  right = jnp.arange(width) - columns - middle_column
  sine, cosine = jnp.sin(radians), jnp.cos(radians)
  row = middle_row + cosine * down + sine * right
  column = middle_column + cosine * right - sine * down
  column = jnp.where(flipped, width - 1 - column, column)
  row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
  return jax.lax.platform_dependent(
    images, row, column, default=_bilinear, tpu=_bilinear_on_tpu
  )


def _bilinear(images, row, column):
  def plane(image):
    return ndimage.map_coordinates(image, (row, column), 1, 'nearest')

  return jax.vmap(jax.vmap(plane, -1, -1))(images)


def _bilinear_on_tpu(images, row, column):
  """The same by a single gather, of a pixel with the next ones.

  A TPU's gathers take a dozen cycles a pixel, however much they fetch.
  """
  phases, height, width, channels = images.shape
  pixels = jnp.moveaxis(images, 0, 2).reshape(height, width, -1)
  pixels = jnp.pad(pixels, ((0, 1), (0, 1), (0, 0)), 'edge')
  top, bottom = pixels[:-1], pixels[1:]
  corners = [top[:, :-1], top[:, 1:], bottom[:, :-1], bottom[:, 1:]]
  above, left = jnp.floor(row).astype(int), jnp.floor(column).astype(int)
  corners = jnp.concatenate(corners, axis=-1)[above, left]
  down, right = (row - above)[..., None], (column - left)[..., None]
  a, b, c, d = jnp.split(corners, 4, axis=-1)
  upper, lower = (1 - right) * a + right * b, (1 - right) * c + right * d
  turned = (1 - down) * upper + down * lower
  return jnp.moveaxis(turned.reshape(height, width, phases, channels), 2, 0)


def augment(
  key: Key[Array, ''],
  images: Images,
  flip_probability: float,
  negated_channels: Sequence[int],
  shift_pixels: int,
  rotation_degrees: float = 0.0,
) -> Images:
  """A random flip, rotation and shift of one clip.

  Args:
    key: jax.random key of this clip in this step.
    images: raw phase images, before scaling.
    flip_probability: 0..1.
    negated_channels: see `move`.
    shift_pixels: largest shift in either direction.
    rotation_degrees: largest rotation in either direction; 0 leaves the
      pixels' values as they are.

  Returns:
    Images of the same shape.
  """
  if not flip_probability and not shift_pixels and not rotation_degrees:
    return images
  flip_key, shift_key = jax.random.split(key)
  flipped = jax.random.bernoulli(flip_key, flip_probability)
  rows, columns = jax.random.randint(
    shift_key, (2,), -shift_pixels, shift_pixels + 1
  )
  radians = None
  if rotation_degrees:
    rotation_key = jax.random.fold_in(key, _ROTATION)
    largest = math.radians(rotation_degrees)
    radians = jax.random.uniform(
      rotation_key, (), minval=-largest, maxval=largest
    )
  return move(images, rows, columns, flipped, negated_channels, radians)


def draw_variant(
  key: Key[Array, ''],
  index: Int[Array, '*shape'],
  num_clips: int,
  num_images: int,
) -> Int[Array, '*shape']:
  """One of a clip's variants for every place of `index`, each as likely.

  Args:
    key: jax.random key.
    index: clips, 0..num_clips - 1.
    num_clips: how many there are.
    num_images: rows of images, as in `data.Dataset.images`: variant v of clip
      c is row v * num_clips + c.

  Returns:
    Rows of images; `index` itself where there is one variant.
  """
  if num_images == num_clips:
    return index
  variant = jax.random.randint(key, index.shape, 0, num_images // num_clips)
  return variant * num_clips + index


def mix(
  key: Key[Array, ''],
  images: Float[Array, 'clip phase height width channel'],
  valid: Bool[Array, ' clip'],
  alpha: float,
) -> tuple[
  Float[Array, 'clip phase height width channel'],
  Int[Array, ' clip'],
  Float[Array, ' clip'],
]:
  """Mixup: every clip blended with another one of the batch.

  A filled slot gets a filled slot as its partner, and itself only where it is
  alone. The larger share is the clip's own, so that the label by which the
  training accuracy counts it stays its own; as partners are random, this
  changes the distribution of the blends not at all.

  Args:
    key: jax.random key of this step.
    images: scaled phase images; finite in padded slots, too.
    valid: which slots are filled.
    alpha: shares come from Beta(alpha, alpha), > 0.

  Returns:
    Blended images; the partner of each slot; the clip's own share, 0.5..1.

  Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.
  There one share a batch; here one a clip.
  """
  order_key, share_key = jax.random.split(key)
  slots = len(images)
  rank = jax.random.uniform(order_key, (slots,))
  # Filled slots come first, in random order; each takes the next, in a circle.
  order = jnp.argsort(jnp.where(valid, rank, jnp.inf))
  following = order[(jnp.arange(slots) + 1) % jnp.maximum(valid.sum(), 1)]
  partner = jnp.zeros(slots, int).at[order].set(following)
  share = jax.random.beta(share_key, alpha, alpha, (slots,))
  share = jnp.maximum(share, 1 - share)
  own = share[:, None, None, None, None]
  return own * images + (1 - own) * images[partner], partner, share
