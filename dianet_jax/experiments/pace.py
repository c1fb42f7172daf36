"""How long the rest of a study takes, by what its trainings took so far.

Work is counted in input values that training looks at: clips times epochs
times the size of a clip's inputs.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import datetime
import pathlib
import time

import numpy as np

from dianet_jax.core.config import Config
from dianet_jax.data import dataset as data_lib
from dianet_jax.data import folds as folds_lib
from dianet_jax.training import kept


@dataclasses.dataclass
class Pace:
  """Seconds and work of the trainings that a study has done."""

  seconds: float = 0.0
  work: float = 0.0

  @contextlib.contextmanager
  def timed(self, work: float) -> Iterator[None]:
    """Measures how long `work` takes; without work nothing is learned."""
    start = time.perf_counter()
    yield
    if work:
      self.seconds += time.perf_counter() - start
      self.work += work

  def remark(self, seconds: float, work: float, rest: float) -> str:
    """What to say of the time left for the whole study.

    Args:
      seconds: estimate for the trainings that are about to begin.
      work: of those trainings.
      rest: work of those that follow; at the pace so far, or of the next ones.
    """
    pace = self.seconds / self.work if self.work else seconds / max(work, 1)
    left = datetime.timedelta(seconds=round(seconds + pace * rest))
    return f', and about {left} for all that is left of the study'


def work(
  config: Config,
  dataset: data_lib.Dataset,
  folds: folds_lib.Folds,
  workdir: pathlib.Path,
) -> float:
  """The work of the trainings that `workdir` does not hold."""
  # Arrays are [variant, clip, ...].
  size = sum(np.prod(array.shape[2:]) for array in dataset.inputs.values())
  missing = max(len(folds) - kept.finished(workdir), 0) / len(folds)
  return float(folds.train_valid.sum() * size * config.train.epochs * missing)
