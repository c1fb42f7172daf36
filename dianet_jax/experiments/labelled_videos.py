"""Long videos with annotated expressions: reading, spotting metrics."""

import argparse
from collections.abc import Mapping
import dataclasses
import pathlib

from dianet_jax.core import errors
from dianet_jax.evaluation import evaluate_spotting, spotting, spotting_files
from dianet_jax.inference import bundle as bundle_lib
from dianet_jax.inference import spotting_files as written
from tfds_builders import long_videos, raw_folder


@dataclasses.dataclass(frozen=True)
class LabelledVideos:
  """Videos and their annotations.

  Attributes:
    name: the option that selects them, for messages.
    videos: path of each video -> its annotations.
    simulated: whether the faces are simulated.
    same_people: data sets of clips that show the same people.
  """

  name: str
  videos: Mapping[pathlib.Path, spotting.Video]
  simulated: bool
  same_people: tuple[str, ...] = ()

  @property
  def rates(self) -> dict[str, float | None]:
    """Path -> frames per second; None for a file, which has time stamps."""
    return {
      str(path): video.frames_per_second if path.is_dir() else None
      for path, video in self.videos.items()
    }


def add_data_set_options(
  parser: argparse.ArgumentParser | argparse._ArgumentGroup,
) -> None:
  """Adds --dataset and --manual_dir; see `check_data_set_options`."""
  parser.add_argument(
    '--dataset',
    default='',
    help=f'data set of long videos: {", ".join(long_videos.SETS)}',
  )
  parser.add_argument(
    '--manual_dir', default='', help='folder of the raw data set'
  )


def check_data_set_options(
  parser: argparse.ArgumentParser, options: argparse.Namespace
) -> None:
  """Ends the program if only one of --dataset and --manual_dir is given."""
  if bool(options.dataset) != bool(options.manual_dir):
    parser.error('--dataset and --manual_dir must be given together')


def of_data_set(dataset: str, manual_dir: str) -> LabelledVideos:
  """Finds the long videos of a raw data set.

  Args:
    dataset: one of `long_videos.SETS`.
    manual_dir: folder of the raw data set.

  Returns:
    The videos with their annotations.

  Raises:
    UserError: the data set is unknown, no video is found, or a cell of the
      annotations is invalid.
  """
  declared = long_videos.get(dataset)
  found = long_videos.find(declared, manual_dir)
  videos = spotting_files.of_found(declared, found)
  return LabelledVideos(
    f'--dataset={dataset}',
    {raw.folder: video for raw, video in zip(found.videos, videos)},
    found.simulated,
    declared.same_people,
  )


def of_folder(folder: pathlib.Path) -> LabelledVideos:
  """Finds videos in the folder of their `videos.csv` and `truth.csv`.

  Args:
    folder: contains the tables and, for each video, one file or folder of
      frames with its name, as written by `dianet simulate-videos`.

  Returns:
    The videos with their annotations.

  Raises:
    UserError: a table cannot be read, or a video has no file or several.
  """
  videos = spotting_files.read_truth(folder)
  by_stem: dict[str, list[pathlib.Path]] = {}
  for path in sorted(folder.iterdir()):
    if path.suffix.casefold() != '.csv':
      by_stem.setdefault(path.name if path.is_dir() else path.stem, []).append(
        path
      )
  paths = {}
  for video in videos:
    found = by_stem.get(video.name, [])
    if len(found) != 1:
      names = ', '.join(path.name for path in found) or 'none'
      raise errors.UserError(
        f'{folder}: expected one file or folder named like the video'
        f' {video.name!r} of {spotting_files.VIDEOS}, found {names}.'
      )
    paths[found[0]] = video
  simulated = (folder / raw_folder.SIMULATED_MARK).exists()
  return LabelledVideos(f'--truth={folder}', paths, simulated)


def emotions_without_class(
  labelled: LabelledVideos,
  bundle: bundle_lib.Bundle,
  classes: Mapping[str, str],
) -> list[str]:
  """Finds annotated emotions that are not classes of the bundle.

  Args:
    labelled: videos with annotated emotions.
    bundle: predicts the emotions.
    classes: emotion in lower case -> class.

  Returns:
    The emotions in alphabetical order, after mapping.

  Raises:
    UserError: no annotated emotion is a class of the bundle.
  """
  videos = spotting_files.renamed([*labelled.videos.values()], classes)
  emotions = {item.emotion for video in videos for item in video.truth} - {''}
  if emotions and not emotions & {*bundle.classes}:
    raise errors.UserError(
      f'{labelled.name}: none of the annotated emotions'
      f' {", ".join(sorted(emotions))} is a class of the bundle'
      f' ({", ".join(bundle.classes)}). Map them:'
      f' --classes={min(emotions)}={bundle.classes[0]},...'
    )
  return sorted(emotions - {*bundle.classes})


def evaluate(
  labelled: LabelledVideos,
  intervals: pathlib.Path,
  classes: Mapping[str, str],
  bundle: bundle_lib.Bundle | None,
) -> written.Evaluation:
  """Computes the metrics of `dianet evaluate-spotting`.

  Args:
    labelled: the videos; all of them are in `intervals`.
    intervals: path of the predicted `intervals.csv`.
    classes: emotion in lower case -> class.
    bundle: predicted the emotions; None if there are no predicted emotions.

  Returns:
    The metrics, with notes on their validity.

  Raises:
    UserError: `intervals` cannot be read, or no annotated emotion is a class of
      the bundle.
  """
  videos = spotting_files.with_predictions(
    [*labelled.videos.values()], intervals, labelled.name
  )
  videos = spotting_files.renamed(videos, classes)
  figures = evaluate_spotting.evaluate(videos)
  notes = ['The faces are SIMULATED: the metrics do not apply to real faces.']
  notes = notes * labelled.simulated
  if bundle is not None:
    notes.append(describe_training(labelled, bundle))
    if missing := emotions_without_class(labelled, bundle, classes):
      notes.append(
        f'The bundle has no class for {", ".join(missing)}: predictions for'
        ' these emotions count as errors. --classes maps emotions to classes.'
      )
  return written.Evaluation(figures, evaluate_spotting.text(figures), notes)


def describe_training(
  labelled: LabelledVideos, bundle: bundle_lib.Bundle
) -> str:
  """Describes whether the bundle may have been trained on these people.

  Args:
    labelled: the videos.
    bundle: predicted the emotions.

  Returns:
    One or two sentences: yes, no or unknown.
  """
  training = bundle.facts['training']
  origin = f'The bundle {bundle.name} was trained on {training["dataset"]}'
  if training['simulated']:
    origin += ', simulated'
  if bool(training['simulated']) != labelled.simulated:
    return f'{origin}: it was not trained on these people.'
  if training['dataset'] in labelled.same_people and not labelled.simulated:
    return (
      f'{origin}, which shows the SAME PEOPLE: its emotions here are not a'
      ' valid result.'
    )
  return (
    f'{origin}. It is UNKNOWN whether it was trained on these people: its'
    ' emotions are a valid result only if it was not.'
  )
