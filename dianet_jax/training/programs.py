"""The programs that fold-parallel training runs, for the devices given.

The one file that knows `jax.pmap`. Devices need not be here to compile for
them. Arrays are [device, fold_on_device, ...]; folds never speak to each other:
no program has a collective.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from dianet_jax.training import trainer as trainer_lib

# Strategies that run an epoch as one program; the others run a program a step.
SCANNING = ('map', 'vmap')
# Programs that take over the memory of their second argument.
_DONATING = ('step', 'epoch', 'keep_best')


def _one_fold(trainer: trainer_lib.Trainer) -> Mapping[str, Callable[..., Any]]:
  """`function(data, *arguments)` by name; data are the images and labels."""
  return {
    'init': lambda data, fold: trainer.init(fold, data[0]),
    'gather': lambda data, state, fold: trainer.gather(state, fold, *data),
    # Its data are (): the batches hold what it needs.
    'step': lambda data, state, fold, batches: trainer.next_step(
      state, fold, batches
    ),
    'epoch': lambda data, state, fold: trainer.epoch(state, fold, *data),
    'predict': lambda data, variables, fold: trainer.predict(
      variables, data[0], fold.test_index
    ),
    'no_best': lambda data, state: trainer_lib.Best(
      jnp.float32(jnp.inf), jax.tree.map(jnp.zeros_like, state.variables)
    ),
    'keep_best': lambda data, best, state, fold: trainer.keep_best(
      best, state, fold, *data
    ),
  }


def _within_device(strategy: str, one_fold: Callable) -> Callable:
  """`one_fold(*arguments)` for arguments with a leading fold axis."""
  if strategy == 'vmap':
    return jax.vmap(one_fold)
  if strategy == 'map':
    return lambda *args: _map(lambda fold: one_fold(*fold), args)

  def one_by_one(*args):
    number = len(jax.tree.leaves(args)[0])
    results = [
      one_fold(*jax.tree.map(lambda leaf, row=row: leaf[row], args))
      for row in range(number)
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)

  return one_by_one


def _map(one_fold: Callable, folds: Any) -> Any:
  """`jax.lax.map` with the same bits for any number of folds.

  XLA inlines a loop of one fold, and drops its axis; it then rounds otherwise
  than in a loop of two. So one fold is the first of two, the loop ends behind
  it, and XLA does not know.
  """
  if len(jax.tree.leaves(folds)[0]) > 1:
    return jax.lax.map(one_fold, folds)
  two = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), folds)

  def pick(row):
    return jax.tree.map(
      lambda leaf: jax.lax.dynamic_index_in_dim(leaf, row, keepdims=False), two
    )

  def body(row, results):
    return jax.tree.map(
      lambda result, new: jax.lax.dynamic_update_index_in_dim(
        result, new, row, 0
      ),
      results,
      one_fold(pick(row)),
    )

  nothing = jax.tree.map(
    lambda leaf: jnp.zeros((2, *leaf.shape), leaf.dtype),
    jax.eval_shape(one_fold, pick(0)),
  )
  number = jax.lax.optimization_barrier(jnp.int32(1))
  results = jax.lax.fori_loop(0, number, body, nothing)
  return jax.tree.map(lambda result: result[:1], results)


def program(
  name: str,
  trainer: trainer_lib.Trainer,
  strategy: str,
  devices: Sequence[jax.Device],
) -> Callable:
  """One program over all devices and their folds.

  Args:
    name: init(data, fold), gather(data, state, fold), step((), state, fold,
      batches), epoch(data, state, fold), predict(data, variables, fold),
      no_best(data, state) or keep_best(data, best, state, fold); data are
      images [device, clip, phase, height, width, channel] and labels [device,
      clip], all else leads with [device, fold_on_device]. step, epoch and
      keep_best take over the memory of their second argument.
    trainer: what is the same in every fold.
    strategy: see `fold_parallel.choose_strategy`; not 'auto'.
    devices: of one platform.

  Returns:
    To be called, or lowered for devices that are not here.
  """
  one_fold = _one_fold(trainer)[name]

  def on_device(data, *arguments):
    return _within_device(strategy, lambda *fold: one_fold(data, *fold))(
      *arguments
    )

  # As profiles call it.
  on_device.__name__ = name
  return jax.pmap(
    on_device,
    devices=devices,
    donate_argnums=(1,) if name in _DONATING else (),
  )
