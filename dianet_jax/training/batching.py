"""Which clips every step of an epoch has."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from dianet_jax.training.state import Fold


def clips_of_steps(
  fold: Fold, rank: Float[Array, ' clip'], shape: tuple[int, int], in_turn: bool
) -> tuple[Int[Array, 'step slot'], Bool[Array, 'step slot']]:
  """The clips of every step of an epoch, and which slots are filled.

  Args:
    fold: of the clips.
    rank: of each training clip; the smallest is the first.
    shape: steps, and slots of each.
    in_turn: whether clips are distributed to the steps in turn, so that their
      number differs by at most one between steps; otherwise they fill one step
      after the other.

  Returns:
    Indices in the data, arbitrary in slots that are not filled; which are.
  """
  width = rank.shape[0]
  order = jnp.argsort(jnp.where(fold.train_valid, rank, jnp.inf))
  total = shape[0] * shape[1]
  order = jnp.pad(order, (0, total - width))
  valid = fold.train_valid[order] & (jnp.arange(total) < width)
  index = fold.train_index[order]
  if not in_turn:
    return index.reshape(shape), valid.reshape(shape)
  return index.reshape(shape[::-1]).T, valid.reshape(shape[::-1]).T
