"""Guards a workdir: one run at a time, of one configuration and one data set.

`config.json` has the version of its schema, the configuration of the run, the
strategy that was measured to be the fastest, and the versions of each session;
`data.json` describes its data, see `origin`; `metrics.json` has the result, and
exists if the run is finished.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import fcntl
import importlib.metadata
import os
import pathlib
import platform
import sys
from typing import Any, TextIO

import jax

from dianet_jax.core import errors, faults, files, hosts, progress, schema
from dianet_jax.core.config import Config
from dianet_jax.data import dataset as data_lib
from dianet_jax.evaluation import report
from dianet_jax.experiments import (
  configuration,
  initial_weights,
  migrations,
  origin,
)
from dianet_jax.training import checkpoints, saved_folds

_PACKAGES = (
  'dianet-jax', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint',
  'tensorflow-datasets', 'numpy', 'opencv-python-headless',
)  # fmt: skip


def versions() -> dict[str, str]:
  """Versions of everything that a result may depend on."""
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
  """Locks `workdir`; removes the lock file if nothing was written.

  A finished run in a read-only folder is allowed, because it is only shown.

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
      # The lock file is kept, unless the run never started; another run that
      # has opened it meanwhile detects that by `_is_at`.
      with contextlib.suppress(OSError):
        if all(path.name.startswith('.lock') for path in workdir.iterdir()):
          lock.unlink()
          workdir.rmdir()


def _locked(lock: pathlib.Path) -> contextlib.AbstractContextManager:
  """The opened lock file, locked until it is closed."""
  while True:
    try:
      lock.parent.mkdir(parents=True, exist_ok=True)
      file = lock.open('w')
    except OSError as error:
      if (lock.parent / 'metrics.json').is_file():
        return contextlib.nullcontext()
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
          ' there at once. Choose a --workdir on a file system that supports'
          ' locks, such as a local disk.'
        )
      raise errors.UserError(message) from error
    if _is_at(file, lock):
      return file
    file.close()


def _is_at(file: TextIO, path: pathlib.Path) -> bool:
  """Whether a path still refers to an open file."""
  try:
    return os.path.samestat(os.fstat(file.fileno()), path.stat())
  except FileNotFoundError:
    return False


def _recorded(workdir: pathlib.Path) -> dict[str, Any] | None:
  """`config.json` in the current schema; None if there is none."""
  path = workdir / 'config.json'
  if not path.exists():
    return None
  recorded = files.read_json(path)
  with _reading(path):
    recorded = migrations.migrate(recorded, path)
    _ = (
      recorded['config'].keys(),
      [session.keys() for session in recorded['sessions']],
    )
  return recorded


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[None]:
  """Reports any error in this block as a damaged file."""
  try:
    yield
  except (AttributeError, LookupError, TypeError, ValueError) as error:
    raise errors.UserError(
      f'{path} is not a valid file of a run ({faults.one_line(error)}).'
      f' {_advice(path)}'
    ) from error


def _advice(path: pathlib.Path) -> str:
  if path.name == 'metrics.json':
    return 'Remove that file: the same command computes the result again.'
  return 'Choose another --workdir, or remove that folder.'


def load_summary(workdir: pathlib.Path) -> dict[str, Any] | None:
  """The content of `metrics.json`; None if the run is not finished.

  Raises:
    UserError: the file is damaged.
  """
  path = workdir / 'metrics.json'
  if not path.exists():
    return None
  summary = files.read_json(path)
  with _reading(path):
    # Check the values that are shown.
    _ = report.title(summary), report.rows(summary), report.oracle_line(summary)
  return summary


def is_finished(workdir: pathlib.Path, config: Config) -> bool:
  """Whether `workdir` has the result of all seeds of a configuration."""
  return (workdir / 'metrics.json').exists() and (
    not (workdir / 'config.json').exists()
    or load_config(workdir).seeds >= config.seeds
  )


def load_data(workdir: pathlib.Path) -> dict[str, Any] | None:
  """The content of `data.json`; None if there is none, as in the first runs.

  Raises:
    UserError: the file is damaged.
  """
  path = workdir / origin.FILE
  if not path.exists():
    return None
  recorded = files.read_json(path)
  with _reading(path):
    _ = origin.sentence(recorded), recorded['simulated'], started(recorded)
  return recorded


def load_selection(workdir: pathlib.Path) -> dict[str, Any]:
  """The content of `selection.json` of a nested selection.

  Raises:
    UserError: the file is damaged.
  """
  path = workdir / 'selection.json'
  recorded = files.read_json(path)
  with _reading(path):
    _ = [(group['chosen'], *group['subjects']) for group in recorded['groups']]
    _ = [
      (row['name'], *map(float, row['uf1_without_group']))
      for row in recorded['candidates']
    ]
    _ = recorded['left_out'].items()
  return recorded


def load_config(workdir: pathlib.Path) -> Config:
  """The configuration of a run of this or an older version.

  Keys that the older version did not have get their defaults.

  Raises:
    UserError: there is none, or it cannot be read.
  """
  recorded = _recorded(workdir)
  if recorded is None:
    raise errors.UserError(
      f'{workdir} is not a workdir: it has no config.json.'
    )
  try:
    return configuration.parse(recorded['config'])
  except errors.UserError as error:
    raise errors.UserError(f'{workdir / "config.json"}: {error}') from error


def check_config(workdir: pathlib.Path, config: Config) -> None:
  """Refuses a workdir that contains a run of another configuration.

  More seeds are allowed, because the trainings of the first stay as they are;
  except in a nested selection, whose own seeds follow those of the result.

  Raises:
    UserError: keys differ, which the message lists; or the workdir contains
      trainings of an unknown configuration.
  """
  if not (workdir / 'config.json').exists():
    _refuse_unknown(workdir, 'config.json')
    return
  before = load_config(workdir)
  recorded = configuration.identity(before)
  wanted = configuration.identity(config)
  if config.study.kind != 'nested' and before.seeds < config.seeds:
    recorded['seeds'] = wanted['seeds']
  if recorded != wanted:
    raise errors.UserError(
      f'{workdir} contains a run of another configuration:\n'
      + '\n'.join(schema.differences(recorded, wanted))
      + '\nChoose another --workdir, or remove that folder.'
    )


def _refuse_unknown(workdir: pathlib.Path, missing: str) -> None:
  # The main process of several writes that file.
  if hosts.is_main() and (
    saved_folds.finished(workdir) or saved_folds.begun(workdir)
  ):
    raise errors.UserError(
      f'{workdir} contains trainings but no {missing}, so their origin is'
      ' unknown. Restore that file, choose another --workdir, or remove that'
      ' folder.'
    )


def started(recorded: Mapping[str, Any]) -> str:
  """Describes the initial weights by `data.json`; '' without any."""
  return initial_weights.sentence(recorded.get('pretrained', {}))


def with_note(
  dataset: data_lib.Dataset, workdirs: Sequence[pathlib.Path]
) -> data_lib.Dataset:
  """Adds a note on every file of initial weights to the clips."""
  found = [started(load_data(workdir) or {}) for workdir in workdirs]
  notes = (*dict.fromkeys(filter(None, found)), *dataset.notes)
  return dataclasses.replace(dataset, notes=notes)


def check_data(
  workdir: pathlib.Path, config: Config, dataset: data_lib.Dataset
) -> None:
  """Refuses a workdir whose finished folds used other data or weights.

  Raises:
    UserError: data or initial weights differ.
  """
  recorded = load_data(workdir)
  if recorded is None:
    _refuse_unknown(workdir, origin.FILE)
  elif not origin.same(recorded, dataset):
    raise errors.UserError(
      f'The raw data have changed since the run in {workdir} was started.'
      ' Choose another --workdir, or remove that folder.'
    )
  else:
    initial_weights.refuse_other(
      recorded.get('pretrained', {}), config, workdir
    )


def begin(
  workdir: pathlib.Path, config: Config, dataset: data_lib.Dataset
) -> None:
  """Records configuration, versions and data, before the first fold.

  Raises:
    UserError: finished folds in `workdir` used other raw data.
  """
  check_data(workdir, config, dataset)
  workdir.mkdir(parents=True, exist_ok=True)
  if hosts.is_main():
    recorded = load_data(workdir) or {}
    now = origin.of(config, dataset)
    # The day on which they were first read.
    now['date'] = recorded.get('date', now['date'])
    files.write_json(workdir / origin.FILE, now)
    checkpoints.remove_leavings(workdir)
  note_config(workdir, config)


def note_config(workdir: pathlib.Path, config: Config) -> None:
  """Writes `config.json` for `check_config`, or the session and new seeds."""
  if not hosts.is_main():
    return
  recorded = _recorded(workdir) or {
    'schema': migrations.SCHEMA,
    'config': schema.to_dict(config),
    'sessions': [],
  }
  if recorded['config'].get('seeds', 1) < config.seeds:
    # The result of fewer seeds, which the same trainings give again.
    (workdir / 'metrics.json').unlink(missing_ok=True)
    recorded['config']['seeds'] = config.seeds
  session = versions()
  if session not in recorded['sessions']:
    recorded['sessions'].append(session)
    if text := version_note(recorded['sessions']):
      progress.console.print(f'  note: {text}')
  files.write_json(workdir / 'config.json', recorded)


def load_choice(workdir: pathlib.Path) -> dict[str, Any] | None:
  """The measured choice of the strategy; None if it was not measured."""
  return (_recorded(workdir) or {}).get('strategy')


def note_choice(workdir: pathlib.Path, choice: dict[str, Any]) -> None:
  """Adds the measured choice of the strategy to `config.json`."""
  if hosts.is_main():
    recorded = files.read_json(workdir / 'config.json')
    files.write_json(workdir / 'config.json', recorded | {'strategy': choice})


def sessions(workdir: pathlib.Path) -> list[dict[str, str]]:
  """The versions of every session that trained, the earliest first."""
  recorded = _recorded(workdir)
  return recorded['sessions'] if recorded else []


def merged_versions(found: Sequence[Mapping[str, str]]) -> dict[str, str]:
  """The versions of all sessions; several for one item if they differ."""
  names = dict.fromkeys(name for session in found for name in session)
  return {
    name: ', then '.join(
      dict.fromkeys(str(session.get(name, 'unknown')) for session in found)
    )
    for name in names
  }


def version_note(found: Sequence[Mapping[str, str]]) -> str:
  """Describes versions that differ between sessions; '' if none do."""
  merged = merged_versions(found)
  if len(found) < 2:
    return ''
  changed = [f'{n} {v}' for n, v in merged.items() if ', then ' in v]
  return 'trained in sessions with different versions: ' + '; '.join(changed)
