"""Weights under the names and layouts of other code -> a model's variables.

A model that others have published says in `official_names`, a `Names`, what its
authors call its entries. Layouts are theirs: convolutions (out, in, rows,
columns), matrices (out, in); ours lead with the window and end in (in, out).
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

# Last part of a name -> what the entry may be called here, collection first.
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
  r"""How the entries of another's code are called here.

  Attributes:
    rules: (pattern, replacement) pairs for `re.sub`, applied to a dotted name
      one after another. What comes out is the path of modules here, and as its
      last part what the entry is there: 'weight', 'running_mean', .... A part
      such as 'query|key|value' cuts the entry into as many equal pieces along
      its first axis.
    unused: patterns of whole names that have no use here: counters, tables
      that are computed, heads that nothing reads.

  >>> names = Names(rules=(('qkv', 'query|key|value'),))
  >>> names.pieces('block.qkv.weight')
  ['block.query.weight', 'block.key.weight', 'block.value.weight']
  >>> list(names.candidates('block.query.weight'))
  ['params.block.query.kernel', 'params.block.query.scale']
  """

  rules: Sequence[tuple[str, str]] = ()
  unused: Sequence[str] = ()

  def ignores(self, name: str) -> bool:
    """Whether an entry is known to have no use."""
    patterns = (*self.unused, r'.*num_batches_tracked')
    return any(re.fullmatch(pattern, name) for pattern in patterns)

  def within(self, *prefixes: str) -> 'Names':
    """The names of a part, which others call `prefixes`, one of them."""
    found = '|'.join(map(re.escape, prefixes))
    return dataclasses.replace(self, rules=((f'^(?:{found})', ''), *self.rules))

  def pieces(self, name: str) -> list[str]:
    """What `name` is called after the rules, one for each piece."""
    for pattern, replacement in self.rules:
      name = re.sub(pattern, replacement, name)
    *path, leaf = name.split('.')
    if not path or '|' not in path[-1]:
      return [name]
    return ['.'.join([*path[:-1], part, leaf]) for part in path[-1].split('|')]

  def candidates(self, piece: str) -> Iterator[str]:
    """What a piece may be called here, its collection first."""
    *path, leaf = piece.split('.')
    for own in _LEAVES.get(leaf, (f'params.{leaf}',)):
      collection, last = own.split('.')
      yield '.'.join([collection, *path, last])

  def in_our_order(self, value: np.ndarray, here: str) -> np.ndarray:
    """An entry with its axes in our order."""
    if here.rpartition('.')[2] == 'kernel':
      return np.moveaxis(value, (0, 1), (-1, -2))
    return value


class OurNames(Names):
  """Of what `dianet export` writes: '<member>/<collection>/<path>'."""

  def candidates(self, piece: str) -> Iterator[str]:
    """The name itself."""
    yield piece

  def in_our_order(self, value: np.ndarray, here: str) -> np.ndarray:
    """As it is."""
    del here
    return value


OURS = OurNames(((r'^\d+/', ''), ('/', '.')))


@dataclasses.dataclass(frozen=True)
class Loaded:
  """A model's variables and where they come from.

  Attributes:
    variables: as of `init`.
    used: name there -> names here.
    unused: names there that have no use here.
    kept: names here that were left as they were.
  """

  variables: Any
  used: Mapping[str, tuple[str, ...]]
  unused: tuple[str, ...]
  kept: tuple[str, ...]

  def report(self) -> str:
    """A line for every entry."""
    lines = [f'{name} -> {", ".join(to)}' for name, to in self.used.items()]
    lines += [f'{name}: unused' for name in self.unused]
    return '\n'.join(lines + [f'{name}: left as it was' for name in self.kept])


def load(
  names: Names,
  variables: Any,
  tensors: Mapping[str, np.ndarray],
  keep: Sequence[str] = (),
  dtype: Any = None,
) -> Loaded:
  """A model's variables, filled with the entries of another's code.

  Args:
    names: of the model.
    variables: of the model, or their shapes where none is kept.
    tensors: name there -> array.
    keep: modules here, such as 'classifier', that stay as they are.
    dtype: of the variables; None is that of `variables`.

  Raises:
    UserError: an entry that is not known, of another shape, or lacking.

  >>> names = Names(rules=(('^fc', 'classifier'),))
  >>> kernel = np.zeros((2, 3), np.float32)
  >>> variables = {'params': {'classifier': {'kernel': kernel}}}
  >>> print(load(names, variables, {'fc.weight': np.ones((3, 2))}).report())
  fc.weight -> params.classifier.kernel
  """
  held = flax.traverse_util.flatten_dict(variables, sep='.')
  kept = tuple(n for n in held if any(f'.{k}.' in f'.{n}.' for k in keep))
  filled = {name: held[name] for name in kept}
  used, unused = {}, []
  for name, value in tensors.items():
    if names.ignores(name):
      unused.append(name)
      continue
    pieces = names.pieces(name)
    places = [
      [own for own in names.candidates(piece) if own in held]
      for piece in pieces
    ]
    found = [own for own, *_ in filter(None, places)]
    if len(found) < len(pieces):
      expected = ' or '.join(names.candidates(pieces[0]))
      raise errors.UserError(
        f'The entry {name!r} has no place in the model: expected one called'
        f' {expected}. Is it a file of this model, and do the settings fit it?'
      )
    if set(found) <= set(kept):
      unused.append(name)
      continue
    used[name] = tuple(found)
    for here, part in zip(found, _cut(name, value, len(found))):
      part = names.in_our_order(part, here)
      filled[here] = _laid_out(name, part, here, held[here], dtype)
  lacking = [name for name in held if name not in filled]
  if lacking:
    raise errors.UserError(
      f'The file lacks {len(lacking)} entries of the model, the first is'
      f' {lacking[0]!r}. Is it a file of this model, and do the settings fit?'
    )
  ordered = {name: filled[name] for name in held}
  return Loaded(
    flax.traverse_util.unflatten_dict(ordered, sep='.'),
    used,
    tuple(unused),
    kept,
  )


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """Entries of a .safetensors, .npz, .pth or .pt file; nothing is executed.

  Raises:
    UserError: another kind of file, or one that cannot be read.

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
      f'{path} cannot be read: {error}. Expected a whole file of numbers;'
      ' Python objects would be executed.'
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
      f'The entry {name!r} of shape {value.shape} holds {pieces} matrices, so'
      f' {pieces} should divide its first axis.'
    )
  return np.split(np.asarray(value), pieces)


def _laid_out(name, value, here, wanted, dtype) -> jax.Array:
  """In our shape; axes of one entry may come or go."""
  shapes = [
    [n for n in shape if n != 1] for shape in (value.shape, wanted.shape)
  ]
  if shapes[0] != shapes[1]:
    raise errors.UserError(
      f'The entry {name!r} has the shape {value.shape} in our order of axes,'
      f' expected {wanted.shape}, that of {here!r}. Do the settings fit it?'
    )
  return jax.numpy.asarray(value.reshape(wanted.shape), dtype or wanted.dtype)
