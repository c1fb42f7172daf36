"""Guards a workdir: one run at a time, of one configuration and one data set.

`config.json` holds the number of its schema, the configuration that the run
was begun with, the strategy that was measured to be the fastest, and the
versions of each session; `data.json` describes its
data, see `origin`; `metrics.json` holds the result, and is there when the run
is finished.
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
from dianet_jax.experiments import configuration, migrations, origin, starts
from dianet_jax.training import checkpoints, kept

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

  A finished run in a folder that cannot be written is let in: it is only shown.

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


def _locked(lock: pathlib.Path) -> contextlib.AbstractContextManager:
  """The lock file, open and locked until it is closed."""
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
  if not path.exists():
    return None
  held = files.read_json(path)
  with _reading(path):
    held = migrations.migrate(held, path)
    _ = held['config'].keys(), [session.keys() for session in held['sessions']]
  return held


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[None]:
  """What is made of a file's content: whatever fails, the file is damaged."""
  try:
    yield
  except (AttributeError, LookupError, TypeError, ValueError) as error:
    raise errors.UserError(
      f'{path} does not hold what a run writes ({faults.one_line(error)}).'
      f' {_advice(path)}'
    ) from error


def _advice(path: pathlib.Path) -> str:
  if path.name == 'metrics.json':
    return 'Remove that file: the same command finds the result anew.'
  return 'Choose another --workdir, or remove that folder.'


def load_summary(workdir: pathlib.Path) -> dict[str, Any] | None:
  """What `metrics.json` holds; None where the run is not finished.

  Raises:
    UserError: the file is damaged.
  """
  path = workdir / 'metrics.json'
  if not path.exists():
    return None
  summary = files.read_json(path)
  with _reading(path):
    # Whatever shows it will do the same.
    _ = report.title(summary), report.rows(summary), report.oracle_line(summary)
  return summary


def load_data(workdir: pathlib.Path) -> dict[str, Any] | None:
  """What `data.json` holds; None where there is none, as in the first runs.

  Raises:
    UserError: the file is damaged.
  """
  path = workdir / origin.FILE
  if not path.exists():
    return None
  held = files.read_json(path)
  with _reading(path):
    _ = origin.sentence(held), held['simulated'], started(held)
  return held


def load_selection(workdir: pathlib.Path) -> dict[str, Any]:
  """What `selection.json` of a nested selection holds.

  Raises:
    UserError: the file is damaged.
  """
  path = workdir / 'selection.json'
  held = files.read_json(path)
  with _reading(path):
    _ = [(group['chosen'], *group['subjects']) for group in held['groups']]
    _ = [
      (row['name'], *map(float, row['uf1_without_group']))
      for row in held['candidates']
    ]
    _ = held['left_out'].items()
  return held


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
    UserError: it does; the keys that differ are named. Or it holds trainings
      of a configuration that nobody knows.
  """
  if not (workdir / 'config.json').exists():
    _refuse_unknown(workdir, 'config.json')
    return
  held = configuration.identity(load_config(workdir))
  wanted = configuration.identity(config)
  if held != wanted:
    raise errors.UserError(
      f'{workdir} holds a run of another configuration:\n'
      + '\n'.join(schema.differences(held, wanted))
      + '\nChoose another --workdir, or remove that folder.'
    )


def _refuse_unknown(workdir: pathlib.Path, missing: str) -> None:
  # The main process of several writes that file.
  if hosts.is_main() and (kept.finished(workdir) or kept.begun(workdir)):
    raise errors.UserError(
      f'{workdir} holds trainings, but no {missing}: it cannot be known of what'
      ' they are. Bring back that file, choose another --workdir, or remove'
      ' that folder.'
    )


def started(held: Mapping[str, Any]) -> str:
  """What `data.json` says of the file that networks started from, if any."""
  return starts.sentence(held.get('pretrained', {}))


def with_note(
  dataset: data_lib.Dataset, workdirs: Sequence[pathlib.Path]
) -> data_lib.Dataset:
  """The clips, with a note on every file that networks started from."""
  found = [started(load_data(workdir) or {}) for workdir in workdirs]
  notes = (*dict.fromkeys(filter(None, found)), *dataset.notes)
  return dataclasses.replace(dataset, notes=notes)


def check_data(
  workdir: pathlib.Path, config: Config, dataset: data_lib.Dataset
) -> None:
  """Refuses a workdir whose finished folds come from other data or weights.

  Raises:
    UserError: they are.
  """
  held = load_data(workdir)
  if held is None:
    _refuse_unknown(workdir, origin.FILE)
  elif not origin.same(held, dataset):
    raise errors.UserError(
      f'The raw data have changed since the run in {workdir} was begun.'
      ' Choose another --workdir, or remove that folder.'
    )
  else:
    starts.refuse_other(held.get('pretrained', {}), config, workdir)


def begin(
  workdir: pathlib.Path, config: Config, dataset: data_lib.Dataset
) -> None:
  """Notes down configuration, versions and data, before the first fold.

  Raises:
    UserError: finished folds in `workdir` are of other raw data.
  """
  check_data(workdir, config, dataset)
  workdir.mkdir(parents=True, exist_ok=True)
  if hosts.is_main():
    held = load_data(workdir) or {}
    now = origin.of(config, dataset)
    # The day on which they were first read.
    now['date'] = held.get('date', now['date'])
    files.write_json(workdir / origin.FILE, now)
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
    if text := version_note(held['sessions']):
      progress.console.print(f'  note: {text}')
  files.write_json(workdir / 'config.json', held)


def load_choice(workdir: pathlib.Path) -> dict[str, Any] | None:
  """By which strategy it is trained, where that was measured."""
  return (_held(workdir) or {}).get('strategy')


def note_choice(workdir: pathlib.Path, choice: dict[str, Any]) -> None:
  """Writes what `load_choice` reads into the `config.json` that is there."""
  if hosts.is_main():
    held = files.read_json(workdir / 'config.json')
    files.write_json(workdir / 'config.json', held | {'strategy': choice})


def sessions(workdir: pathlib.Path) -> list[dict[str, str]]:
  """The versions of every session that trained, the earliest first."""
  held = _held(workdir)
  return held['sessions'] if held else []


def merged_versions(found: Sequence[Mapping[str, str]]) -> dict[str, str]:
  """What each thing's version was; several where sessions differ."""
  names = dict.fromkeys(name for session in found for name in session)
  return {
    name: ', then '.join(
      dict.fromkeys(str(session.get(name, 'unknown')) for session in found)
    )
    for name in names
  }


def version_note(found: Sequence[Mapping[str, str]]) -> str:
  """What to say of sessions that differ; '' where there is nothing."""
  merged = merged_versions(found)
  if len(found) < 2:
    return ''
  changed = [f'{n} {v}' for n, v in merged.items() if ', then ' in v]
  return 'trained in sessions of other versions: ' + '; '.join(changed)
