"""Trained folds on disk, by orbax; a folder a (seed, subject).

A fold is stored without padding or device axis, so that a run stopped on four
devices goes on with one. Orbax writes to a temporary name and renames it: what
bears its final name is whole.
"""

import dataclasses
import pathlib

import orbax.checkpoint as ocp

from dianet_jax import errors
from dianet_jax.fold_parallel import FoldResult


def _folder(workdir: pathlib.Path, seed: int, subject: str) -> pathlib.Path:
  # Subjects of composites are '<data set>/<subject>'.
  name = subject.replace('/', '_')
  return workdir.absolute() / 'checkpoints' / f'seed{seed}' / name


class Checkpoints:
  """The finished folds of a run."""

  def __init__(self, workdir: pathlib.Path):
    """`workdir`: of the run; made by the first `save`."""
    self._workdir = workdir
    self._checkpointer = ocp.StandardCheckpointer()

  def save(self, result: FoldResult) -> None:
    """Writes a finished fold, in the background; `close` waits for it."""
    tree = {
      field.name: getattr(result, field.name)
      for field in dataclasses.fields(result)
      if field.name not in ('subject', 'seed')
    }
    # What was not asked for is None; orbax stores arrays alone.
    tree = {name: leaf for name, leaf in tree.items() if leaf is not None}
    folder = _folder(self._workdir, result.seed, result.subject)
    self._checkpointer.save(folder, tree)

  def load(self, seed: int, subject: str) -> FoldResult | None:
    """A finished fold, or None where there is none."""
    folder = _folder(self._workdir, seed, subject)
    if not folder.exists():
      return None
    try:
      tree = self._checkpointer.restore(folder)
      return FoldResult(subject=subject, seed=seed, **tree)
    except Exception as error:  # Orbax raises many kinds for a damaged file.
      raise errors.UserError(
        f'The checkpoint {folder} cannot be read'
        f' ({type(error).__name__}). Remove that folder and run again: its'
        ' fold is trained anew.'
      ) from error

  def close(self) -> None:
    """Waits until everything is on disk."""
    self._checkpointer.close()
