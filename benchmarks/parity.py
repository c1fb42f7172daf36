"""Compares networks of the zoo with the outputs of their authors' code.

    python -m benchmarks.parity FIXTURE... [--wave=sin|cos] [--rate=0.017]

A fixture is a JSON file with the entries of an official network in their order,
two rules that fill them, an input, and the outputs in double precision. This
program prints the outputs of our network for the input 0.5 * wave(rate * i),
with twelve digits: {system: {"outputs": ..., "outputs_fill2": ...}}. Arrays
that the fixture describes by shape, mean and deviation are described likewise.
With --json nothing else is printed. Without it, and with the fixture's input,
the largest difference from the fixture's outputs comes first.
"""

import argparse
from collections.abc import Callable, Mapping
import json
import math
import pathlib
import re
import sys
from typing import Any

import jax
import numpy as np

from benchmarks import parity_systems
from dianet_jax.core import errors

FILLS = ('', '_fill2')


def read(path: str | pathlib.Path) -> dict[str, Any]:
  """Reads a fixture.

  Raises:
    UserError: the file is missing, or not a fixture.
  """
  try:
    fixture = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
  except (OSError, json.JSONDecodeError) as error:
    raise errors.UserError(
      f'{path}: expected a fixture, a JSON file: {error}'
    ) from error
  system = fixture.get('system') if isinstance(fixture, dict) else None
  if system not in parity_systems.SYSTEMS:
    raise errors.UserError(
      f'{path} is of the system {system!r}. Known are:'
      f' {", ".join(parity_systems.SYSTEMS)}.'
    )
  return fixture


def tensors(fixture: Mapping[str, Any], fill: str) -> dict[str, np.ndarray]:
  """Name -> float64 array of every entry that the rules fill.

  Args:
    fixture: see `read`.
    fill: '' or '_fill2', as at the end of the fixture's keys.
  """
  text = fixture['fill_rule_2' if fill else 'fill_rule']
  amplitude = float(re.search(r'= ?([\d.]+)\*sin', text).group(1))
  filled = {}
  for number, name, shape, *kind in fixture['entries']:
    index = np.arange(int(np.prod(shape)))
    turn = (index * index) % 1009 if fill else 0.013 * index
    values = amplitude * np.sin(0.7 * number + turn)
    kind = kind[0] if kind else 'f'
    if kind == '1+f':
      values = 1 + values
    elif kind == '1+0.5*abs(f)':
      values = 1 + 0.5 * np.abs(values)
    elif kind != 'f':
      continue
    filled[name] = values.reshape(shape)
  return filled


def inputs(
  fixture: Mapping[str, Any], wave: str, rate: float
) -> dict[str, np.ndarray]:
  """Name -> float64 array of 0.5 * wave(rate * i)."""
  functions: Mapping[str, Callable] = {'sin': np.sin, 'cos': np.cos}
  return {
    name: 0.5
    * functions[wave](rate * np.arange(np.prod(entry['shape']))).reshape(
      entry['shape']
    )
    for name, entry in fixture['inputs'].items()
  }


def evaluate(
  fixture: Mapping[str, Any], wave: str = '', rate: float | None = None
) -> dict[str, dict[str, Any]]:
  """Outputs of our network, in the form of the fixture.

  Args:
    fixture: see `read`.
    wave: 'sin' or 'cos', for the input; '' for the fixture's, sin.
    rate: rate of the input; None for the fixture's, 0.017.

  Returns:
    'outputs', and 'outputs_fill2' where there are two fills -> name -> nested
    lists, or a description of the array.

  Raises:
    UserError: another input is requested, but the fixture has its own.
  """
  system = parity_systems.SYSTEMS[fixture['system']]
  if system.own_input and (wave or rate is not None):
    raise errors.UserError(
      f'{fixture["system"]} has a rule of its own for its input'
      f' ({system.own_input}): leave --wave and --rate out.'
    )
  given = {}
  if not system.own_input:
    rate = 0.017 if rate is None else rate
    given = inputs(fixture, wave or 'sin', rate)
  with jax.enable_x64(True):
    found = {}
    for key in system.keys:
      fill = key.removeprefix('outputs')
      entries = tensors(fixture, fill) if 'entries' in fixture else {}
      made = system.run(fixture, given, entries, key)
      found[key] = {
        name: _as_in(fixture[key][name], made[name]) for name in fixture[key]
      }
  return found


def _as_in(expected: Any, made: Any) -> Any:
  """An array as nested lists, or described as in the fixture."""
  if isinstance(made, Mapping):
    return {name: _as_in(expected[name], made[name]) for name in expected}
  values = np.asarray(made)
  if not isinstance(expected, Mapping):
    return _rounded(values.tolist())
  flat = values.ravel()
  described = {
    'shape': list(values.shape),
    'axes': expected.get('axes'),
    'mean': flat.mean(),
    'std_population': flat.std(),
    'first5': flat[:5].tolist(),
    'last5': flat[-5:].tolist(),
  }
  return {key: _rounded(described[key]) for key in expected}


def _rounded(value: Any) -> Any:
  """Twelve digits of every float."""
  if isinstance(value, list):
    return [_rounded(entry) for entry in value]
  return float(f'{value:.12g}') if isinstance(value, float) else value


def difference(found: Any, expected: Any) -> float:
  """The largest difference of two numbers at one place.

  Infinite where shapes differ.
  """
  if isinstance(expected, Mapping):
    if found.keys() != expected.keys():
      return float('inf')
    pairs = [(found[key], expected[key]) for key in expected]
  elif isinstance(expected, list):
    if not isinstance(found, list) or len(found) != len(expected):
      return float('inf')
    pairs = list(zip(found, expected))
  elif isinstance(expected, (str, type(None))):
    return 0.0
  else:
    # Relative above 1: the fixtures have ten digits.
    return abs(found - expected) / max(1.0, abs(expected))
  return max((difference(*pair) for pair in pairs), default=0.0)


def main() -> None:
  """See the module's docstring."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('fixtures', nargs='+', metavar='FIXTURE')
  parser.add_argument('--wave', choices=('sin', 'cos'), default='')
  parser.add_argument('--rate', type=float)
  parser.add_argument('--json', action='store_true')
  arguments = parser.parse_args()
  if arguments.rate is not None and not math.isfinite(arguments.rate):
    parser.error(f'--rate={arguments.rate}: expected a finite number.')
  changed = arguments.wave or arguments.rate is not None
  results = {}
  for path in arguments.fixtures:
    try:
      fixture = read(path)
      found = evaluate(fixture, arguments.wave, arguments.rate)
    except errors.UserError as error:
      sys.exit(str(error))
    results[fixture['system']] = found
    if not (arguments.json or changed):
      largest = difference(found, {key: fixture[key] for key in found})
      print(f'{fixture["system"]}: within {largest:.1e}')
  print(json.dumps(results, indent=None if arguments.json else 1))


if __name__ == '__main__':
  main()
