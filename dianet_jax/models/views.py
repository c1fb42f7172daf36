"""Which views a clip has, and which of them are hidden or drawn in training."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key


def hidden(
  key: Key[Array, ''], clips: int, views: int, probability: float
) -> Bool[Array, 'clip view']:
  """Chooses one view of each clip with `probability`, never more than one.

  Source: ModDrop, Neverova et al., "ModDrop: Adaptive Multi-Modal Gesture
  Recognition", TPAMI 2016. There modalities are dropped independently, so that
  all may be missing; here at least one view remains.

  >>> hidden(jax.random.key(0), 2, 3, 1.0).sum(axis=1).tolist()
  [1, 1]

  Args:
    key: of this step.
    clips: number of clips.
    views: of each clip.
    probability: that a view of a clip is hidden, 0..1.
  """
  hide_key, which_key = jax.random.split(key)
  hides = jax.random.bernoulli(hide_key, probability, (clips,))
  which = jax.random.randint(which_key, (clips,), 0, views)
  return hides[:, None] & (which[:, None] == jnp.arange(views))


def present(
  images: Float[Array, 'clip view height width channel'],
) -> Bool[Array, 'clip view']:
  """Which phases each clip has: an image without any motion marks the others.

  >>> images = jnp.zeros((1, 2, 2, 2, 1)).at[0, 1, 0, 1].set(-3)
  >>> present(images).tolist()
  [[False, True]]

  Args:
    images: as a network reads them, 0 for no motion.
  """
  return (images != 0).any(axis=(2, 3, 4))


def drawn(
  key: Key[Array, ''], has: Bool[Array, 'clip view']
) -> Int[Array, ' clip']:
  """Index of one view of each clip, with equal odds of those that it has.

  The first if it has none.

  >>> has = jnp.array([[False, True, False], [False, False, False]])
  >>> drawn(jax.random.key(0), has).tolist()
  [1, 0]

  Args:
    key: of this step.
    has: which views each clip has, see `present`.
  """
  chances = jax.random.uniform(key, has.shape)
  return jnp.where(has, chances, -1).argmax(axis=1)
