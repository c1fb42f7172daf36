"""Fills networks with the entries of a fixture of `benchmarks.parity`."""

from collections.abc import Callable, Mapping
import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dianet_jax.models import official

Arrays = Mapping[str, np.ndarray]
# (fixture, inputs, entries, which outputs) -> outputs by name.
Run = Callable[[Mapping[str, Any], Arrays, Arrays, str], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class System:
  """One fixture.

  Attributes:
    run: returns its outputs, in the original's layout.
    own_input: the rule of its input if that is not a wave; '' otherwise.
    keys: keys of the fixture that `run` returns.
  """

  run: Run
  own_input: str = ''
  keys: tuple[str, ...] = ('outputs', 'outputs_fill2')


def variables_of(
  module: nn.Module,
  names: official.Names,
  entries: Arrays,
  *arguments: Any,
  **options: Any,
) -> Any:
  """The module's variables in float64, every one of them from `entries`."""
  shapes = jax.eval_shape(
    lambda key: module.init(key, *arguments, **options), jax.random.key(0)
  )
  return official.load(names, shapes, entries, dtype=np.float64).variables


@functools.cache
def _compiled(module: nn.Module) -> Callable:
  """One program for both fills."""
  return jax.jit(lambda v, a, o: module.apply(v, *a, **o))


def apply(
  module: nn.Module,
  names: official.Names,
  entries: Arrays,
  *arguments: Any,
  **options: Any,
) -> Any:
  """Outputs of the module with parameters from `entries`."""
  variables = variables_of(module, names, entries, *arguments, **options)
  return _compiled(module)(variables, arguments, options)


def last(x: np.ndarray) -> jax.Array:
  """Channels, the third axis from the end, become the last."""
  return jnp.moveaxis(jnp.asarray(x), -3, -1)


def first(x: jax.Array) -> jax.Array:
  """Channels, the last axis, become the third from the end."""
  return jnp.moveaxis(x, -1, -3)


def tokens(x: np.ndarray) -> jax.Array:
  """[..., channel, row, column] -> [..., token, channel]."""
  x = last(x)
  return x.reshape(*x.shape[:-3], -1, x.shape[-1])


def maps(x: jax.Array, side: int) -> jax.Array:
  """[clip, token, channel] -> [clip, channel, row, column]."""
  return first(x.reshape(len(x), side, side, -1))
