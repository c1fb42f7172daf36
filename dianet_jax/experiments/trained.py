"""What a finished run has trained, to be looked at and used again."""

from collections.abc import Mapping
import contextlib
import dataclasses
import functools
import os
import pathlib
from typing import Any

import jax
from jaxtyping import Array, Float
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.core import errors, files
from dianet_jax.experiments import run, workdirs
from dianet_jax.models import registry as models
from dianet_jax.motion import registry as motion
from dianet_jax.training import checkpoints
from dianet_jax.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class TrainedRun:
  """The networks of a finished run, one for each seed and held-out subject.

  Attributes:
    workdir: of the run.
    config: of the run, as this version reads it.
    classes: names, in the order of the probabilities.
    folds: (seed, subject) of every training. With `evaluation.ensemble` = n
      trainings k n .. k n + n - 1 make up the reported seed k.
  """

  workdir: pathlib.Path
  config: configuration.Config
  classes: tuple[str, ...]
  folds: tuple[tuple[int, str], ...]

  def variables(self, seed: int, subject: str) -> dict[str, Any]:
    """Parameters and statistics of the network that never saw `subject`.

    Returns:
      What the model's `apply` takes, float32 on the host.

    Raises:
      UserError: there is no such training, or its weights are damaged.
    """
    if (seed, subject) not in self.folds:
      raise errors.UserError(
        f'{self.workdir} has no training of seed {seed} with subject'
        f' {subject!r} held out. There are {len(self.folds)}, the first'
        f' {self.folds[0]}.'
      )
    with contextlib.closing(checkpoints.Checkpoints(self.workdir)) as saved:
      found = saved.load_variables(seed, subject)
    if found is None:
      raise errors.UserError(
        f'The weights of seed {seed}, subject {subject!r} in {self.workdir} are'
        ' missing or damaged. Copy the folder weights/ anew, or train the run'
        ' again in another --workdir.'
      )
    return found

  @functools.cached_property
  def trainer(self) -> Trainer:
    """Scales inputs and applies the model, as in training."""
    reads = models.MODELS[self.config.model.name].reads
    channels = motion.channels(
      motion.feed(reads, self.config.data.inputs), self.config.data
    )
    return run.make_trainer(self.config, len(self.classes), channels, 1)

  @functools.cached_property
  def _probabilities(self):
    return jax.jit(self.trainer.probabilities)

  def predict(
    self,
    variables: Mapping[str, Any],
    inputs: Mapping[str, Float[np.ndarray, 'clip ...']],
  ) -> Float[Array, 'clip class_']:
    """Class probabilities, as the run itself computes them.

    Args:
      variables: what `variables` returned.
      inputs: name -> raw values of some clips: those of one variant of
        `Dataset.inputs`.
    """
    return self._probabilities(dict(variables), dict(inputs))


def open_run(workdir: str | os.PathLike[str]) -> TrainedRun:
  """The networks of a finished run.

  Args:
    workdir: with `config.json`, `metrics.json` and `weights/`.

  Raises:
    UserError: it is not the workdir of a finished run.
  """
  workdir = pathlib.Path(workdir).expanduser()
  config = workdirs.load_config(workdir)
  summary = files.read_if_there(workdir / 'metrics.json')
  if summary is None:
    raise errors.UserError(
      f'The run in {workdir} is not finished: it has no metrics.json. Run its'
      ' command again.'
    )
  return TrainedRun(
    workdir,
    config,
    tuple(summary['classes']),
    tuple((fold['seed'], fold['subject']) for fold in summary['trainings']),
  )
