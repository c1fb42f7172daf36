"""Guards a workdir: one run at a time, of one configuration and one data set.

`config.json` holds the number of its schema, the configuration that the run
was begun with, and the versions of each session; `data.json` the fingerprint
of the data.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import importlib.metadata
import os
import pathlib
import platform
import sys
from typing import Any, TextIO

import jax

from dianet_jax.core import errors, files, hosts, schema
from dianet_jax.core.config import Config
from dianet_jax.data import dataset as data_lib
from dianet_jax.experiments import configuration, migrations
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
    UserError: the folder cannot be written or locked, or another run is using
      it.
  """
  # Processes of one run may share a folder.
  number = jax.process_index()
  lock = workdir / (f'.lock{number}' if number else '.lock')
  with _locked(lock):
    try:
      yield
    finally:
      # The lock stays, unless the run never began: whoever has opened it
      # meanwhile finds out by `_is_at`. The folder of other processes stays.
      with contextlib.suppress(OSError):
        if all(path.name.startswith('.lock') for path in workdir.iterdir()):
          lock.unlink()
          workdir.rmdir()


def _locked(lock: pathlib.Path) -> TextIO:
  """The lock file, open and locked until it is closed."""
  while True:
    try:
      lock.parent.mkdir(parents=True, exist_ok=True)
      file = lock.open('w')
    except OSError as error:
      raise errors.UserError(
        f'The workdir {lock.parent} cannot be written ({error.strerror}).'
        ' Choose another --workdir.'
      ) from error
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      file.close()
      if isinstance(error, BlockingIOError):
        message = (
          f'Another run is using the workdir {lock.parent}. Wait for it, or'
          ' choose another --workdir.'
        )
      else:
        message = (
          f'{lock} cannot be locked ({error.strerror}), so two runs could write'
          ' there at once. Choose a --workdir on a file system with locks, such'
          ' as a local disk.'
        )
      raise errors.UserError(message) from error
    if _is_at(file, lock):
      return file
    file.close()


def _is_at(file: TextIO, path: pathlib.Path) -> bool:
  """Whether an open file still bears its name."""
  try:
    return os.path.samestat(os.fstat(file.fileno()), path.stat())
  except FileNotFoundError:
    return False


def _held(workdir: pathlib.Path) -> dict[str, Any] | None:
  """`config.json` in today's schema; None where there is none."""
  path = workdir / 'config.json'
  held = files.read_if_there(path)
  return None if held is None else migrations.migrate(held, path)


def load_config(workdir: pathlib.Path) -> Config:
  """The configuration of a run, whatever version has begun it.

  Keys that it did not know have their defaults.

  Raises:
    UserError: there is none, or it cannot be read.
  """
  held = _held(workdir)
  if held is None:
    raise errors.UserError(f'{workdir} is no workdir: it has no config.json.')
  try:
    return configuration.parse(held['config'])
  except errors.UserError as error:
    raise errors.UserError(f'{workdir / "config.json"}: {error}') from error


def check_config(workdir: pathlib.Path, config: Config) -> None:
  """Refuses a workdir that holds a run of another configuration.

  Raises:
    UserError: it does; the keys that differ are named.
  """
  if not (workdir / 'config.json').exists():
    return
  held = configuration.identity(load_config(workdir))
  wanted = configuration.identity(config)
  if held != wanted:
    raise errors.UserError(
      f'{workdir} holds a run of another configuration:\n'
      + '\n'.join(schema.differences(held, wanted))
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
  if path.exists() and files.read_json(path) != _data_held(dataset):
    raise errors.UserError(
      f'The raw data have changed since the run in {workdir} was begun.'
      ' Choose another --workdir, or remove that folder.'
    )


def begin(
  workdir: pathlib.Path, config: Config, dataset: data_lib.Dataset
) -> None:
  """Notes down configuration, versions and data, before the first fold.

  Raises:
    UserError: finished folds in `workdir` are of other raw data.
  """
  check_data(workdir, dataset)
  workdir.mkdir(parents=True, exist_ok=True)
  if hosts.is_main():
    files.write_json(workdir / 'data.json', _data_held(dataset))
    checkpoints.remove_leavings(workdir)
  note_config(workdir, config)


def note_config(workdir: pathlib.Path, config: Config) -> None:
  """Writes what `check_config` reads; what is there stays as it was begun."""
  if not hosts.is_main():
    return
  held = _held(workdir) or {
    'schema': migrations.SCHEMA,
    'config': schema.to_dict(config),
    'sessions': [],
  }
  session = versions()
  if session not in held['sessions']:
    held['sessions'].append(session)
  files.write_json(workdir / 'config.json', held)
