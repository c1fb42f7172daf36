"""Trains a learned spotter: dianet train-spotter --truth=FOLDER --out=DIR.

The networks are trained leave-one-subject-out by the trainer of the recognition
networks. Each step of a video is a sample; its class is the kind of the
interval that contains it, if any. The predictions for the held-out subjects are
evaluated, and the threshold of the score is chosen on them. The spotter that is
saved is one more network, trained on all subjects.

Exit status: 0 for success, 1 for an error, 2 for a wrong command line.
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
from dianet_jax.experiments import final, labelled_videos
from dianet_jax.inference import learned
from dianet_jax.models import movement_network
from dianet_jax.training import objectives, parallel
from dianet_jax.training.state import Data
from dianet_jax.training.trainer import Trainer

# Only every third step without an expression is a sample.
_SUBSAMPLING = 3


@dataclasses.dataclass(frozen=True)
class MeasuredVideo:
  """The measured motion of a labelled video.

  Attributes:
    labelled: the annotations.
    blocks: all blocks of the video.
    grid: the grid of the blocks.
  """

  labelled: spotting.Video
  blocks: Sequence[face_blocks.Block]
  grid: face_blocks.Grid


def measure(
  labelled: labelled_videos.LabelledVideos, find: face_blocks.Find
) -> Iterator[MeasuredVideo]:
  """Measures videos one after another, which takes most of the time.

  Args:
    labelled: the videos.
    find: detects the face in the first frame of each second.

  Yields:
    The motion of each video.

  Raises:
    UserError: a video cannot be read.
  """
  videos, rates = labelled.videos, labelled.rates
  for path in progress.track(videos, 'Videos', len(videos)):
    source = video.Video(path, rates[str(path)])
    frames, fps = face_blocks.with_rate(source.frames())
    blocks = list(face_blocks.measure(frames, fps, find))
    yield MeasuredVideo(videos[path], blocks, face_blocks.grid(fps))


def samples_of(
  measured: MeasuredVideo,
) -> tuple[
  Float32[np.ndarray, 'variant step difference channel'],
  Int[np.ndarray, ' step'],
]:
  """Selects the samples of a video.

  Samples are all steps in expressions and every third of the others.

  Args:
    measured: the video.

  Returns:
    Inputs of the network (variant 0) and their mirror images (variant 1), see
    `movement_windows.differences`; and labels, indices of `learned.CLASSES`.
  """
  track = movements.join(measured.blocks, measured.grid)
  labels = np.zeros(len(track.part), np.int32)
  for item in measured.labelled.truth:
    first, last = item.interval.onset, item.interval.offset
    inside = (track.numbers >= first) & (track.numbers <= last)
    labels[inside] = learned.CLASSES.index(item.interval.kind)
  chosen = (labels > 0) | (np.arange(len(labels)) % _SUBSAMPLING == 0)
  chosen &= track.part >= 0
  values = movement_windows.differences(track)[chosen]
  return np.stack([values, movement_windows.mirrored(values)]), labels[chosen]


@dataclasses.dataclass(frozen=True)
class Samples:
  """The samples of all videos.

  Attributes:
    differences: inputs of the network, see `movement_windows.differences`;
      variant 1 is the mirror image of variant 0.
    labels: indices of `learned.CLASSES`.
    subjects: subject of each sample.
  """

  differences: Float32[np.ndarray, 'variant step difference channel']
  labels: Int[np.ndarray, ' step']
  subjects: Sequence[str]


def all_samples(videos: Sequence[MeasuredVideo]) -> Samples:
  """Concatenates the samples of all videos.

  Args:
    videos: one or more.

  Returns:
    The samples, in the order of the videos.
  """
  parts = [samples_of(one) for one in videos]
  return Samples(
    np.concatenate([values for values, _ in parts], axis=1),
    np.concatenate([labels for _, labels in parts]),
    [
      one.labelled.subject
      for one, (_, labels) in zip(videos, parts)
      for _ in labels
    ],
  )


def train(samples: Samples, folds: folds_lib.Folds) -> dict[str, Any]:
  """Trains a network for each fold.

  Args:
    samples: of all subjects.
    folds: index tables into `samples`.

  Returns:
    Name of the fold -> variables of its network.

  Raises:
    UserError: the loss of a fold diverged.
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
    Data({'differences': samples.differences}, samples.labels),
    folds,
    configuration.Parallel(),
    configuration.Evaluation(),
  )
  results = final.train_all(
    program,
    folds,
    'Training',
    lambda result: (
      f'Training without {result.subject} diverged. Check that the annotations'
      ' belong to these videos.'
    ),
  )
  return {result.subject: result.variables for result in results}


def train_on_all(samples: Samples) -> dict[str, Any]:
  """Trains a network on all samples.

  Args:
    samples: of all subjects.

  Returns:
    Variables of the network.

  Raises:
    UserError: the loss diverged.
  """
  folds = folds_lib.hold_out(
    {'nobody': ()}, samples.subjects, samples.labels, len(learned.CLASSES),
    balance='none',
  )  # fmt: skip
  # A fold must have a test sample; its prediction is not used.
  folds = dataclasses.replace(
    folds,
    test_index=folds.train_index[:, :1],
    test_valid=folds.train_valid[:, :1],
  )
  return train(samples, folds)['nobody']


def predict_held_out(
  videos: Sequence[MeasuredVideo], networks: Mapping[str, Any]
) -> list[spotting.Video]:
  """Spots each video by the network that was not trained on its subject.

  Args:
    videos: of all subjects.
    networks: held-out subject -> variables of the network.

  Returns:
    The annotations with all candidates as predictions, whatever their score.
  """
  predicted = []
  for one in videos:
    score = learned.Learned(networks[one.labelled.subject]).score
    stretches = long_videos.spot_blocks(
      one.blocks, one.grid, learned.MIN_PROBABILITY, score
    )
    found = tuple(
      spotting.Expression(item) for part in stretches for item in part.found
    )
    predicted.append(dataclasses.replace(one.labelled, found=found))
  return predicted


def run(
  videos: Sequence[MeasuredVideo], out: pathlib.Path, trained_on: str
) -> tuple[learned.Learned, dict[str, Any]]:
  """Trains and evaluates a spotter.

  Writes the spotter, `spotter.safetensors`, and the intervals predicted for the
  held-out subjects, `intervals.csv`.

  Args:
    videos: of at least two subjects.
    out: an existing folder.
    trained_on: description of the videos, for reports.

  Returns:
    The spotter, trained on all subjects; and the metrics of the held-out
    subjects, see `evaluate_spotting.evaluate`.

  Raises:
    UserError: there is only one subject, or no annotated expression.
    OSError: the folder cannot be written.
  """
  samples = all_samples(videos)
  folds = folds_lib.leave_one_subject_out(
    samples.subjects, samples.labels, len(learned.CLASSES), balance='none'
  )
  predicted = predict_held_out(videos, train(samples, folds))
  intervals.write(
    out / 'intervals.csv',
    {v.name: [item.interval for item in v.found] for v in predicted},
  )
  spotter = learned.Learned(
    train_on_all(samples), thresholds.common(predicted), trained_on=trained_on
  )
  learned.save(out / 'spotter.safetensors', spotter)
  return spotter, evaluate_spotting.evaluate(predicted)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='dianet train-spotter',
    description='Trains a spotter on long videos with annotated expressions and'
    ' evaluates it leave-one-subject-out.',
  )
  parser.add_argument(
    '--truth',
    action='append',
    default=[],
    help='folder of videos with videos.csv and truth.csv; may be repeated',
  )
  labelled_videos.add_data_set_options(parser)
  parser.add_argument(
    '--out', default='spotter', help='folder to write (default: spotter)'
  )
  return parser


def main(arguments: Sequence[str]) -> None:
  """Runs `dianet train-spotter`.

  Args:
    arguments: of the command line, without the program.

  Raises:
    UserError: a video cannot be read, there is only one subject, or the folder
      cannot be written.
  """
  parser = _parser()
  options = parser.parse_args(arguments)
  if bool(options.truth) == bool(options.dataset):
    parser.error('expected either --truth, or --dataset and --manual_dir')
  labelled_videos.check_data_set_options(parser, options)
  runtime.keep_programs(runtime.cache_dir(''))
  if options.dataset:
    sets = [labelled_videos.of_data_set(options.dataset, options.manual_dir)]
  else:
    folders = [paths.normal(text, '--truth') for text in options.truth]
    sets = [labelled_videos.of_folder(folder) for folder in folders]
  out = paths.normal(options.out, '--out')
  videos = [one for some in sets for one in measure(some, faces.find)]
  trained_on = ', '.join(some.name for some in sets)
  try:
    out.mkdir(parents=True, exist_ok=True)
    spotter, result = run(videos, out, trained_on)
  except OSError as error:
    raise errors.UserError(
      f'--out={out} cannot be written ({error.strerror}).'
    ) from error
  print('Each subject, predicted by the network trained without it:\n')
  print(evaluate_spotting.text(result))
  path = out / 'spotter.safetensors'
  print(
    f'\nThe spotter trained on all subjects is {path}, with the threshold'
    f' {spotter.threshold:.3f}. Use it:\n'
  )
  print(f'  dianet spot VIDEO --spotter={path}')
