"""Augmentation of phase images.

Both phases of a clip are moved alike: they show one face.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

Images = Float[Array, 'phase height width channel']


def move(
  images: Images,
  rows: Int[Array, ''],
  columns: Int[Array, ''],
  flipped: Bool[Array, ''],
  negated_channels: Sequence[int] = (),
) -> Images:
  """Mirrored left to right if `flipped`, then moved by whole pixels.

  Args:
    images: signed phase images of one clip.
    rows: pixels down; the border is repeated.
    columns: pixels to the right; the border is repeated.
    flipped: whether to mirror.
    negated_channels: channels that hold a horizontal displacement, whose sign
      turns with the face (channel 0 of optical flow, none of dynamic images).

  Returns:
    Images of the same shape.
  """
  height, width, channels = images.shape[1:]
  row = jnp.clip(jnp.arange(height) - rows, 0, height - 1)
  column = jnp.clip(jnp.arange(width) - columns, 0, width - 1)
  column = jnp.where(flipped, width - 1 - column, column)
  # Products with one-hot matrices: exact, and faster than gathers on every
  # platform (a vmapped dynamic_slice took a third of the step on a CPU).
  images = jnp.einsum(
    'phwc,rh,kw->prkc',
    images,
    jax.nn.one_hot(row, height),
    jax.nn.one_hot(column, width),
    precision='highest',
  )
  sign = jnp.ones(channels).at[jnp.array(negated_channels, int)].set(-1)
  return images * jnp.where(flipped, sign, 1)


def augment(
  key: Key[Array, ''],
  images: Images,
  flip_probability: float,
  negated_channels: Sequence[int],
  shift_pixels: int,
) -> Images:
  """A random flip and a random shift of one clip.

  Args:
    key: jax.random key of this clip in this step.
    images: raw phase images, before scaling.
    flip_probability: 0..1.
    negated_channels: see `move`.
    shift_pixels: largest shift in either direction.

  Returns:
    Images of the same shape.
  """
  if not flip_probability and not shift_pixels:
    return images
  flip_key, shift_key = jax.random.split(key)
  flipped = jax.random.bernoulli(flip_key, flip_probability)
  rows, columns = jax.random.randint(
    shift_key, (2,), -shift_pixels, shift_pixels + 1
  )
  return move(images, rows, columns, flipped, negated_channels)


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
