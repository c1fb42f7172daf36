"""Scores the mean of the models of a kept leaderboard.

python -m benchmarks.ensemble benchmarks/results/zoo-megc2019

An entry that was laid down before it was scored: the mean of the probabilities
of the systems trained by the common recipe, with equal weights, whatever each
reached; without variants of DIANet and own recipes. Its members are the ten
that were trained when it was first scored; later systems do not change it
(CausalNet had derived position images then). Nothing is fitted, so no held-out
subject has a part in it. It is compared with DIANet, the first row.

A second entry, laid down before any seed but the first was scored: the mean
over the seeds, too, as one prediction, beside that of DIANet.
"""

import argparse
import dataclasses
import pathlib
import sys

import numpy as np

from benchmarks import keep
from dianet_jax.core import entry
from dianet_jax.evaluation import compare, predictions

NAME = 'mean of ten systems'
MEMBERS = (
  'DIANet',
  'STSTNet',
  'Off-ApexNet',
  'HTNet small',
  'HTNet small, two levels',
  'CausalNet small, derived positions (ours)',
  'GBAN',
  'BioViL-T',
  'causal blocks',
  'COTS pretraining',
)


def members(folder: pathlib.Path) -> dict[str, predictions.Predictions]:
  """Member -> its predictions, if it has a result, on the same clips.

  Args:
    folder: see `rows`.
  """
  found = {
    row['name']: predictions.load(folder / row['folder'])
    for row in keep.rows(folder)
    if 'folder' in row and row['name'] in MEMBERS
  }
  aligned, _ = predictions.align(found, False)
  return dict(aligned)


def mean(runs: dict[str, predictions.Predictions]) -> predictions.Predictions:
  """The mean of the probabilities of aligned runs, seed by seed.

  Args:
    runs: with unequal numbers of seeds, the first of each take part.
  """
  first = min(runs.values(), key=lambda run: len(run.seeds))
  seeds = len(first.seeds)
  return _predicting(
    first,
    np.mean([run.probabilities[:seeds] for run in runs.values()], axis=0),
  )


def of_seeds(run: predictions.Predictions) -> predictions.Predictions:
  """The mean of the probabilities of all seeds, as one prediction."""
  return _predicting(run, run.probabilities.mean(axis=0, keepdims=True))


def _predicting(
  run: predictions.Predictions, probabilities: np.ndarray
) -> predictions.Predictions:
  """`run` with the probabilities of as many of its seeds as these have."""
  return dataclasses.replace(
    run,
    seeds=run.seeds[: len(probabilities)],
    probabilities=probabilities,
    predictions=probabilities.argmax(axis=-1),
  )


def table(folder: pathlib.Path) -> str:
  """DIANet and the ensembles, on all clips and on each data set, Markdown."""
  runs = members(folder)
  first = next(iter(runs))
  compared = {first: runs[first], NAME: mean(runs)}
  texts = [
    f'Members: {"; ".join(runs)}.',
    compare.table(compared, format='markdown'),
  ]
  if len(compared[NAME].seeds) > 1:
    pooled = {f'{name}, seeds too': of_seeds(r) for name, r in compared.items()}
    texts.append(compare.table(pooled, format='markdown'))
  return '\n\n'.join(texts)


def main() -> None:
  """Prints the members and the table."""
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks.ensemble',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('folder', type=pathlib.Path, help='a kept leaderboard')
  options = parser.parse_args()
  if status := entry.run(lambda: print(table(options.folder))):
    sys.exit(status)


if __name__ == '__main__':
  main()
