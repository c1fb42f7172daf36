"""Estimates the remaining time of a study from its finished trainings.

Work is the number of operations of the network, forward: clips times epochs
times the operations of a clip. A training step takes 70 to 170 ms per 1e9 of
them on one core, for all models of the zoo (`benchmarks.zoo`).
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import datetime
import functools
import pathlib
import time

import jax
import jax.numpy as jnp

from dianet_jax.core import config as configuration
from dianet_jax.data import dataset as data_lib
from dianet_jax.data import folds as folds_lib
from dianet_jax.experiments import frozen, rules
from dianet_jax.models import registry as models
from dianet_jax.motion import registry as motion
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
  config: configuration.Config,
  dataset: data_lib.Dataset,
  folds: folds_lib.Folds,
  workdir: pathlib.Path,
) -> float:
  """The work of the trainings that are not finished in `workdir`."""
  missing = max(len(folds) - saved_folds.finished(workdir), 0) / len(folds)
  clips = float(folds.train_valid.sum()) * config.train.epochs * missing
  if not clips:
    return 0.0
  # Arrays are [variant, clip, ...].
  shapes = tuple((n, array.shape[2:]) for n, array in dataset.inputs.items())
  phases = motion.phases(rules.feed(config), config.data)
  return clips * _operations(
    config.model, len(dataset.classes), tuple(phases.items()), shapes
  )


# A nested selection asks for the work of all candidates before each of them.
@functools.lru_cache(maxsize=256)
def _operations(
  settings: configuration.Model,
  num_classes: int,
  phases: tuple[tuple[str, tuple[str, ...]], ...],
  shapes: tuple[tuple[str, tuple[int, ...]], ...],
) -> float:
  """Floating-point operations of the network for one clip, not compiled."""
  model = models.build(num_classes, settings, dict(phases))
  inputs = {
    name: jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    for name, shape in shapes
  }
  variables = jax.eval_shape(model.init, jax.random.key(0), inputs)
  if part := models.frozen_part(settings):
    own, variables = frozen.split(variables, part)
    inputs = jax.eval_shape(model.features, own, inputs)
  lowered = jax.jit(model.apply).lower(variables, inputs)
  return (lowered.cost_analysis() or {}).get('flops', 1.0)
