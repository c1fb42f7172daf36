"""Registry of data sets; each has a folder that declares all facts about it.

A folder `<name>` holds `facts.py` with `FACTS`, and the TFDS builder in
`<name>_dataset_builder.py`. Folders in `tfds_builders` are found by their
builder; `register` adds those of other packages. Facts import no TFDS.
"""

from collections.abc import Mapping
import dataclasses
import difflib
import importlib
import pathlib
import shlex
from typing import Any

from dianet_jax.core import errors
import tfds_builders
from tfds_builders import raw_folder
from tfds_builders.simulation import layouts

# Name -> package of data sets outside `tfds_builders`.
_registered: dict[str, str] = {}


@dataclasses.dataclass(frozen=True)
class Expected:
  """Counts of the complete data set, from its spreadsheet.

  Attributes:
    clips: number of clips; several if published versions differ.
    subjects: number of subjects with clips.
    emotions: raw emotion in lower case -> number of clips, in the first
      version.
  """

  clips: tuple[int, ...]
  subjects: int
  emotions: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Facts:
  """All facts about a data set, declared in its folder.

  Attributes:
    guide: where to get the data set, and its layout on disk.
    reading: everything besides the files on which records depend, such as a
      `clips.DataSet`. Its `repr` enters the fingerprint of prepared records, so
      it must be the same in every process: no sets, no functions.
    protocols: name -> `protocols.Protocol`.
    expected: counts of the complete data set; None if unknown.
    config: the configuration file that trains on it; '' if there is none.
    simulation: the layout that `simulate` writes; None if it cannot.
    stored: the representation that the records hold as images; '' if they hold
      frames.
  """

  guide: raw_folder.Guide
  reading: Any
  protocols: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  expected: Expected | None = None
  config: str = ''
  simulation: layouts.Layout | None = None
  stored: str = ''


def register(name: str, package: str) -> None:
  """Adds a data set of another package, for example from a configuration file.

  Registering the same data set again has no effect.

  Args:
    name: name of the data set, the last part of the package's name.
    package: for example 'our_lab.ours'.

  Raises:
    errors.UserError: another data set has this name.
  """
  if name in names() and _package(name) != package:
    raise errors.UserError(
      f'The data set {name} of {package} cannot be registered: {_package(name)}'
      ' has the same name. Choose another name.'
    )
  _registered[name] = package


def names() -> list[str]:
  """Names of all data sets, sorted."""
  found = {
    path.parent.name
    for folder in tfds_builders.__path__
    for path in pathlib.Path(folder).glob('*/*_dataset_builder.py')
  }
  return sorted(found | set(_registered))


def facts(name: str) -> Facts:
  """Imports the facts of a data set, without TFDS.

  Args:
    name: one of `names()`.

  Raises:
    errors.UserError: the data set is unknown.
  """
  return importlib.import_module(f'{_package(name)}.facts').FACTS


def builder(name: str) -> Any:
  """Imports the builder class of a data set, and TFDS with it.

  Args:
    name: one of `names()`.

  Raises:
    errors.UserError: the data set is unknown.
  """
  module = f'{_package(name)}.{name}_dataset_builder'
  return importlib.import_module(module).Builder


def train_command(name: str, options: Mapping[str, str]) -> str:
  """The shell command that trains on a data set.

  >>> train_command('smic', {'variant': 'raw'})
  'python main.py --config=configs/smic.py --config.data.variant=raw'

  Args:
    name: name of the data set.
    options: key of `config.data` -> value; '' leaves the default.

  Raises:
    errors.UserError: the data set is unknown.
  """
  declared = facts(name)
  if not declared.config:
    protocol = options.get('protocol') or next(iter(declared.protocols), '')
    options = {**options, 'dataset': name, 'protocol': protocol}
  config = declared.config or 'configs/default.py'
  keys = [
    f'--config.data.{key}={shlex.quote(value)}'
    for key, value in options.items()
    if value
  ]
  return ' '.join(['python main.py', f'--config={config}', *keys])


def _package(name: str) -> str:
  known = names()
  if name in known:
    return _registered.get(name, f'tfds_builders.{name}')
  nearest = max(
    known, key=lambda other: difflib.SequenceMatcher(None, name, other).ratio()
  )
  raise errors.UserError(
    f"Unknown data set '{name}' (config key data.dataset): did you mean "
    f"'{nearest}'? There are {', '.join(known)}."
  )
