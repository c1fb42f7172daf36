"""Checks shapes and dtypes of annotated arrays at every call.

A checker for jaxtyping's import hook. Those that there are check all other
types as well, and tests hand in less than a whole program does.
"""

from collections.abc import Callable
import functools
import inspect
import types
import typing
from typing import Any

import jax
import jaxtyping
import numpy as np
import pytest

_ARRAYS = (jax.Array, np.ndarray)


def check_calls() -> None:
  """Installs the checks; must be called before the package is imported."""
  jaxtyping.install_import_hook('dianet_jax', f'{__name__}.check')


def check(function: Callable) -> Callable:
  """`function`, with a TypeError for an array of another shape or dtype."""
  hints = {
    name: arrays
    for name, hint in getattr(function, '__annotations__', {}).items()
    if (arrays := _arrays(hint))
  }
  if not hints:
    return function
  signature = inspect.signature(function)

  @functools.wraps(function)
  def checked(*args, **kwargs):
    for name, value in signature.bind(*args, **kwargs).arguments.items():
      _check(name, value, hints.get(name, ()))
    result = function(*args, **kwargs)
    _check('result', result, hints.get('return', ()))
    return result

  return checked


@functools.cache
def _of(kind: type, hint: Any) -> Any:
  """The hint for arrays of jax or of NumPy, which serve for each other."""
  return hint.dtype[kind, hint.dim_str]


def _arrays(hint: Any) -> tuple[Any, ...]:
  """The array types among a hint's alternatives."""
  if typing.get_origin(hint) in (typing.Union, types.UnionType):
    return tuple(a for part in typing.get_args(hint) for a in _arrays(part))
  is_array = inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray)
  return (hint,) if is_array else ()


def _check(name: str, value: Any, hints: tuple[Any, ...]) -> None:
  if not hints or not isinstance(value, _ARRAYS):
    return
  kind = next(kind for kind in _ARRAYS if isinstance(value, kind))
  if not any(isinstance(value, _of(kind, hint)) for hint in hints):
    raise TypeError(
      f'{name} is {value.dtype}{list(value.shape)}, expected {hints}'
    )


@pytest.fixture
def unchecked():
  """Switches the checks off, for tests of the program's own error messages."""
  jaxtyping.config.update('jaxtyping_disable', True)
  yield
  jaxtyping.config.update('jaxtyping_disable', False)
