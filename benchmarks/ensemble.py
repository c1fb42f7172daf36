"""Scores the mean of the models of a kept leaderboard.

python -m benchmarks.ensemble benchmarks/results/zoo-megc2019

An entry that was laid down before it was scored: the mean of the probabilities
of the systems trained by the common recipe, with equal weights, whatever each
reached; without variants of DIANet and without authors' own recipes. Its
members are the ten that were trained when it was first scored; later systems do
not change it. Nothing is fitted, so no held-out subject has a part in it. It is
compared with DIANet, the first row.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from typing import Any

import numpy as np

from dianet_jax.core import entry, errors
from dianet_jax.evaluation import compare, predictions

NAME = 'mean of ten systems'
MEMBERS = (
  'DIANet',
  'STSTNet',
  'Off-ApexNet',
  'HTNet small',
  'HTNet small, two levels',
  'CausalNet small',
  'GBAN',
  'BioViL-T',
  'causal blocks',
  'COTS pretraining',
)


def rows(folder: pathlib.Path) -> list[dict[str, Any]]:
  """The rows of a kept leaderboard, as `ablation.json` has them.

  Raises:
    UserError: the folder has no such file.
  """
  path = folder / 'ablation.json'
  if not path.is_file():
    raise errors.UserError(
      f'{path} does not exist. Expected a folder of `python -m benchmarks.keep`'
      ' or the workdir of a study.'
    )
  return json.loads(path.read_text(encoding='utf-8'))['rows']


def members(folder: pathlib.Path) -> dict[str, predictions.Predictions]:
  """Member -> its predictions, if it has a result, on the same clips.

  Args:
    folder: see `rows`.
  """
  found = {
    row['name']: predictions.load(folder / row['folder'])
    for row in rows(folder)
    if 'folder' in row and row['name'] in MEMBERS
  }
  aligned, _ = predictions.align(found, False)
  return dict(aligned)


def mean(runs: dict[str, predictions.Predictions]) -> predictions.Predictions:
  """The mean of the probabilities of aligned runs with the same seeds."""
  first = next(iter(runs.values()))
  probabilities = np.mean([run.probabilities for run in runs.values()], axis=0)
  return dataclasses.replace(
    first,
    probabilities=probabilities,
    predictions=probabilities.argmax(axis=-1),
  )


def table(folder: pathlib.Path) -> str:
  """DIANet and the ensemble, on all clips and on each data set, Markdown."""
  runs = members(folder)
  first = next(iter(runs))
  text = compare.table(
    {first: runs[first], NAME: mean(runs)}, format='markdown'
  )
  return f'Members: {"; ".join(runs)}.\n\n{text}'


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
