"""Turns functions of one fold into programs over devices and their folds.

Only this file uses `jax.pmap`. Programs can be compiled for devices of another
machine. Arrays are [device, fold_on_device, ...]; folds never communicate: no
program has a collective.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from dianet_jax.core import errors
from dianet_jax.models.layers import products

# Strategies with one program per epoch; the others have one per step.
SCANNING = ('map', 'vmap', 'vmap_products')


def choose_devices(
  number: int,
) -> list[jax.Device]:  # pyright: ignore[reportInvalidTypeForm]
  """The first `number` devices, or all for 0; UserError if there are fewer."""
  devices = jax.local_devices()
  if not 0 <= number <= len(devices):
    raise errors.UserError(
      f'--config.parallel.devices={number}, but jax sees {len(devices)}'
      f' {devices[0].platform} device(s). 0 uses all.'
    )
  return devices[: number or None]


def choose_strategy(strategy: str, platform: str) -> str:
  """The default strategy for the folds of one device, without measuring.

  loop: a program per step, for one fold. unroll: the same for several folds.
  map, vmap: a program per epoch that scans over its steps, for one fold after
  the other or vectorised over folds. vmap_products: vmap with convolutions as
  matrix products. `tuning` measures them.

  On a CPU, gradients of convolutions inside a compiled loop run five times
  slower, and vmap is limited by memory bandwidth.
  """
  if strategy != 'auto':
    return strategy
  return 'loop' if platform == 'cpu' else 'map'


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
