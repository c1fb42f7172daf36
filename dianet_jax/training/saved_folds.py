"""Counts the saved trainings of a workdir; imports nothing slow.

`checkpoints` describes the files.
"""

from collections.abc import Iterator
import pathlib
import re


def _folders(workdir: pathlib.Path, kind: str) -> Iterator[pathlib.Path]:
  for path in (workdir / kind).glob('seed*/*'):
    # Incomplete checkpoints have a longer name.
    if 'orbax-checkpoint-tmp' not in path.name:
      yield path


def finished(workdir: pathlib.Path) -> int:
  """Number of finished trainings of one run."""
  return sum(1 for _ in _folders(workdir, 'checkpoints'))


def is_whole(path: pathlib.Path) -> bool:
  """Whether a path is a complete checkpoint, named 12 or 12.3."""
  # Incomplete checkpoints have a longer name.
  return re.fullmatch(r'\d+(\.\d+)?', path.name) is not None


def begun(workdir: pathlib.Path) -> int:
  """Number of unfinished trainings of one run that can be resumed."""
  return sum(
    any(map(is_whole, path.iterdir()))
    for path in _folders(workdir, 'unfinished')
  )


def sentence(workdir: pathlib.Path) -> str:
  """Describes what is saved of a run or of a study, after a stop."""
  # Of a run, of the rows of an ablation, of candidates of a nested selection.
  places = [workdir, *workdir.glob('*'), *workdir.glob('*/*')]
  done, started = sum(map(finished, places)), sum(map(begun, places))
  if not done and not started:
    return 'no training was saved'
  return (
    f'{done} finished and {started} unfinished training(s) are saved in'
    f' {workdir}, and the same command resumes them'
  )
