"""Checkpoints of finished folds and folds in training, by orbax.

    weights/frozen                the part that is not trained, and its outputs
    weights/seed0/sub01           variables of a finished fold, written first
    checkpoints/seed0/sub01       its result: if it exists, the fold is finished
    unfinished/seed0/sub01/12     a fold after 12 epochs; the last two are kept
    unfinished/seed0/sub01/12.3   the same after three steps of the next epoch

Folds are stored without padding and device axis, so that a run stopped on four
devices can be resumed on one. Orbax writes to a temporary name and renames, so
a checkpoint with its final name is complete. If it is damaged later, its
checksum differs, and the previous checkpoint is used.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
import dataclasses
import json
import multiprocessing
import pathlib
import shutil
import signal
from typing import Any
import zlib

import jax
import numpy as np
import orbax.checkpoint as ocp

from dianet_jax.core import errors, escape, limits, progress, stopping
from dianet_jax.training import saved_folds
from dianet_jax.training.results import (
  FoldResult,
  History,
  Training,
  Unfinished,
)
from dianet_jax.training.state import Sums

# Checkpoints kept of an unfinished fold, in case the last one is damaged.
_KEPT = 2
# Placeholder for a fold without a complete epoch: orbax stores no empty arrays.
_NO_HISTORY = History(loss=None, correct=None, clips=None)


def _name(seed: int, subject: str) -> str:
  return f'seed{seed}/{escape.file_name(subject)}'


def check_names(subjects: Sequence[str]) -> None:
  """Refuses subjects whose checkpoints would have the same folder.

  Raises:
    UserError: two subjects have the same folder.
  """
  named: dict[str, str] = {}
  for subject in subjects:
    other = named.setdefault(escape.file_name(subject), subject)
    if other != subject:
      raise errors.UserError(
        f'The checkpoints of the subjects {other!r} and {subject!r} would be'
        ' in one folder. Rename one of them.'
      )


def _checksum(tree: Any) -> np.ndarray:
  value = 0
  for leaf in jax.tree.leaves(tree):
    # NumPy's types declare the buffer protocol only from Python 3.12 on.
    value = zlib.crc32(np.ascontiguousarray(leaf), value)  # pyright: ignore[reportArgumentType]
  return np.array(value, np.uint32)


def _encode(made_by: Sequence[str]) -> np.ndarray:
  """Encodes texts as an array, because orbax stores only arrays."""
  return np.frombuffer(json.dumps(made_by).encode(), np.uint8)


def _decode(array: np.ndarray) -> tuple[str, ...]:
  return tuple(json.loads(array.tobytes()))


def _only_write() -> None:
  """Initialises the writing process: no devices, signals ignored."""
  jax.config.update('jax_platforms', 'cpu')
  # The terminal and SLURM send signals to all processes; the parent stops this.
  for number in stopping.SIGNALS:
    signal.signal(number, signal.SIG_IGN)


def _save(
  folder: pathlib.Path,
  tree: dict[str, Any],
  outdated: Sequence[pathlib.Path],
  replaces: bool,
) -> None:
  """Writes a checkpoint, then removes outdated ones."""
  whole = tree | {'checksum': _checksum(tree)}
  with ocp.PyTreeCheckpointer() as checkpointer:
    checkpointer.save(folder, whole, force=replaces)
  for path in outdated:
    shutil.rmtree(path, ignore_errors=True)
  limits.give_back()


def _reader() -> ocp.Checkpointer:
  """A reader that does not wait for other processes."""
  index = jax.process_index()
  alone = ocp.options.MultiprocessingOptions(
    primary_host=index,
    active_processes={index},
    barrier_sync_key_prefix=f'process{index}',
  )
  handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
  return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _restore(folder: pathlib.Path, target: Any = None) -> Any:
  """The arrays of a checkpoint, in the structure of `target` if given.

  Raises:
    ValueError: its checksum differs. Orbax raises many other exceptions.
  """
  with _reader() as checkpointer:
    like = target or checkpointer.metadata(folder).item_metadata.tree
    of_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(np.ndarray), like)
    tree = checkpointer.restore(folder, item=target, restore_args=of_numpy)
  checksum = tree.pop('checksum')
  if _checksum(tree) != checksum:
    raise ValueError('its checksum differs')
  return tree


class Checkpoints:
  """The folds of a run."""

  def __init__(self, workdir: pathlib.Path):
    """Constructs it for a run.

    Args:
      workdir: of the run; made by the first `save`.

    Raises:
      UserError: orbax cannot read checkpoints in a folder of this name.
    """
    self._workdir = workdir.absolute()
    self._frozen = self._workdir / 'weights' / 'frozen'
    if escape.UNREADABLE & set(str(self._workdir)):
      raise errors.UserError(
        f'{self._workdir}: checkpoints cannot be read from a folder with [ or'
        ' \\ in its path. Choose another --workdir.'
      )
    # Writes one after another while training continues. Orbax's own background
    # writing would block training from the second fold of a group on.
    self._writer = futures.ThreadPoolExecutor(1)
    if jax.process_count() > 1:
      # Orbax writes host arrays only in the first process of a run, but every
      # process has its own folds. So writing happens in a separate process,
      # which is always the first.
      self._writer = futures.ProcessPoolExecutor(
        1, multiprocessing.get_context('spawn'), _only_write
      )
    self._writes: list[futures.Future] = []

  def _finished(self, seed: int, subject: str) -> pathlib.Path:
    return self._workdir / 'checkpoints' / _name(seed, subject)

  def _weights(self, seed: int, subject: str) -> pathlib.Path:
    return self._workdir / 'weights' / _name(seed, subject)

  def _unfinished(self, seed: int, subject: str) -> pathlib.Path:
    return self._workdir / 'unfinished' / _name(seed, subject)

  def _write(
    self,
    folder: pathlib.Path,
    tree: dict[str, Any],
    outdated: Sequence[pathlib.Path] = (),
    replaces: bool = False,
  ) -> None:
    """Writes in the background, then removes outdated checkpoints.

    `replaces`: whether an older checkpoint of that name may exist.
    """
    # Report failures before training continues.
    self._settle([past for past in self._writes if past.done()])
    self._writes.append(
      self._writer.submit(_save, folder, tree, outdated, replaces)
    )

  def _settle(self, writes: Sequence[futures.Future]) -> None:
    for past in writes:
      self._writes.remove(past)
      try:
        past.result()
      except Exception as error:  # From the file system, tensorstore or orbax.
        raise errors.UserError(
          f'{self._workdir} cannot be written: {error}. Earlier checkpoints are'
          ' kept. Free disk space or make the folder writable, and run the same'
          ' command again to resume.'
        ) from error

  def _read(self, folder: pathlib.Path, target: Any = None) -> Any:
    """The arrays of a checkpoint; None, with a message, if it is damaged."""
    try:
      tree = _restore(folder, target)
      if 'variables' in tree and 'loss' in tree:
        raise ValueError('it was written by an older version')
    except Exception as error:  # Orbax raises many kinds for a damaged file.
      progress.console.print(
        f'The checkpoint {folder} cannot be read ({type(error).__name__}).'
        ' Training resumes from the previous one, or from the start; the result'
        ' is the same.'
      )
      # Renamed, so that the next one can be written, and kept for inspection.
      aside = self._workdir / 'damaged' / folder.relative_to(self._workdir)
      shutil.rmtree(aside, ignore_errors=True)
      aside.parent.mkdir(parents=True, exist_ok=True)
      folder.rename(aside)
      return None
    return tree

  def save(self, result: FoldResult) -> None:
    """Writes a finished fold, in the background; `close` waits for it."""
    tree = {
      field.name: getattr(result, field.name)
      for field in dataclasses.fields(result)
      if field.name not in ('subject', 'seed', 'variables')
    }
    tree['made_by'] = _encode(result.made_by)
    # Disabled parts are None, but orbax stores only arrays.
    tree = {name: leaf for name, leaf in tree.items() if leaf is not None}
    key = result.seed, result.subject
    weights = {'variables': result.variables}
    # Left over from a fold whose result was damaged and that is trained again.
    self._write(self._weights(*key), weights, replaces=True)
    self._write(self._finished(*key), tree, [self._unfinished(*key)])

  def holds(self, seed: int, subject: str) -> bool:
    """Whether a fold is finished."""
    return self._finished(seed, subject).exists()

  def load(self, seed: int, subject: str) -> FoldResult | None:
    """Reads a finished fold without its variables; None if there is none."""
    folder = self._finished(seed, subject)
    if not folder.exists():
      return None
    tree = self._read(folder)
    if tree is None:
      return None
    made_by = _decode(tree.pop('made_by'))
    return FoldResult(subject, seed, variables={}, made_by=made_by, **tree)

  def load_variables(self, seed: int, subject: str) -> dict[str, Any]:
    """Reads the variables of a finished fold.

    Raises:
      UserError: they are missing or damaged.
    """
    return self._load_variables(self._weights(seed, subject))

  def _load_variables(self, folder: pathlib.Path) -> dict[str, Any]:
    try:
      return _restore(folder)['variables']
    except Exception as error:  # Orbax raises many kinds for a damaged file.
      raise errors.UserError(
        f'The weights {folder} are missing or damaged ({error}). Copy that'
        ' folder again, or train the run again in another --workdir.'
      ) from error

  def save_frozen(
    self, variables: Mapping[str, Any], features: Mapping[str, Any]
  ) -> None:
    """Writes the part that is not trained and its outputs, in background."""
    tree = {'variables': dict(variables), 'features': dict(features)}
    self._write(self._frozen, tree)

  def load_features(self) -> dict[str, np.ndarray] | None:
    """Reads the features; None, with a message if they are damaged."""
    tree = self._read(self._frozen) if self._frozen.exists() else None
    return None if tree is None else tree['features']

  def load_frozen(self) -> dict[str, Any]:
    """Reads the variables of the part that is not trained.

    Raises:
      UserError: they are missing or damaged.
    """
    return self._load_variables(self._frozen)

  def save_unfinished(self, fold: Unfinished) -> None:
    """Writes a fold in training, in the background."""
    folder = self._unfinished(fold.seed, fold.subject)
    outdated = [folder / name for name in [*_progress(folder)][_KEPT - 1 :]]
    training = fold.training
    if not fold.epochs:
      training = dataclasses.replace(training, history=_NO_HISTORY)
    tree = {'training': training, 'made_by': _encode(fold.made_by)}
    name = str(fold.epochs)
    if fold.partial is not None:
      tree['partial'] = fold.partial
      name += f'.{fold.steps}'
    self._write(folder / name, tree, outdated)

  def load_unfinished(
    self, seed: int, subject: str, like: Callable[[int], Training]
  ) -> Unfinished | None:
    """Reads the latest valid checkpoint of a fold in training.

    Args:
      seed: of the training.
      subject: the held-out subject.
      like: number of epochs -> a training of that length, for the shapes and
        dtypes of its arrays.

    Returns:
      The fold, or None if there is no valid checkpoint.
    """
    folder = self._unfinished(seed, subject)
    for name, (epochs, steps) in _progress(folder).items():
      empty, training = {}, like(epochs)
      if not epochs:
        empty = {'history': training.history}
        training = dataclasses.replace(training, history=_NO_HISTORY)
      target = {
        'training': training,
        'made_by': np.zeros(0, np.uint8),
        'checksum': np.zeros((), np.uint32),
      }
      if steps:
        real: Any = np.zeros(steps, np.float32)
        whole: Any = np.zeros(steps, np.int32)
        target['partial'] = Sums(real, whole, whole)
      tree = self._read(folder / name, target)
      if tree is not None:
        made_by = _decode(tree['made_by'])
        training = dataclasses.replace(tree['training'], **empty)
        return Unfinished(subject, seed, training, made_by, tree.get('partial'))
    return None

  def wait(self) -> None:
    """Waits until everything is on disk; UserError if writing failed."""
    self._settle([*self._writes])

  def close(self) -> None:
    """Waits as `wait` does, and ends the writing process."""
    try:
      self.wait()
    finally:
      self._writer.shutdown()


def _progress(folder: pathlib.Path) -> dict[str, tuple[int, int]]:
  """Name -> epochs and steps of the checkpoints of a fold, latest first."""
  names = [path.name for path in folder.glob('*') if saved_folds.is_whole(path)]
  found = {}
  for name in names:
    epochs, _, steps = name.partition('.')
    found[name] = int(epochs), int(steps or 0)
  return dict(sorted(found.items(), key=lambda item: item[1], reverse=True))


def remove_leavings(workdir: pathlib.Path) -> None:
  """Removes incomplete checkpoints of a run that was killed."""
  for kind in ('checkpoints', 'unfinished', 'weights'):
    for path in (workdir / kind).rglob('*orbax-checkpoint-tmp*'):
      shutil.rmtree(path, ignore_errors=True)


def check_space(
  workdir: pathlib.Path, at_once: int, trainings: int, training: Training
) -> None:
  """Checks the free disk space before training starts.

  Args:
    workdir: of the run.
    at_once: number of folds in training at the same time.
    trainings: number of remaining trainings.
    training: one of them, for the sizes of its arrays.

  Raises:
    UserError: there is not enough space.
  """

  def size(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))

  needed = trainings * size(training.state.variables)
  # The last two, and the one that is being written.
  needed += (_KEPT + 1) * min(at_once, trainings) * size(training)
  free = shutil.disk_usage(workdir).free
  if free < needed:
    raise errors.UserError(
      f'{workdir} has {free / 1e9:.2f} GB left, but the checkpoints of this run'
      f' need up to {needed / 1e9:.2f} GB. Free disk space, or choose another'
      ' --workdir.'
    )
