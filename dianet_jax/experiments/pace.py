"""Estimates the remaining time of a study from its finished trainings.

Work is the number of input values that training processes: clips times epochs
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
from dianet_jax.training import saved_folds


@dataclasses.dataclass
class Pace:
  """Seconds and work of the finished trainings of a study."""

  seconds: float = 0.0
  work: float = 0.0

  @contextlib.contextmanager
  def timed(self, work: float) -> Iterator[None]:
    """Measures the time of some work; ignored without work."""
    start = time.perf_counter()
    yield
    if work:
      self.seconds += time.perf_counter() - start
      self.work += work

  def remark(self, seconds: float, work: float, rest: float) -> str:
    """Describes the remaining time of the study.

    Args:
      seconds: estimate for the next trainings.
      work: of the next trainings.
      rest: work of those that follow, which take time at the measured pace or,
        before any measurement, at the estimated one.
    """
    pace = self.seconds / self.work if self.work else seconds / max(work, 1)
    left = datetime.timedelta(seconds=round(seconds + pace * rest))
    return f', and about {left} for the rest of the study'


def work(
  config: Config,
  dataset: data_lib.Dataset,
  folds: folds_lib.Folds,
  workdir: pathlib.Path,
) -> float:
  """The work of the trainings that are not finished in `workdir`."""
  # Arrays are [variant, clip, ...].
  size = sum(np.prod(array.shape[2:]) for array in dataset.inputs.values())
  missing = max(len(folds) - saved_folds.finished(workdir), 0) / len(folds)
  return float(folds.train_valid.sum() * size * config.train.epochs * missing)
