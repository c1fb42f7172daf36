"""Functions of one fold -> programs over devices and their folds.

The one file that knows `jax.pmap`. Devices need not be here to compile for
them. Arrays are [device, fold_on_device, ...]; folds never speak to each other:
no program has a collective.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from dianet_jax.models.layers import products

# Strategies that run an epoch as one program; the others one for every step.
SCANNING = ('map', 'vmap', 'vmap_products')


def _within_device(strategy: str, one_fold: Callable) -> Callable:
  """`one_fold(*arguments)` for arguments with a leading fold axis."""
  if strategy == 'vmap':
    return jax.vmap(one_fold)
  if strategy == 'vmap_products':
    return products.everywhere()(jax.vmap(one_fold))
  if strategy == 'map':
    return lambda *args: jax.lax.map(lambda fold: one_fold(*fold), args)

  def one_by_one(*args):
    number = len(jax.tree.leaves(args)[0])
    results = [
      one_fold(*jax.tree.map(lambda leaf, row=row: leaf[row], args))
      for row in range(number)
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)

  return one_by_one


def over_folds(
  function: Callable,
  strategy: str,
  devices: Sequence[jax.Device],  # pyright: ignore[reportInvalidTypeForm]
  *,
  shared: int = 0,
  donate: bool = False,
) -> Callable:
  """One program over all devices and their folds.

  Args:
    function: of one fold, called with arguments by position.
    strategy: see `config.Parallel`; not 'auto'.
    devices: of one platform.
    shared: how many of the first arguments are the same for all folds of a
      device, [device, ...]; all others lead with [device, fold_on_device].
    donate: whether the first argument behind the shared ones gives its memory
      away.

  Returns:
    To be called, or lowered for devices that are not here.
  """

  def on_device(*arguments):
    same, folds = arguments[:shared], arguments[shared:]
    return _within_device(strategy, lambda *fold: function(*same, *fold))(
      *folds
    )

  # As profiles call it.
  on_device.__name__ = function.__name__
  return jax.pmap(
    on_device, devices=devices, donate_argnums=(shared,) if donate else ()
  )
