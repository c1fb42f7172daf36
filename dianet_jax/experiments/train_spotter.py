"""Trains the learned spotter: dianet train-spotter --truth=FOLDER --out=DIR.

Each person is left out once, by the trainer of the recognition networks: a step
of a video is a clip of it, and its class the kind of the interval that it lies
in. What the networks find in the people that they have not seen is scored and
chooses the threshold; one more network is trained on everybody, and kept.

Exit status: 0, or 2 for a wrong command line.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import pathlib
from typing import Any

from jaxtyping import Float32, Int
import numpy as np

from dianet_jax.clips import (
  face_blocks,
  faces,
  intervals,
  long_videos,
  movement_windows,
  movements,
  video,
)
from dianet_jax.core import config as configuration
from dianet_jax.core import errors, paths, progress, runtime
from dianet_jax.data import folds as folds_lib
from dianet_jax.evaluation import evaluate_spotting, spotting, thresholds
from dianet_jax.experiments import final, known_videos
from dianet_jax.inference import learned
from dianet_jax.models import movement_network
from dianet_jax.training import objectives, parallel
from dianet_jax.training.state import Data
from dianet_jax.training.trainer import Trainer

# Of steps without an expression every so many are trained on.
_THINNED = 3


@dataclasses.dataclass(frozen=True)
class Measured:
  """A video whose expressions are known, as numbers.

  Attributes:
    known: what is true of it.
    blocks: of its face.
    grid: of its steps.
  """

  known: spotting.Video
  blocks: Sequence[face_blocks.Block]
  grid: face_blocks.Grid


def measure(
  known: known_videos.KnownVideos, find: face_blocks.Find
) -> Iterator[Measured]:
  """Measures videos one after another, the dear part of all.

  Raises:
    UserError: one cannot be read.
  """
  places, rates = known.places, known.rates
  for path in progress.track(places, 'Videos', len(places)):
    source = video.Video(path, rates[str(path)])
    frames, fps = face_blocks.with_rate(source.frames())
    blocks = list(face_blocks.measure(frames, fps, find))
    yield Measured(places[path], blocks, face_blocks.grid(fps))


def steps(
  one: Measured,
) -> tuple[
  Float32[np.ndarray, 'variant step difference channel'],
  Int[np.ndarray, ' step'],
]:
  """What is trained on: every step of an expression, and some of the rest.

  Returns:
    Differences as they are and mirrored; classes, indices of
    `learned.CLASSES`.
  """
  track = movements.join(one.blocks, one.grid)
  labels = np.zeros(len(track.part), np.int32)
  for item in one.known.truth:
    first, last = item.interval.onset, item.interval.offset
    inside = (track.numbers >= first) & (track.numbers <= last)
    labels[inside] = learned.CLASSES.index(item.interval.kind)
  kept = (labels > 0) | (np.arange(len(labels)) % _THINNED == 0)
  kept &= track.part >= 0
  values = movement_windows.differences(track)[kept]
  return np.stack([values, movement_windows.mirrored(values)]), labels[kept]


@dataclasses.dataclass(frozen=True)
class Steps:
  """The steps of all videos; `subjects` has the person of each."""

  differences: Float32[np.ndarray, 'variant step difference channel']
  labels: Int[np.ndarray, ' step']
  subjects: Sequence[str]


def all_steps(videos: Sequence[Measured]) -> Steps:
  """The steps of videos, one after another."""
  parts = [steps(one) for one in videos]
  return Steps(
    np.concatenate([values for values, _ in parts], axis=1),
    np.concatenate([labels for _, labels in parts]),
    [v.known.subject for v, (_, some) in zip(videos, parts) for _ in some],
  )


def train(found: Steps, folds: folds_lib.Folds) -> dict[str, Any]:
  """Trains a network for each fold.

  Args:
    found: of all people.
    folds: of them.

  Returns:
    The fold's name -> variables of its network.

  Raises:
    UserError: a training diverged.
  """
  recommended = {
    key.removeprefix('train.'): value
    for key, value in movement_network.MovementNetwork.recommended.items()
  }
  trainer = Trainer(
    model=learned.network(),
    objective=objectives.CrossEntropy(),
    settings=configuration.Train(**recommended),
    scaling=configuration.Data().scaling,
    channels={'differences': ()},
    max_train_clips=folds.train_index.shape[1],
  )
  program = parallel.FoldParallel(
    trainer,
    Data({'differences': found.differences}, found.labels),
    folds,
    configuration.Parallel(),
    configuration.Evaluation(),
  )
  results = final.train_all(
    program,
    folds,
    'Training',
    lambda result: (
      f'The training without {result.subject} diverged. Look for annotations'
      ' that are not of these videos.'
    ),
  )
  return {result.subject: result.variables for result in results}


def on_everybody(found: Steps) -> dict[str, Any]:
  """The variables of a network that is trained on all steps."""
  folds = folds_lib.hold_out(
    {'nobody': ()}, found.subjects, found.labels, len(learned.CLASSES),
    balance='none',
  )  # fmt: skip
  # A fold predicts clips when it ends: here one that nobody looks at.
  folds = dataclasses.replace(
    folds,
    test_index=folds.train_index[:, :1],
    test_valid=folds.train_valid[:, :1],
  )
  return train(found, folds)['nobody']


def held_out(
  videos: Sequence[Measured], networks: Mapping[str, Any]
) -> list[spotting.Video]:
  """What each person's network, which has not seen them, finds in them.

  Args:
    videos: of all people.
    networks: subject -> variables of the network.
  """
  found = []
  for one in videos:
    score = learned.Learned(networks[one.known.subject]).score
    stretches = long_videos.spot_blocks(
      one.blocks, one.grid, learned.MIN_PROBABILITY, score
    )
    some = tuple(
      spotting.Expression(item) for part in stretches for item in part.found
    )
    found.append(dataclasses.replace(one.known, found=some))
  return found


def run(
  videos: Sequence[Measured], out: pathlib.Path, trained_on: str
) -> tuple[learned.Learned, dict[str, Any]]:
  """Trains, scores, and writes `spotter.safetensors` and `intervals.csv`.

  Args:
    videos: of two people or more.
    out: folder, which is there.
    trained_on: for reports.

  Returns:
    The spotter, trained on everybody; and `evaluate_spotting.evaluate` of the
    people that were left out.

  Raises:
    UserError: one person alone, or no expressions.
    OSError: the folder cannot be written.
  """
  found = all_steps(videos)
  folds = folds_lib.leave_one_subject_out(
    found.subjects, found.labels, len(learned.CLASSES), balance='none'
  )
  judged = held_out(videos, train(found, folds))
  intervals.write(
    out / 'intervals.csv',
    {v.name: [item.interval for item in v.found] for v in judged},
  )
  spotter = learned.Learned(
    on_everybody(found), thresholds.common(judged), trained_on=trained_on
  )
  learned.save(out / 'spotter.safetensors', spotter)
  return spotter, evaluate_spotting.evaluate(judged)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='dianet train-spotter',
    description='Trains a spotter on long videos whose expressions are known,'
    ' and says how well it does on people that it has not seen.',
  )
  parser.add_argument(
    '--truth',
    action='append',
    default=[],
    help='folder of videos, videos.csv and truth.csv; may be given again',
  )
  parser.add_argument('--dataset', default='', help='raw long videos')
  parser.add_argument('--manual_dir', default='', help='where they lie')
  parser.add_argument('--out', default='spotter', help='folder to write')
  return parser


def main(arguments: Sequence[str]) -> None:
  """Trains on what the command line names.

  Args:
    arguments: the command line's, without the program.

  Raises:
    UserError: videos that cannot be read, one person alone, or a folder that
      cannot be written.
  """
  parser = _parser()
  options = parser.parse_args(arguments)
  if bool(options.truth) == bool(options.dataset):
    parser.error('give --truth, or --dataset and --manual_dir')
  if bool(options.dataset) != bool(options.manual_dir):
    parser.error('--dataset and --manual_dir belong together')
  runtime.keep_programs(runtime.cache_dir(''))
  if options.dataset:
    known = [known_videos.of_data_set(options.dataset, options.manual_dir)]
  else:
    folders = [paths.normal(text, '--truth') for text in options.truth]
    known = [known_videos.of_folder(folder) for folder in folders]
  out = paths.normal(options.out, '--out')
  videos = [one for some in known for one in measure(some, faces.find)]
  trained_on = ', '.join(some.name for some in known)
  try:
    out.mkdir(parents=True, exist_ok=True)
    spotter, result = run(videos, out, trained_on)
  except OSError as error:
    raise errors.UserError(
      f'--out={out} cannot be written ({error.strerror}).'
    ) from error
  print('Of each person by the network that has not seen them:\n')
  print(evaluate_spotting.text(result))
  path = out / 'spotter.safetensors'
  print(
    f'\n{path}, of everybody; its threshold is {spotter.threshold:.3f}. Next:\n'
  )
  print(f'  dianet spot VIDEO --spotter={path}')
