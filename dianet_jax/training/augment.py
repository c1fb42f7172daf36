"""Augmentation of a clip's images.

All images of a clip show one face, so they are transformed identically. The
channels (`motion.registry.Channel`) declare how a flip or a rotation changes
values: grey levels only change position, displacements rotate with the face,
and blocks of the face change places.
"""

from collections.abc import Iterator, Mapping, Sequence
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import ndimage
from jaxtyping import Array, Bool, Float, Int, Key

from dianet_jax.core import config, errors, schema
from dianet_jax.motion.registry import Channel
from dianet_jax.training.randomness import OfClip

Images = Float[Array, 'view height width channel']


def move(
  images: Images,
  rows: Int[Array, ''],
  columns: Int[Array, ''],
  flipped: Bool[Array, ''],
  channels: Sequence[Channel] = (),
  radians: Float[Array, ''] | None = None,
) -> Images:
  """Mirrors images left to right, then rotates, then shifts them.

  Every image is resampled once; pixels outside repeat the border.

  Args:
    images: of one clip, signed.
    rows: pixels down.
    columns: pixels to the right.
    flipped: whether to mirror.
    channels: of the images; () for values that no mirror or rotation changes.
    radians: counter-clockwise rotation about the centre, with bilinear
      interpolation; None to shift only by whole pixels, which is exact.

  Returns:
    Images of the same shape.

  Raises:
    UserError: vectors whose components are scaled by unknown factors cannot be
      rotated.
  """
  if radians is None:
    images = _take(images, rows, columns, flipped)
  else:
    images = _interpolate(images, rows, columns, flipped, radians)
  images = _mirror_values(images, channels, flipped)
  if radians is not None:
    images = _turn_vectors(images, channels, radians)
  return images


def unturnable(channels: Sequence[Channel]) -> list[str]:
  """Names of vector components that cannot be rotated.

  Their unit is unknown, or the other component is missing.
  """
  parts = [c for c in channels if c.component]
  horizontal = [c for c in parts if c.component == 'x']
  pairs = min(len(horizontal), len(parts) - len(horizontal))
  seen, names = {'x': 0, 'y': 0}, []
  for channel in parts:
    seen[channel.component] += 1
    if not channel.unit or seen[channel.component] > pairs:
      names.append(channel.name)
  return names


def refused(
  channels: Sequence[Channel], settings: config.Augment
) -> Iterator[tuple[str, str]]:
  """Augmentations that would be wrong for these channels.

  Args:
    channels: of one input.
    settings: the `train.augment` section.
  """
  turned = bool(settings.rotation_degrees)
  if turned and unturnable(channels):
    yield (
      'rotation_degrees',
      '0: the vectors of optical flow would have to rotate with the face, but'
      ' their components are scaled separately',
    )
  if any(channel.coded for channel in channels):
    why = '0: colours encode directions, which would have to rotate, too'
    if settings.flip_probability:
      yield 'flip_probability', why
    if turned:
      yield 'rotation_degrees', why
  if any(channel.mirror_channel for channel in channels):
    why = '0: the face is cut into blocks, which can only be mirrored'
    if settings.shift_pixels:
      yield 'shift_pixels', why
    if turned:
      yield 'rotation_degrees', why


def _mirror_values(images, channels, flipped):
  """The effect of mirroring on values, besides their position."""
  if any(channel.mirror_channel for channel in channels):
    names = [channel.name for channel in channels]
    order = [names.index(c.mirror_channel or c.name) for c in channels]
    images = jnp.where(flipped, images[..., jnp.array(order)], images)
  if any(channel.flips_sign for channel in channels):
    sign = jnp.array([-1.0 if c.flips_sign else 1.0 for c in channels])
    images = images * jnp.where(flipped, sign, 1)
    if any(channel.zero for channel in channels):
      twice = jnp.array([2 * c.zero if c.flips_sign else 0 for c in channels])
      images = images + jnp.where(flipped, twice, 0)
  return images


def _turn_vectors(images, channels, radians):
  """Rotates displacements with the face; x to the right, y down."""
  if names := unturnable(channels):
    raise errors.UserError(
      f'Images with the channels {", ".join(names)} cannot be rotated: the'
      ' components are scaled by unknown factors. Set'
      ' --config.train.augment.rotation_degrees=0.'
    )
  sine, cosine = jnp.sin(radians), jnp.cos(radians)
  right, down = (
    [i for i, c in enumerate(channels) if c.component == name] for name in 'xy'
  )
  for to_right, to_down in zip(right, down, strict=True):
    x, y = images[..., to_right], images[..., to_down]
    images = images.at[..., to_right].set(cosine * x + sine * y)
    images = images.at[..., to_down].set(cosine * y - sine * x)
  return images


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
  # Each pixel's position relative to the centre, then its source position.
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
  """The same by a single gather of each pixel and its neighbours.

  A gather on a TPU takes a dozen cycles per pixel, however much it fetches.
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
  inputs: Mapping[str, Array],
  channels: Mapping[str, Sequence[Channel]],
  settings: config.Augment,
) -> dict[str, Array]:
  """A random flip, rotation and shift of one clip, the same for all its images.

  Args:
    key: random key of this clip in this step.
    inputs: of one clip, before scaling.
    channels: input -> its channels; inputs without any are left unchanged.
    settings: the `train.augment` section.

  Returns:
    Inputs of the same shapes.

  Raises:
    UserError: see `refused`.
  """
  for named in channels.values():
    for name, expected in refused(named, settings):
      value = getattr(settings, name)
      raise errors.UserError(
        schema.out_of_range(f'train.augment.{name}', value, expected)
      )
  shift, degrees = settings.shift_pixels, settings.rotation_degrees
  if not settings.flip_probability and not shift and not degrees:
    return dict(inputs)

  def key_of(purpose):
    return jax.random.fold_in(key, purpose)

  flipped = jax.random.bernoulli(key_of(OfClip.FLIP), settings.flip_probability)
  rows, columns = jax.random.randint(
    key_of(OfClip.SHIFT), (2,), -shift, shift + 1
  )
  radians = None
  if degrees:
    largest = math.radians(degrees)
    radians = jax.random.uniform(
      key_of(OfClip.ROTATION), (), minval=-largest, maxval=largest
    )
  return {
    name: move(values, rows, columns, flipped, channels[name], radians)
    if channels[name]
    else values
    for name, values in inputs.items()
  }


def draw_variant(
  key: Key[Array, ''], shape: Sequence[int], num_variants: int
) -> Int[Array, '...']:
  """Draws one of `num_variants` for each element, with equal probability.

  Args:
    key: random key.
    shape: of the array.
    num_variants: number of variants.

  Returns:
    Int32, 0 to `num_variants` - 1.
  """
  if num_variants == 1:
    return jnp.zeros(shape, int)
  return jax.random.randint(key, shape, 0, num_variants)


def mix(
  key: Key[Array, ''],
  inputs: Any,
  valid: Bool[Array, ' clip'],
  alpha: float,
) -> tuple[Any, Int[Array, ' clip'], Float[Array, ' clip']]:
  """Mixup: blends every clip with another one of the batch.

  The partner of a filled slot is another filled slot, if there is one. The
  larger weight is the clip's own, so that the training accuracy can use its
  label; as partners are random, this does not change the distribution.

  Args:
    key: random key of this step.
    inputs: pytree of scaled arrays [clip, ...]; finite in padded slots, too.
    valid: which slots are filled.
    alpha: weights come from Beta(alpha, alpha), > 0.

  Returns:
    Blended inputs; the partner of each slot; the clip's own weight, 0.5..1.

  Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.
  There one weight for each batch; here one for each clip.
  """
  order_key, weight_key = jax.random.split(key)
  slots = len(valid)
  rank = jax.random.uniform(order_key, (slots,))
  # Filled slots come first, in random order; each is paired with the next one.
  order = jnp.argsort(jnp.where(valid, rank, jnp.inf))
  following = order[(jnp.arange(slots) + 1) % jnp.maximum(valid.sum(), 1)]
  partner = jnp.zeros(slots, int).at[order].set(following)
  weight = jax.random.beta(weight_key, alpha, alpha, (slots,))
  weight = jnp.maximum(weight, 1 - weight)

  def blend(values):
    own = per_clip(weight, values)
    return own * values + (1 - own) * values[partner]

  return jax.tree.map(blend, inputs), partner, weight


def per_clip(values: Array, like: Array) -> Array:
  """Reshapes [clip] to as many axes as `like` [clip, ...], for broadcasting."""
  return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))
