"""Folds on disk, by orbax: the finished ones, and those in training.

    weights/seed0/sub01           a finished fold's variables, written first
    checkpoints/seed0/sub01       its result: its presence means finished
    unfinished/seed0/sub01/12     a fold after 12 epochs; the last two stay
    unfinished/seed0/sub01/12.3   and after three steps of the next

A fold is stored without padding or device axis, so that a run stopped on four
devices goes on with one. Orbax writes to a temporary name and renames: what
bears its final name is whole. What was damaged later fails its checksum, and
the one before is taken.
"""

from collections.abc import Callable, Sequence
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
from dianet_jax.training import kept
from dianet_jax.training.results import (
  FoldResult,
  History,
  Training,
  Unfinished,
)
from dianet_jax.training.state import Sums

# How many of an unfinished fold are kept: should the last one be damaged.
_KEPT = 2
# Of a fold without a whole epoch: orbax stores no array of size 0.
_NO_HISTORY = History(loss=None, correct=None, clips=None)


def _name(seed: int, subject: str) -> str:
  return f'seed{seed}/{escape.file_name(subject)}'


def check_names(subjects: Sequence[str]) -> None:
  """Refuses subjects that would share a folder: one would pass for the other.

  Raises:
    UserError: there are such.
  """
  named: dict[str, str] = {}
  for subject in subjects:
    other = named.setdefault(escape.file_name(subject), subject)
    if other != subject:
      raise errors.UserError(
        f'The checkpoints of the subjects {other!r} and {subject!r} would lie'
        ' in one folder. Give one of them another name.'
      )


def _checksum(tree: Any) -> np.ndarray:
  value = 0
  for leaf in jax.tree.leaves(tree):
    # NumPy's types know the buffer protocol from Python 3.12 on.
    value = zlib.crc32(np.ascontiguousarray(leaf), value)  # pyright: ignore[reportArgumentType]
  return np.array(value, np.uint32)


def _encode(made_by: Sequence[str]) -> np.ndarray:
  """Texts as an array, for orbax."""
  return np.frombuffer(json.dumps(made_by).encode(), np.uint8)


def _decode(array: np.ndarray) -> tuple[str, ...]:
  return tuple(json.loads(array.tobytes()))


def _only_write() -> None:
  """For a process that writes: no devices, and no end before its parent's."""
  jax.config.update('jax_platforms', 'cpu')
  # The terminal and SLURM send signals to every process of a run.
  for number in stopping.SIGNALS:
    signal.signal(number, signal.SIG_IGN)


def _save(
  folder: pathlib.Path,
  tree: dict[str, Any],
  outdated: Sequence[pathlib.Path],
  replaces: bool,
) -> None:
  """Writes a checkpoint; then removes what is outdated."""
  whole = tree | {'checksum': _checksum(tree)}
  with ocp.PyTreeCheckpointer() as checkpointer:
    checkpointer.save(folder, whole, force=replaces)
  for path in outdated:
    shutil.rmtree(path, ignore_errors=True)
  limits.give_back()


def _reader() -> ocp.Checkpointer:
  """A reader that waits for no other process: each reads what it needs."""
  index = jax.process_index()
  alone = ocp.options.MultiprocessingOptions(
    primary_host=index,
    active_processes={index},
    barrier_sync_key_prefix=f'process{index}',
  )
  handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
  return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _restore(folder: pathlib.Path, target: Any = None) -> Any:
  """The arrays of a checkpoint, in the form of `target` if there is one.

  Raises:
    ValueError: its checksum differs. Orbax raises many other kinds.
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
    """`workdir`: of the run; made by the first `save`.

    Raises:
      UserError: orbax could not read what it writes there.
    """
    self._workdir = workdir.absolute()
    if escape.UNREADABLE & set(str(self._workdir)):
      raise errors.UserError(
        f'{self._workdir}: checkpoints in a folder with [ or \\ in its path'
        ' cannot be read again. Choose another --workdir.'
      )
    # One after another, while training goes on. Orbax's own background would
    # hold up training from the second fold of a group on.
    self._writer = futures.ThreadPoolExecutor(1)
    if jax.process_count() > 1:
      # Every process has folds of its own. Orbax writes arrays of the host in
      # the first of a run's processes alone: so do it where nobody is second.
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
    """Writes in the background; then removes what is outdated.

    `replaces`: an older checkpoint of that name may be there.
    """
    # What has failed is told before more is trained.
    self._settle([past for past in self._writes if past.done()])
    self._writes.append(
      self._writer.submit(_save, folder, tree, outdated, replaces)
    )

  def _settle(self, writes: Sequence[futures.Future]) -> None:
    for past in writes:
      self._writes.remove(past)
      try:
        past.result()
      except Exception as error:  # Of the file system, tensorstore or orbax.
        raise errors.UserError(
          f'{self._workdir} cannot be written: {error}. What was written before'
          ' is kept. Make room, or give the right to write, and run the same'
          ' command again: it goes on from there.'
        ) from error

  def _read(self, folder: pathlib.Path, target: Any = None) -> Any:
    """What a checkpoint holds; None, and a word of it, if it is damaged."""
    try:
      tree = _restore(folder, target)
      if 'variables' in tree and 'loss' in tree:
        raise ValueError('an older version has written it')
    except Exception as error:  # Orbax raises many kinds for a damaged file.
      progress.console.print(
        f'The checkpoint {folder} cannot be read ({type(error).__name__}).'
        ' Training goes on from the one before, or from the start: the result'
        ' is the same.'
      )
      # Out of the way of the next one, and there for whoever wants to look.
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
    # What was not asked for is None; orbax stores arrays alone.
    tree = {name: leaf for name, leaf in tree.items() if leaf is not None}
    key = result.seed, result.subject
    weights = {'variables': result.variables}
    # Of a training that was damaged later and is done anew.
    self._write(self._weights(*key), weights, replaces=True)
    self._write(self._finished(*key), tree, [self._unfinished(*key)])

  def holds(self, seed: int, subject: str) -> bool:
    """Whether there is a finished fold."""
    return self._finished(seed, subject).exists()

  def load(self, seed: int, subject: str) -> FoldResult | None:
    """A finished fold without its variables; None where there is none."""
    folder = self._finished(seed, subject)
    if not folder.exists():
      return None
    tree = self._read(folder)
    if tree is None:
      return None
    made_by = _decode(tree.pop('made_by'))
    return FoldResult(subject, seed, variables={}, made_by=made_by, **tree)

  def load_variables(self, seed: int, subject: str) -> dict[str, Any]:
    """The variables of a finished fold.

    Raises:
      UserError: there are none, or they are damaged.
    """
    folder = self._weights(seed, subject)
    try:
      return _restore(folder)['variables']
    except Exception as error:  # Orbax raises many kinds for a damaged file.
      raise errors.UserError(
        f'The weights {folder} are missing or damaged ({error}). Copy that'
        ' folder anew, or train the run again in another --workdir.'
      ) from error

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
    """The latest of a fold that is whole, or None.

    Args:
      seed: of the training.
      subject: the held-out subject.
      like: number of epochs -> a training of that length; of its arrays only
        shape and dtype matter.
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
    """Waits until everything is on disk; UserError if something is not."""
    self._settle([*self._writes])

  def close(self) -> None:
    """`wait`, for the last time."""
    try:
      self.wait()
    finally:
      self._writer.shutdown()


def _progress(folder: pathlib.Path) -> dict[str, tuple[int, int]]:
  """Name -> epochs and steps of the checkpoints in it, the latest first."""
  names = [path.name for path in folder.glob('*') if kept.is_whole(path)]
  found = {}
  for name in names:
    epochs, _, steps = name.partition('.')
    found[name] = int(epochs), int(steps or 0)
  return dict(sorted(found.items(), key=lambda item: item[1], reverse=True))


def remove_leavings(workdir: pathlib.Path) -> None:
  """Removes what orbax was writing when a run was killed."""
  for kind in ('checkpoints', 'unfinished', 'weights'):
    for path in (workdir / kind).rglob('*orbax-checkpoint-tmp*'):
      shutil.rmtree(path, ignore_errors=True)


def check_space(
  workdir: pathlib.Path, at_once: int, trainings: int, training: Training
) -> None:
  """Refuses a disk that is too small, before anything is trained.

  Args:
    workdir: of the run.
    at_once: trainings that are unfinished at the same time.
    trainings: all that are left.
    training: one of them; only sizes matter.

  Raises:
    UserError: it is.
  """

  def size(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))

  needed = trainings * size(training.state.variables)
  # The last two, and the one that is being written.
  needed += (_KEPT + 1) * min(at_once, trainings) * size(training)
  free = shutil.disk_usage(workdir).free
  if free < needed:
    raise errors.UserError(
      f'{workdir} has {free / 1e9:.2f} GB left, and the checkpoints of this run'
      f' take up to {needed / 1e9:.2f} GB. Make room, or choose another'
      ' --workdir.'
    )
