"""The part of a network that is not trained is computed once, for all folds.

A model may declare such a part, see `models.registry`. Its outputs are the
features. They depend on one clip each and on weights that are the same for all
folds, so nothing of a held-out clip reaches another one. Folds train the rest
of the network on the features, and their states do not have the part. Networks
that are loaded to predict have it again, and read the inputs of the model.
"""

from collections.abc import Mapping
import contextlib
import dataclasses
import pathlib
from typing import Any

from flax import traverse_util
import jax
from jaxtyping import Float
import numpy as np

from dianet_jax.core import config as configuration
from dianet_jax.core import hosts, progress
from dianet_jax.core.arrays import AnyArray
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.experiments import initial_weights
from dianet_jax.models import registry as models
from dianet_jax.training import checkpoints
from dianet_jax.training.state import Data
from dianet_jax.training.trainer import Trainer

# Collection -> module -> its variables.
Variables = Mapping[str, Mapping[str, Any]]
Inputs = Mapping[str, Float[AnyArray, 'variant clip ...']]


def split(variables: Variables, part: str) -> tuple[Variables, Variables]:
  """Splits variables into those of a module and those of all others.

  Args:
    variables: of a model.
    part: name of the module.

  >>> variables = {'params': {'encoder': 1, 'head': 2}, 'batch_stats': {'x': 3}}
  >>> split(variables, 'encoder')[0]
  {'params': {'encoder': 1}}
  >>> split(variables, 'encoder')[1]
  {'params': {'head': 2}, 'batch_stats': {'x': 3}}
  """

  def chosen(of_part):
    trees = {
      kind: {n: tree[n] for n in tree if (n == part) == of_part}
      for kind, tree in variables.items()
    }
    return {kind: tree for kind, tree in trees.items() if tree}

  return chosen(True), chosen(False)


def merged(variables: Variables, own: Variables) -> dict[str, Any]:
  """The variables of a network, from what `split` returned.

  >>> merged({'params': {'head': 2}}, {'params': {'encoder': 1}})
  {'params': {'head': 2, 'encoder': 1}}
  """
  parts = [traverse_util.flatten_dict(dict(v)) for v in (variables, own)]
  return traverse_util.unflatten_dict(parts[0] | parts[1])


def variables(
  config: configuration.Config, dataset: dataset_lib.Dataset
) -> Variables:
  """The variables of the part, from the file of initial weights.

  Args:
    config: of a run.
    dataset: of the run, for the shapes of inputs.

  Returns:
    As `split` returns them; {} if all is trained.

  Raises:
    UserError: see `pretrained.load`.
  """
  part = models.frozen_part(config.model)
  start = initial_weights.load(config, dataset) if part else None
  return split(start.variables, part)[0] if start else {}


def features(trainer: Trainer, own: Variables, inputs: Inputs) -> Inputs:
  """The outputs of the part, in inference mode and without augmentation.

  Args:
    trainer: with a model that declares a part.
    own: the variables of the part.
    inputs: raw inputs of all clips.

  Returns:
    Name -> features, float32.
  """
  model: Any = trainer.model

  @jax.jit
  def of_one(own, clip):
    batch = {name: values[None] for name, values in clip.items()}
    made = model.features(own, trainer.prepare(batch))
    return {name: values[0].astype('float32') for name, values in made.items()}

  own = jax.device_put(dict(own))
  variants, clips = next(iter(inputs.values())).shape[:2]
  # One clip at a time: its images fill a device, and it affects no other clip.
  rows = [*np.ndindex(variants, clips)]
  made = [
    jax.device_get(of_one(own, {n: array[row] for n, array in inputs.items()}))
    for row in progress.track(rows, 'Frozen part', len(rows))
  ]
  return {
    name: np.stack([one[name] for one in made]).reshape(
      variants, clips, *made[0][name].shape
    )
    for name in made[0]
  }


def applied(
  trainer: Trainer, data: Data, part: str, workdir: pathlib.Path | None
) -> tuple[Trainer, Data]:
  """Trainer and data of folds that train all but a part.

  Args:
    trainer: of the complete network.
    data: with the inputs of the model, and the initial weights of the part.
    part: name of its module.
    workdir: keeps features and variables of the part; None to keep nothing. A
      resumed run reads them, so that its features are the same, bit for bit.

  Returns:
    The trainer of the rest, and data with features as inputs.
  """
  own, rest = split(data.pretrained, part)
  if workdir is None:
    made = features(trainer, own, data.inputs)
  else:
    with contextlib.closing(checkpoints.Checkpoints(workdir)) as saved:
      made = saved.load_features()
      if made is None:
        made = features(trainer, own, data.inputs)
        if hosts.is_main():
          saved.save_frozen(own, made)
  # Features are no images: they are neither scaled nor augmented.
  channels = dict.fromkeys(made, ())
  return (
    dataclasses.replace(trainer, channels=channels),
    Data(made, data.labels, rest),
  )
