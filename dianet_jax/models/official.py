"""Loads weights with the names and layouts of other code into a model.

A published model has `official_names`, a `Names`, which translates the names of
its authors' code. There, convolutions have the layout (out, in, rows, columns)
and matrices (out, in); here (rows, columns, in, out) and (in, out).
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import pathlib
import re
from typing import Any

import flax.traverse_util
import jax
import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from dianet_jax.core import errors
from dianet_jax.models import torch_files

# Last part of a name -> possible names here, beginning with the collection.
_LEAVES = {
  'weight': ('params.kernel', 'params.scale'),
  'bias': ('params.bias',),
  'g': ('params.scale',),
  'b': ('params.bias',),
  'running_mean': ('batch_stats.mean',),
  'running_var': ('batch_stats.var',),
}


@dataclasses.dataclass(frozen=True)
class Names:
  r"""Translation of names of entries from other code to this project.

  Attributes:
    rules: (pattern, replacement) pairs for `re.sub`, applied in order to a
      dotted name. The result is the path of modules here, followed by the name
      of the entry there, such as 'weight' or 'running_mean'. A part such as
      'query|key|value' splits the entry into equal pieces along its first axis.
    unused: patterns of complete names that are not used here, such as counters,
      computed tables and unused heads.
    modules: modules here that such a file initialises; () for all.

  >>> names = Names(rules=(('qkv', 'query|key|value'),))
  >>> names.pieces('block.qkv.weight')
  ['block.query.weight', 'block.key.weight', 'block.value.weight']
  >>> list(names.candidates('block.query.weight'))
  ['params.block.query.kernel', 'params.block.query.scale']
  """

  rules: Sequence[tuple[str, str]] = ()
  unused: Sequence[str] = ()
  modules: Sequence[str] = ()

  def ignores(self, name: str) -> bool:
    """Whether an entry is not used here."""
    patterns = (*self.unused, r'.*num_batches_tracked')
    return any(re.fullmatch(pattern, name) for pattern in patterns)

  def within(self, *prefixes: str) -> 'Names':
    """Names of a part of a model.

    Args:
      *prefixes: alternatives for the prefix of its entries in other code.
    """
    found = '|'.join(map(re.escape, prefixes))
    return dataclasses.replace(self, rules=((f'^(?:{found})', ''), *self.rules))

  def pieces(self, name: str) -> list[str]:
    """Applies the rules to a name; returns one name per piece."""
    for pattern, replacement in self.rules:
      name = re.sub(pattern, replacement, name)
    *path, leaf = name.split('.')
    if not path or '|' not in path[-1]:
      return [name]
    return ['.'.join([*path[:-1], part, leaf]) for part in path[-1].split('|')]

  def candidates(self, piece: str) -> Iterator[str]:
    """Yields possible names of a piece here, beginning with the collection."""
    *path, leaf = piece.split('.')
    for own in _LEAVES.get(leaf, (f'params.{leaf}',)):
      collection, last = own.split('.')
      yield '.'.join([collection, *path, last])

  def in_our_order(self, value: np.ndarray, here: str) -> np.ndarray:
    """Moves the axes of an entry to the layout used here.

    Args:
      value: the entry.
      here: its name here.
    """
    if here.rpartition('.')[2] == 'kernel':
      return np.moveaxis(value, (0, 1), (-1, -2))
    return value


class OurNames(Names):
  """Names in files of `dianet export`: '<member>/<collection>/<path>'."""

  def candidates(self, piece: str) -> Iterator[str]:
    """Yields the name itself."""
    yield piece

  def in_our_order(self, value: np.ndarray, here: str) -> np.ndarray:
    """Returns the entry unchanged."""
    del here
    return value


OURS = OurNames(((r'^\d+/', ''), ('/', '.')))


@dataclasses.dataclass(frozen=True)
class Loaded:
  """Variables of a model, and the entries from which they were loaded.

  Attributes:
    variables: with the structure of `init`.
    used: name there -> names here.
    unused: names there that are not used here.
    kept: names here that were not changed.
  """

  variables: Any
  used: Mapping[str, tuple[str, ...]]
  unused: tuple[str, ...]
  kept: tuple[str, ...]

  def report(self) -> str:
    """Describes all entries, one line each."""
    lines = [f'{name} -> {", ".join(to)}' for name, to in self.used.items()]
    lines += [f'{name}: unused' for name in self.unused]
    return '\n'.join(lines + [f'{name}: unchanged' for name in self.kept])


def load(
  names: Names,
  variables: Any,
  tensors: Mapping[str, np.ndarray],
  keep: Sequence[str] = (),
  dtype: Any = None,
) -> Loaded:
  """Loads the entries of other code into the variables of a model.

  Args:
    names: translation of the names.
    variables: of the model; only their shapes, if none is kept.
    tensors: name there -> array.
    keep: modules or entries here, such as 'classifier', that are not changed.
    dtype: of the result; None for that of `variables`.

  Returns:
    The variables, with the names of the entries.

  Raises:
    UserError: an entry is unknown, missing, or has another shape.

  >>> names = Names(rules=(('^fc', 'classifier'),))
  >>> kernel = np.zeros((2, 3), np.float32)
  >>> variables = {'params': {'classifier': {'kernel': kernel}}}
  >>> print(load(names, variables, {'fc.weight': np.ones((3, 2))}).report())
  fc.weight -> params.classifier.kernel
  """
  flat = flax.traverse_util.flatten_dict(variables, sep='.')
  kept = tuple(n for n in flat if any(f'.{k}.' in f'.{n}.' for k in keep))
  filled = {name: flat[name] for name in kept}
  used, unused = {}, []
  for name, value in tensors.items():
    if names.ignores(name):
      unused.append(name)
      continue
    pieces = names.pieces(name)
    places = [
      [own for own in names.candidates(piece) if own in flat]
      for piece in pieces
    ]
    found = [own for own, *_ in filter(None, places)]
    if len(found) < len(pieces):
      expected = ' or '.join(names.candidates(pieces[0]))
      raise errors.UserError(
        f'The entry {name!r} is not in the model, which has no {expected}.'
        ' Check that the file is of this model and of these settings.'
      )
    if set(found) <= set(kept):
      unused.append(name)
      continue
    used[name] = tuple(found)
    for here, part in zip(found, _cut(name, value, len(found))):
      part = names.in_our_order(part, here)
      filled[here] = _reshaped(name, part, here, flat[here], dtype)
  missing = [name for name in flat if name not in filled]
  if missing:
    raise errors.UserError(
      f'{len(missing)} entries of the model are missing in the file, such as'
      f' {missing[0]!r}. Check that the file is of this model and of these'
      ' settings.'
    )
  ordered = {name: filled[name] for name in flat}
  return Loaded(
    flax.traverse_util.unflatten_dict(ordered, sep='.'),
    used,
    tuple(unused),
    kept,
  )


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """Reads a file of weights without executing its content.

  Args:
    path: a .safetensors, .npz, .pth or .pt file.

  Returns:
    Name of each entry -> array.

  Raises:
    UserError: the file has another suffix, or cannot be read.

  >>> import tempfile
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   np.savez(f'{folder}/weights.npz', bias=np.ones(2))
  ...   entries = read(f'{folder}/weights.npz')
  >>> entries['bias'].tolist()
  [1.0, 1.0]
  """
  path = pathlib.Path(path)
  if path.suffix not in _READERS:
    raise errors.UserError(
      f'{path}: expected a file of weights, one of {", ".join(_READERS)}.'
    )
  try:
    return _READERS[path.suffix](path)
  except (OSError, ValueError, SafetensorError) as error:
    raise errors.UserError(
      f'{path} cannot be read: {error}. Expected a complete file with only'
      ' arrays; Python objects are refused, because loading executes them.'
    ) from error


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
  with np.load(path, allow_pickle=False) as file:
    return dict(file)


_READERS = {
  '.safetensors': safetensors.load_file,
  '.npz': _read_npz,
  '.pth': torch_files.read,
  '.pt': torch_files.read,
}


def _cut(name: str, value: np.ndarray, pieces: int) -> list[np.ndarray]:
  if pieces == 1:
    return [np.asarray(value)]
  if len(value) % pieces:
    raise errors.UserError(
      f'The entry {name!r} of shape {value.shape} must have {pieces} matrices,'
      f' but its first axis is not a multiple of {pieces}.'
    )
  return np.split(np.asarray(value), pieces)


def _reshaped(name, value, here, wanted, dtype) -> jax.Array:
  """The entry with the shape used here; axes of size 1 may differ."""
  shapes = [
    [n for n in shape if n != 1] for shape in (value.shape, wanted.shape)
  ]
  if shapes[0] != shapes[1]:
    raise errors.UserError(
      f'The entry {name!r} has the shape {value.shape} (in the order of axes'
      f' used here), expected {wanted.shape}, that of {here!r}. Check the'
      ' settings of the model.'
    )
  return jax.numpy.asarray(value.reshape(wanted.shape), dtype or wanted.dtype)
