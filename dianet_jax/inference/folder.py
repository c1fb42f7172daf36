"""Writes bundles to folders and reads them.

    bundle.json        model, preprocessing, inputs; `schema` is its version
    weights.safetensors  '<member>/<collection>/<path>' -> array
    model.stablehlo    the networks as a program for any number of clips, on
                       CPUs, CUDA and TPUs: `jax.export.deserialize` runs it
                       without this package (with JAX up to six months newer)
    calibration.json   the temperature, and how it was fitted
    example.npz        random inputs, and the networks' outputs for them
    README.md          the model card
    SHA256SUMS         of all these, in the format of `sha256sum -c`

Reading is safe for files of unknown origin: it executes and unpickles nothing,
and validates all content.
"""

from collections.abc import Mapping
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
from typing import Any

from flax import traverse_util
import jax
import jax.export
import numpy as np
import safetensors
import safetensors.numpy

from dianet_jax.core import config, errors, files, paths, schema
from dianet_jax.inference import bundle as bundle_lib
from dianet_jax.inference import card
from dianet_jax.models import registry as models

SCHEMA = 1
# The bundle of the package, trained on published flow images of MEGC 2019.
SHIPPED = pathlib.Path(__file__).parent / 'bundles' / 'megc2019_flow'
PLATFORMS = ('cpu', 'cuda', 'tpu')
_NAMES = (
  'bundle.json', 'weights.safetensors', 'model.stablehlo', 'calibration.json',
  'example.npz', 'README.md',
)  # fmt: skip
_SUMS = 'SHA256SUMS'
_EXAMPLES = 2
# Of log-probabilities, in nats: other machines round differently.
_TOLERANCE = 1e-3
_INPUT = 'input/'


@dataclasses.dataclass(frozen=True)
class _Settings:
  """The parts of `bundle.json` that are sections of a configuration."""

  data: config.Data = schema.section(config.Data)
  model: config.Model = schema.section(config.Model)


def save(bundle: bundle_lib.Bundle, out: str | os.PathLike[str]) -> None:
  """Writes a bundle.

  Args:
    bundle: the bundle; its networks are run on random inputs for the example.
    out: a folder that does not exist or is empty.

  Raises:
    UserError: `out` is not empty, or cannot be written.

  >>> import tempfile
  >>> with tempfile.TemporaryDirectory() as out:
  ...   save(load(), out)
  ...   names = sorted(os.listdir(out))
  >>> names[:4]
  ['README.md', 'SHA256SUMS', 'bundle.json', 'calibration.json']
  """
  out = paths.normal(out, 'OUT')
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise errors.UserError(
      f'{out} exists already. Choose another folder, or remove it.'
    )
  # Written under another name, so that a folder of this name is complete.
  aside = out.with_name(out.name + '.tmp')
  shutil.rmtree(aside, ignore_errors=True)
  try:
    aside.mkdir(parents=True)
    _write(bundle, aside)
    if out.exists():
      out.rmdir()
    aside.rename(out)
  except OSError as error:
    raise errors.UserError(
      f'{out} cannot be written ({error.strerror}).'
    ) from error
  finally:
    shutil.rmtree(aside, ignore_errors=True)


def _write(bundle: bundle_lib.Bundle, folder: pathlib.Path) -> None:
  weights = _flat(bundle.members)
  (folder / 'weights.safetensors').write_bytes(safetensors.numpy.save(weights))
  (folder / 'model.stablehlo').write_bytes(_program(bundle).serialize())
  files.write_json(folder / 'calibration.json', dict(bundle.calibration))
  inputs = _made_inputs(bundle)
  logs = bundle.log_probabilities_of(inputs)
  example: dict[str, Any] = {
    _INPUT + name: values for name, values in inputs.items()
  }
  example['log_probabilities'] = np.asarray(logs)
  np.savez(folder / 'example.npz', **example)
  files.write_json(folder / 'bundle.json', _description(bundle))
  parameters = sum(
    array.size for key, array in weights.items() if key.startswith('0/params/')
  )
  (folder / 'README.md').write_text(
    card.text(bundle, parameters), encoding='utf-8'
  )
  (folder / _SUMS).write_text(
    ''.join(f'{_digest(folder / name)}  {name}\n' for name in _NAMES)
  )


def _description(bundle: bundle_lib.Bundle) -> dict[str, Any]:
  channels, views = bundle.channels, bundle.views
  data = schema.to_dict(bundle.data)
  # Paths of the training machine mean nothing on another.
  data['manual_dir'] = data['cache_dir'] = ''
  return {
    'schema': SCHEMA,
    'name': bundle.name,
    'classes': list(bundle.classes),
    'members': len(bundle.members),
    'data': data,
    'model': schema.to_dict(bundle.model),
    'inputs': {
      name: {
        'representation': bundle.feed[name],
        'shape': list(spec.shape),
        'channels': [{'name': c.name, 'unit': c.unit} for c in channels[name]],
        'views': list(views[name]),
      }
      for name, spec in bundle.specs.items()
    },
    'program': {
      'platforms': list(PLATFORMS),
      'arguments': 'members (a tuple of variables), inputs (name -> float32'
      ' [clip, ...], raw)',
      'returns': 'log-probabilities float32 [clip, class]; calibrated:'
      ' softmax(them / temperature)',
      'jax': jax.__version__,
    },
    'facts': dict(bundle.facts),
  }


def _flat(members) -> dict[str, np.ndarray]:
  flat = traverse_util.flatten_dict(
    {str(n): dict(variables) for n, variables in enumerate(members)}, sep='/'
  )
  return {key: np.ascontiguousarray(value) for key, value in flat.items()}


def _nested(flat: Mapping[str, Any], count: int) -> tuple[dict[str, Any], ...]:
  nested = traverse_util.unflatten_dict(dict(flat), sep='/')
  return tuple(nested[str(n)] for n in range(count))


def _program(bundle: bundle_lib.Bundle) -> jax.export.Exported:
  """`log_probabilities` for any number of clips on all `PLATFORMS`."""
  [clip] = jax.export.symbolic_shape('clip')
  inputs = {
    name: jax.ShapeDtypeStruct((clip, *spec.shape), spec.dtype)
    for name, spec in bundle.specs.items()
  }
  shapes = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype),
    tuple(map(dict, bundle.members)),
  )
  program = jax.jit(lambda *args: bundle.log_probabilities(*args))
  return jax.export.export(program, platforms=PLATFORMS)(shapes, inputs)


def _made_inputs(bundle: bundle_lib.Bundle) -> dict[str, np.ndarray]:
  """Random inputs, so that the example shows no face."""
  rng = np.random.default_rng(0)
  return {
    name: rng.normal(size=(_EXAMPLES, *spec.shape)).astype(np.float32)
    for name, spec in bundle.specs.items()
  }


def load(path: str | os.PathLike[str] = SHIPPED) -> bundle_lib.Bundle:
  """Reads a bundle and checks it on its own example.

  Args:
    path: the folder.

  Returns:
    The bundle.

  Raises:
    UserError: the folder is not a bundle, has another schema version, is
      damaged, or its networks have other outputs for the example than when it
      was exported.

  >>> bundle = load()
  >>> bundle.classes, dict(bundle.feed)
  (('negative', 'positive', 'surprise'), {'dynamic_images': 'phase_flow'})
  """
  folder = paths.normal(path, 'bundle')
  _check_sums(folder)
  recorded = _read_json(folder / 'bundle.json')
  if recorded.get('schema') != SCHEMA:
    raise errors.UserError(
      f'{folder}/bundle.json has schema {recorded.get("schema")!r}, but this'
      f' version reads {SCHEMA}. Update dianet-jax, or export the run again.'
    )
  bundle = _described(folder, recorded, _read_json(folder / 'calibration.json'))
  bundle = dataclasses.replace(
    bundle, members=_weights(folder, bundle, recorded['members'])
  )
  _check_example(folder, bundle)
  return bundle


def _check_sums(folder: pathlib.Path) -> None:
  missing = [n for n in (*_NAMES, _SUMS) if not (folder / n).is_file()]
  if missing:
    raise errors.UserError(
      f'{folder} is not a bundle: {", ".join(missing)} is missing. Expected a'
      ' complete copy of a folder that `dianet export` wrote.'
    )
  text = (folder / _SUMS).read_text(encoding='utf-8', errors='replace')
  sums = {
    name: digest
    for digest, name in re.findall(r'^([0-9a-f]{64})  (\S+)$', text, re.M)
  }
  for name in _NAMES:
    if _digest(folder / name) != sums.get(name):
      raise errors.UserError(
        f'{folder}/{name} is not the exported file: its SHA-256 differs from'
        f' that in {_SUMS}. Copy the bundle again.'
      )


def _digest(path: pathlib.Path) -> str:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  try:
    recorded = json.loads(path.read_text(encoding='utf-8'))
  except (RecursionError, ValueError) as error:
    raise _damaged(path, error) from error
  if not isinstance(recorded, dict):
    raise _damaged(path, 'not a JSON object')
  return recorded


def _damaged(path: pathlib.Path, why: Any) -> errors.UserError:
  return errors.UserError(
    f'{path} is not a valid file of `dianet export` ({why}). Export the run'
    ' again.'
  )


def _described(
  folder: pathlib.Path, recorded: dict[str, Any], calibration: dict[str, Any]
) -> bundle_lib.Bundle:
  """The bundle without its members, with validated fields."""
  path = folder / 'bundle.json'
  try:
    settings = schema.parse(
      {'data': recorded['data'], 'model': recorded['model']},
      _Settings,
      {'model': lambda name: models.MODELS[name].Settings},
    )
    bundle = bundle_lib.Bundle(
      name=str(recorded['name']),
      classes=tuple(map(str, recorded['classes'])),
      data=settings.data,
      model=settings.model,
      members=(),
      calibration=calibration,
      facts=dict(recorded['facts']),
    )
    if not bundle.classes or not 1 <= recorded['members'] <= 1000:
      raise ValueError('no classes or no networks')
    if not 0 < calibration['temperature'] < 1e6:
      raise ValueError(f'temperature {calibration["temperature"]}')
    shapes = {n: list(spec.shape) for n, spec in bundle.specs.items()}
    written = {n: spec['shape'] for n, spec in recorded['inputs'].items()}
    if shapes != written:
      raise ValueError(f'inputs {written}, expected {shapes}')
  except (LookupError, TypeError, ValueError, errors.UserError) as error:
    raise _damaged(path, error) from error
  return bundle


def _weights(
  folder: pathlib.Path, bundle: bundle_lib.Bundle, count: int
) -> tuple[dict[str, Any], ...]:
  path = folder / 'weights.safetensors'
  try:
    found = safetensors.numpy.load_file(path)
  except (safetensors.SafetensorError, OSError, ValueError) as error:
    raise _damaged(path, error) from error
  one = bundle.expected_variables()
  expected = traverse_util.flatten_dict(
    {str(n): dict(one) for n in range(count)}, sep='/'
  )
  for key in sorted(expected.keys() | found.keys()):
    wanted, there = (_form(side.get(key)) for side in (expected, found))
    if wanted != there:
      raise _damaged(path, f'{key} is {there}, expected {wanted}')
  if not all(np.isfinite(array).all() for array in found.values()):
    raise _damaged(path, 'a value is NaN or infinite')
  return _nested(found, count)


def _form(array: Any) -> str:
  if array is None:
    return 'missing'
  return f'{array.dtype} {list(array.shape)}'


def _check_example(folder: pathlib.Path, bundle: bundle_lib.Bundle) -> None:
  path = folder / 'example.npz'
  try:
    with np.load(path, allow_pickle=False) as example:
      inputs = {
        name.removeprefix(_INPUT): example[name]
        for name in example.files
        if name.startswith(_INPUT)
      }
      expected = example['log_probabilities']
    # One clip at a time, as in `predict`, so that only one program is compiled.
    logs = np.concatenate(
      [
        bundle.log_probabilities_of(
          {name: values[clip : clip + 1] for name, values in inputs.items()}
        )
        for clip in range(len(expected))
      ]
    )
    difference = float(np.abs(logs - expected).max())
  except (EOFError, LookupError, OSError, TypeError, ValueError) as error:
    raise _damaged(path, error) from error
  if not difference <= _TOLERANCE:
    raise errors.UserError(
      f'{folder}: the outputs of the networks for {path.name} differ from those'
      f' at export (log-probabilities by {difference:.3g}). This version of'
      ' dianet-jax computes them differently: install the version in'
      ' bundle.json, under facts.versions.'
    )
