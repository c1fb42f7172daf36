"""What a workdir keeps of its trainings; imports nothing heavy.

Where they lie, see `checkpoints`.
"""

from collections.abc import Iterator
import pathlib
import re


def _folders(workdir: pathlib.Path, kind: str) -> Iterator[pathlib.Path]:
  for path in (workdir / kind).glob('seed*/*'):
    # What orbax was writing when a run stopped has a longer name.
    if 'orbax-checkpoint-tmp' not in path.name:
      yield path


def finished(workdir: pathlib.Path) -> int:
  """How many trainings of one run are finished."""
  return sum(1 for _ in _folders(workdir, 'checkpoints'))


def is_whole(path: pathlib.Path) -> bool:
  """Whether it is a checkpoint of an unfinished fold, named 12 or 12.3."""
  # What orbax was writing when a run was killed has a longer name.
  return re.fullmatch(r'\d+(\.\d+)?', path.name) is not None


def begun(workdir: pathlib.Path) -> int:
  """How many others can go on where they were saved."""
  return sum(
    any(map(is_whole, path.iterdir()))
    for path in _folders(workdir, 'unfinished')
  )


def sentence(workdir: pathlib.Path) -> str:
  """What is there of a run or of a study, for whoever has stopped it."""
  # Of a run; of an ablation's rows; of a nested selection's candidates.
  places = [workdir, *workdir.glob('*'), *workdir.glob('*/*')]
  done, started = sum(map(finished, places)), sum(map(begun, places))
  if not done and not started:
    return 'nothing of the training was saved'
  return (
    f'{done} finished and {started} unfinished training(s) are saved in'
    f' {workdir}, and the same command goes on with them'
  )
