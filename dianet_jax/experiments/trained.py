"""Loads the networks of a finished run or nested selection."""

from collections.abc import Mapping
import contextlib
import dataclasses
import functools
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

from dianet_jax.core import errors, paths
from dianet_jax.core.config import Config
from dianet_jax.experiments import frozen, rows, rules, workdirs
from dianet_jax.models import registry as models
from dianet_jax.motion import registry as motion
from dianet_jax.training import build, checkpoints


@dataclasses.dataclass(frozen=True)
class Network:
  """One trained network.

  Attributes:
    config: of its training.
    classes: class names, in the order of the probabilities.
    variables: parameters and statistics, float32, for the model's `apply`.
    dtype: of computation in training.
  """

  config: Config
  classes: tuple[str, ...]
  variables: Mapping[str, Any]
  dtype: str

  @functools.cached_property
  def _probabilities(self):
    data = self.config.data
    channels = motion.channels(
      rules.feed(self.config), data, rules.stored(data.dataset)
    )
    trainer = build.make_trainer(
      self.config, len(self.classes), channels, 1, jnp.dtype(self.dtype)
    )
    return jax.jit(trainer.probabilities)

  def predict(
    self, inputs: Mapping[str, Float[np.ndarray, 'clip ...']]
  ) -> Float[Array, 'clip class_']:
    """Class probabilities, as the run computed them.

    Args:
      inputs: name -> raw inputs of clips: one variant of `Dataset.inputs`.

    Returns:
      Float32, 0..1.
    """
    return self._probabilities(dict(self.variables), dict(inputs))


@dataclasses.dataclass(frozen=True)
class TrainedRun:
  """The networks of a finished run, one for each seed and held-out subject.

  Attributes:
    config: of the run, as this version reads it.
    classes: names, in the order of the probabilities.
    folds: (seed, subject) of every training. With `evaluation.ensemble` = n
      trainings k n .. k n + n - 1 make up the reported seed k.
    places: subject -> the workdir that holds its fold's weights, and the
      configuration that it was trained by: nested selection has several.
  """

  config: Config
  classes: tuple[str, ...]
  folds: tuple[tuple[int, str], ...]
  places: Mapping[str, tuple[pathlib.Path, Config]]

  def network(self, seed: int, subject: str) -> Network:
    """Loads the network that was trained without a subject.

    Args:
      seed: one of the run's training seeds.
      subject: the held-out subject.

    Returns:
      The network, with its weights.

    Raises:
      UserError: there is no such training, or its weights are damaged.
    """
    if (seed, subject) not in self.folds:
      raise errors.UserError(
        f'There is no training of seed {seed} with subject {subject!r} held'
        f' out. There are {len(self.folds)}, the first {self.folds[0]}.'
      )
    workdir, config = self.places[subject]
    with contextlib.closing(checkpoints.Checkpoints(workdir)) as saved:
      result = saved.load(seed, subject)
      if result is None:
        raise errors.UserError(
          f'{workdir}/checkpoints has no seed {seed}, subject {subject!r}. Copy'
          ' that folder again, or train the run again in another --workdir.'
        )
      variables = saved.load_variables(seed, subject)
      if models.frozen_part(config.model):
        variables = frozen.merged(variables, saved.load_frozen())
    dtype, *_ = result.made_by[-1].split(', ')
    return Network(config, self.classes, variables, dtype)


def open_run(workdir: str | os.PathLike[str]) -> TrainedRun:
  """Opens a finished run or nested selection.

  Args:
    workdir: of the run.

  Returns:
    The run; weights are read on demand.

  Raises:
    UserError: it is not the workdir of a finished run, or it was made by a
      version that saved no separate weights.
  """
  workdir = paths.normal(workdir, 'workdir')
  config = workdirs.load_config(workdir)
  summary = workdirs.load_summary(workdir)
  if summary is None:
    raise errors.UserError(
      f'The run in {workdir} is not finished: it has no metrics.json. Run its'
      ' command again.'
    )
  if 'trainings' not in summary:
    raise errors.UserError(
      f'The run in {workdir} was made by a version that saved no weights. Train'
      ' it again in another --workdir.'
    )
  folds = tuple((one['seed'], one['subject']) for one in summary['trainings'])
  places = {subject: (workdir, config) for _, subject in folds}
  if config.study.kind == 'nested':
    recorded = workdirs.load_selection(workdir)
    places |= rows.places_of(workdir, rows.parse(config), recorded)
  return TrainedRun(config, tuple(summary['classes']), folds, places)
