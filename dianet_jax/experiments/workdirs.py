"""Whose a workdir is: the configuration and the data that it was begun with."""

from collections.abc import Iterator
import contextlib
import fcntl
import importlib.metadata
import json
import pathlib
import platform
import sys
from typing import Any

import jax

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, hosts
from dianet_jax.data import dataset as data_lib
from dianet_jax.evaluation import report
from dianet_jax.training import checkpoints

_PACKAGES = (
  'dianet-jax', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint',
  'tensorflow-datasets', 'numpy', 'opencv-python-headless',
)  # fmt: skip


def versions() -> dict[str, str]:
  """Python, platform and the packages that a result may depend on."""
  found = {
    'python': sys.version.split()[0],
    'machine': platform.platform(),
    'device': f'{jax.device_count()} x {jax.devices()[0].device_kind}',
  }
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      found[package] = 'not installed by pip'
  return found


@contextlib.contextmanager
def exclusive(workdir: pathlib.Path) -> Iterator[None]:
  """Keeps other runs out of `workdir`; leaves no trace if nothing was written.

  Raises:
    UserError: the folder cannot be written, or another run is using it.
  """
  # Processes of one run may share a folder.
  number = jax.process_index()
  lock = workdir / (f'.lock{number}' if number else '.lock')
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    file = lock.open('w')
  except OSError as error:
    raise errors.UserError(
      f'The workdir {workdir} cannot be written ({error.strerror}).'
      ' Choose another --workdir.'
    ) from error
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise errors.UserError(
        f'Another run is using the workdir {workdir}. Wait for it, or choose'
        ' another --workdir.'
      ) from error
    try:
      yield
    finally:
      lock.unlink(missing_ok=True)
      with contextlib.suppress(OSError):
        # Only an empty folder goes: one of a run that never began.
        workdir.rmdir()


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """What a file of the workdir holds; UserError if it cannot be read."""
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as error:
    raise errors.UserError(
      f'{path} cannot be read ({error}). Remove that file, or choose another'
      ' --workdir.'
    ) from error


def read_if_there(path: pathlib.Path) -> dict[str, Any] | None:
  """`read_json`, or None where there is no such file."""
  return read_json(path) if path.exists() else None


def check_config(workdir: pathlib.Path, config: configuration.Config) -> None:
  """Refuses a workdir that holds a run of another configuration.

  Raises:
    UserError: it does; the keys that differ are named.
  """
  path = workdir / 'config.json'
  if not path.exists():
    return
  held = configuration.from_mapping(read_json(path)['config'])
  held, wanted = configuration.identity(held), configuration.identity(config)
  if held != wanted:
    raise errors.UserError(
      f'{workdir} holds a run of another configuration:\n'
      + '\n'.join(configuration.differences(held, wanted))
      + '\nChoose another --workdir, or remove that folder.'
    )


def _data_held(dataset: data_lib.Dataset) -> dict[str, Any]:
  return {'fingerprint': dataset.fingerprint, 'simulated': dataset.simulated}


def check_data(workdir: pathlib.Path, dataset: data_lib.Dataset) -> None:
  """Refuses a workdir whose finished folds are of other raw data.

  Raises:
    UserError: they are.
  """
  path = workdir / 'data.json'
  if path.exists() and read_json(path) != _data_held(dataset):
    raise errors.UserError(
      f'The raw data have changed since the run in {workdir} was begun.'
      ' Choose another --workdir, or remove that folder.'
    )


def begin(
  workdir: pathlib.Path,
  config: configuration.Config,
  dataset: data_lib.Dataset,
) -> None:
  """Notes down configuration, versions and data, before the first fold.

  Raises:
    UserError: finished folds in `workdir` are of other raw data.
  """
  check_data(workdir, dataset)
  workdir.mkdir(parents=True, exist_ok=True)
  if hosts.is_main():
    report.write_json(workdir / 'data.json', _data_held(dataset))
    checkpoints.remove_leavings(workdir)
  note_config(workdir, config)


def note_config(workdir: pathlib.Path, config: configuration.Config) -> None:
  """Writes what `check_config` reads."""
  if hosts.is_main():
    report.write_json(
      workdir / 'config.json',
      {'config': configuration.to_dict(config), 'versions': versions()},
    )
