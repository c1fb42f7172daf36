"""Initial weights from a file: which part of a model it initialises.

A file of `dianet export` initialises the complete network. A file with the
names of other projects initialises the complete network of a model with
`official_names`, the modules of the names that its `names_in` returns, or those
listed in `official_parts`, such as every backbone. Layers whose shape depends
on the number of classes are always initialised at random, because the classes
of a file are unknown.
"""

from collections.abc import Mapping
import dataclasses
import hashlib
import pathlib
import re
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from dianet_jax.core import errors
from dianet_jax.models import official
from dianet_jax.models.registry import Model


@dataclasses.dataclass(frozen=True)
class InitialWeights:
  """Initial weights of networks, read from a file.

  Attributes:
    file: name of the file, without the folder.
    sha256: of its content, hexadecimal.
    variables: the variables of the model that the file has, float32.
    used: name in the file -> names here.
    unused: names in the file that are not used here.
    new: names here that are initialised at random.
  """

  file: str
  sha256: str
  variables: Mapping[str, Any]
  used: Mapping[str, tuple[str, ...]]
  unused: tuple[str, ...]
  new: tuple[str, ...]


def checksum(path: pathlib.Path) -> str:
  """Computes the SHA-256 of a file.

  Args:
    path: of the file.

  Returns:
    64 hexadecimal digits.

  Raises:
    UserError: the file cannot be read.

  >>> import tempfile
  >>> with tempfile.NamedTemporaryFile() as empty:
  ...   checksum(pathlib.Path(empty.name))[:8]
  'e3b0c442'
  """
  try:
    with path.open('rb') as file:
      return hashlib.file_digest(file, 'sha256').hexdigest()
  except OSError as error:
    raise errors.UserError(
      f'--config.model.pretrained={path} cannot be read ({error.strerror}).'
      ' Expected a file of weights.'
    ) from error


def load(
  path: pathlib.Path, model: Model, inputs: Mapping[str, jax.ShapeDtypeStruct]
) -> InitialWeights:
  """Reads the initial weights of a model.

  Args:
    path: of a file that `official.read` supports.
    model: with its number of classes and settings.
    inputs: name of each input -> shape, without clip axis, and dtype.

  Returns:
    The weights, with the names of the entries.

  Raises:
    UserError: the file cannot be read, or an entry is unknown, missing, has
      another shape or is not finite; the message names it.

  >>> import tempfile
  >>> from dianet_jax.models.registry import MODELS
  >>> model = MODELS['ststnet'](3, MODELS['ststnet'].Settings())
  >>> inputs = {'phase_flow': jax.ShapeDtypeStruct((1, 28, 28, 3), 'float32')}
  >>> path = pathlib.Path(tempfile.mkdtemp(), 'ststnet.npz')
  >>> np.savez(path, **{'conv1.weight': np.zeros((3, 3, 3, 3), np.float32)})
  >>> try:
  ...   load(path, model, inputs)
  ... except errors.UserError as error:
  ...   print(str(error).split(': ')[1][:47])
  17 entries of the model are missing in the file
  """
  sha256 = checksum(path)
  tensors = official.read(path)
  shapes = _shapes(model, inputs)
  heads = _heads(model, inputs, shapes)
  try:
    filled, used, unused = _filled(model, tensors, shapes, heads)
  except errors.UserError as error:
    advise = getattr(model, 'settings_for', lambda tensors: '')
    message = ' '.join(filter(None, [f'{path}: {error}', advise(tensors)]))
    raise errors.UserError(message) from error
  if not filled:
    raise errors.UserError(
      f'{path} has no entry that {model.settings.name} can use.'
    )
  bad = [name for name, array in filled.items() if not _is_finite(array)]
  if bad:
    raise errors.UserError(f'{path}: {bad[0]!r} holds NaN or infinite values.')
  return InitialWeights(
    path.name,
    sha256,
    flax.traverse_util.unflatten_dict(filled, sep='.'),
    used,
    unused,
    tuple(name for name in shapes if name not in filled),
  )


def _is_finite(array: Any) -> bool:
  return bool(np.isfinite(array).all())


def _shapes(
  model: Model, inputs: Mapping[str, jax.ShapeDtypeStruct]
) -> dict[str, Any]:
  """Dotted name of each variable -> shape and dtype."""

  def init():
    blank = {
      name: jnp.zeros((1, *spec.shape), spec.dtype)
      for name, spec in inputs.items()
    }
    return model.init(jax.random.key(0), blank)

  return flax.traverse_util.flatten_dict(dict(jax.eval_shape(init)), sep='.')


def _heads(model: Model, inputs, shapes) -> list[str]:
  """Names of variables whose shape depends on the number of classes."""
  wider = type(model)(model.num_classes + 1, model.settings, model.dtype)
  others = _shapes(wider, inputs)
  return [n for n in shapes if shapes[n].shape != others[n].shape]


def _filled(model: Model, tensors, shapes, heads):
  """Name here -> array; name in the file -> names here; unused names."""
  tree = flax.traverse_util.unflatten_dict(shapes, sep='.')
  filled, used, unused = {}, {}, ()
  for names, own in _parts(model, tensors, shapes):
    keep = [name for name in shapes if name in heads or name not in own]
    part = official.load(names, tree, tensors, keep)
    flat = flax.traverse_util.flatten_dict(dict(part.variables), sep='.')
    filled |= {name: flat[name] for name in flat if name not in keep}
    for there, here in part.used.items():
      used[there] = (*used.get(there, ()), *here)
    unused = part.unused
  return filled, used, unused


def _names_in(model: Model, tensors) -> official.Names | None:
  """The names of the model's authors in this file; None if unknown."""
  if choose := getattr(model, 'names_in', None):
    return choose(tensors)
  return getattr(model, 'official_names', None)


def _parts(model: Model, tensors, shapes):
  """Translations of names in the file, each with its entries here."""
  if any('/' in name for name in tensors):
    members = {match[0] for n in tensors if (match := re.match(r'\d+/', n))}
    if len(members) > 1:
      raise errors.UserError(
        f'it holds {len(members)} networks, expected one. `dianet export RUN'
        ' OUT --final` writes a file with one network.'
      )
    return [(official.OURS, [*shapes])]
  if names := _names_in(model, tensors):
    own = names.modules or {name.split('.')[1] for name in shapes}
    return [(names, [n for n in shapes if n.split('.')[1] in own])]
  found = getattr(model, 'official_parts', dict)()
  parts = []
  for pattern, names in found.items():
    of_module: dict[str, list[str]] = {}
    for name in shapes:
      module = name.split('.')[1]
      if re.fullmatch(pattern, module):
        of_module.setdefault(module, []).append(name)
    for module, own in of_module.items():
      rules = (*names.rules, ('^', f'{module}.'))
      parts.append((dataclasses.replace(names, rules=rules), own))
  if not parts:
    raise errors.UserError(
      f'the names used by other code for {model.settings.name} with these'
      ' settings are not known. Expected weights.safetensors of a bundle'
      ' (`dianet export`), or --config.model.backbone=resnet18 if the model has'
      ' this setting.'
    )
  return parts
