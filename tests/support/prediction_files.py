"""Writes `predictions.csv` files of invented runs."""

import csv
import pathlib

import numpy as np

CLASSES = ('negative', 'positive', 'surprise')
COLUMNS = (
  'seed', 'fold', 'dataset', 'clip_id', 'truth', 'prediction',
  *(f'p_{name}' for name in CLASSES),
)  # fmt: skip


def rows(skill=0.7, subjects=10, clips=4, seeds=(0, 1), rng_seed=0):
  """Rows of a run on two data sets that is right with probability `skill`.

  The clips and their truth are always the same.
  """
  rng = np.random.default_rng(rng_seed)
  made = []
  for seed in seeds:
    for clip in range(subjects * clips):
      subject = clip // clips
      dataset = ('casme2', 'samm')[subject % 2]
      truth = clip % 3
      right = rng.random() < skill
      guess = truth if right else (truth + rng.integers(1, 3)) % 3
      shares = rng.dirichlet((1, 1, 1)) * 0.4
      shares[guess] += 0.6
      fold = f'{dataset}/s{subject:02}'
      made.append(
        [seed, fold, dataset, f'{fold}/c{clip:03}', CLASSES[truth]]
        + [CLASSES[guess], *(f'{share:.6f}' for share in shares)]
      )
  return [dict(zip(COLUMNS, map(str, row))) for row in made]


def write(path: pathlib.Path, values, columns=None) -> pathlib.Path:
  """Writes `values`, as `rows` returns them, to a run's folder; returns it."""
  path.mkdir(parents=True, exist_ok=True)
  with (path / 'predictions.csv').open('w', newline='') as file:
    writer = csv.DictWriter(file, columns or list(values[0]))
    writer.writeheader()
    writer.writerows(values)
  return path
