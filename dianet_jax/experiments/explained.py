"""Explains clips of a finished run by the networks that held them out."""

from collections.abc import Sequence
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dianet_jax.data import dataset as dataset_lib
from dianet_jax.evaluation import report
from dianet_jax.experiments import trained as trained_lib
from dianet_jax.explanation import explainer
from dianet_jax.training import build
from dianet_jax.training.results import FoldResult


def explain(
  workdir: pathlib.Path,
  dataset: dataset_lib.Dataset,
  results: Sequence[FoldResult],
  pooled: report.Pooled,
  ensemble: int,
  chosen: Sequence[int],
) -> dict[int, explainer.Explanation]:
  """Explains the predicted classes of clips, for the first seed.

  Args:
    workdir: of the finished run.
    dataset: the clips.
    results: of every training, for the clips that each held out.
    pooled: the predictions.
    ensemble: number of trainings of a seed.
    chosen: indices of the clips.

  Returns:
    Index of the clip -> explanation, by the fold that held the clip out.

  Raises:
    UserError: the run is not finished, or its weights are damaged.
  """
  opened = trained_lib.open_run(workdir)
  first = pooled.seeds[0]
  explainers: dict[Any, explainer.Explainer] = {}
  found = {}
  for result in results:
    clips = set(chosen) & set(result.test_index.tolist())
    if result.seed != first * ensemble or not clips:
      continue
    networks = [
      opened.network(seed, result.subject)
      for seed in range(first * ensemble, (first + 1) * ensemble)
    ]
    # In a nested selection folds may have different networks.
    kind = networks[0].config, networks[0].dtype
    if kind not in explainers:
      explainers[kind] = _explainer(networks[0], dataset)
    members = [network.variables for network in networks]
    for clip in sorted(clips):
      inputs = {name: array[0, clip] for name, array in dataset.inputs.items()}
      class_ = int(pooled.predictions[0, clip])
      found[clip] = explainers[kind](members, inputs, class_)
  return found


def _explainer(
  network: trained_lib.Network, dataset: dataset_lib.Dataset
) -> explainer.Explainer:
  trainer = build.make_trainer(
    network.config,
    len(dataset.classes),
    dataset.channels,
    1,
    jnp.dtype(network.dtype),
  )
  predict = jax.jit(trainer.probabilities)

  def apply(variables, inputs, **options):
    return trainer.model.apply(variables, trainer.prepare(inputs), **options)

  return explainer.Explainer(
    trainer.model,
    apply,
    lambda members, inputs: np.mean(
      [predict(dict(member), inputs) for member in members], axis=0
    ),
    dataset.representations,
    dataset.channels,
  )
