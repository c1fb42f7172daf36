"""Turns functions of one fold into programs over devices and their folds.

Only this file uses `jax.pmap`. Programs can be compiled for devices of another
machine. Arrays are [device, fold_on_device, ...]; folds never communicate: no
program has a collective.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from dianet_jax.models.layers import products

# Strategies with one program per epoch; the others have one per step.
SCANNING = ('map', 'vmap', 'vmap_products')


def _within_device(strategy: str, one_fold: Callable) -> Callable:
  """Maps `one_fold` over arguments with a leading fold axis."""
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
    donate: whether to donate the first argument after the shared ones.

  Returns:
    A function to call, or to lower for devices of another machine.
  """

  def on_device(*arguments):
    same, folds = arguments[:shared], arguments[shared:]
    return _within_device(strategy, lambda *fold: function(*same, *fold))(
      *folds
    )

  # Its name in profiles.
  on_device.__name__ = function.__name__
  return jax.pmap(
    on_device, devices=devices, donate_argnums=(shared,) if donate else ()
  )
