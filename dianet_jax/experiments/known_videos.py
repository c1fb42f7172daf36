"""Long videos whose expressions are known: where they lie, and their score."""

from collections.abc import Mapping
import dataclasses
import pathlib

from dianet_jax.core import errors
from dianet_jax.evaluation import evaluate_spotting, spotting, spotting_files
from dianet_jax.inference import bundle as bundle_lib
from dianet_jax.inference import spotting_files as written
from tfds_builders import long_videos, raw_folder


@dataclasses.dataclass(frozen=True)
class KnownVideos:
  """Videos and the truth about them.

  Attributes:
    name: for messages.
    places: path of each video -> what is known of it.
    simulated: whether the faces are.
    same_people: data sets of clips that show the same people.
  """

  name: str
  places: Mapping[pathlib.Path, spotting.Video]
  simulated: bool
  same_people: tuple[str, ...] = ()

  @property
  def rates(self) -> dict[str, float | None]:
    """Path -> frames a second; None of a file, which has time stamps."""
    return {
      str(path): video.frames_per_second if path.is_dir() else None
      for path, video in self.places.items()
    }


def of_data_set(dataset: str, manual_dir: str) -> KnownVideos:
  """The long videos of a raw data set.

  Raises:
    UserError: unknown data set, nothing found, or a wrong cell.
  """
  declared = long_videos.get(dataset)
  found = long_videos.find(declared, manual_dir)
  videos = spotting_files.of_found(declared, found)
  return KnownVideos(
    f'--dataset={dataset}',
    {video.folder: known for video, known in zip(found.videos, videos)},
    found.simulated,
    declared.same_people,
  )


def of_folder(folder: pathlib.Path) -> KnownVideos:
  """The videos that lie beside their `videos.csv` and `truth.csv`.

  Args:
    folder: holds a file or a folder of frames called like each video, as
      `dianet simulate-videos` writes it.

  Raises:
    UserError: a table that cannot be read, or no video, or two, of a name.
  """
  videos = spotting_files.read_truth(folder)
  by_stem: dict[str, list[pathlib.Path]] = {}
  for path in sorted(folder.iterdir()):
    if path.suffix.casefold() != '.csv':
      by_stem.setdefault(path.name if path.is_dir() else path.stem, []).append(
        path
      )
  places = {}
  for video in videos:
    found = by_stem.get(video.name, [])
    if len(found) != 1:
      names = ', '.join(path.name for path in found) or 'none'
      raise errors.UserError(
        f'{folder}: the video {video.name!r} of {spotting_files.VIDEOS} was'
        f' looked for beside it, found {names}. Expected one file or folder of'
        ' that name.'
      )
    places[found[0]] = video
  simulated = (folder / raw_folder.SIMULATED_MARK).exists()
  return KnownVideos(f'--truth={folder}', places, simulated)


def unnamed(
  known: KnownVideos, bundle: bundle_lib.Bundle, classes: Mapping[str, str]
) -> list[str]:
  """The annotated emotions that the bundle can never name.

  Args:
    known: with the emotions of the truth.
    bundle: will name the expressions.
    classes: emotion in lower case -> class.

  Raises:
    UserError: it can name none of them.
  """
  videos = spotting_files.renamed([*known.places.values()], classes)
  emotions = {item.emotion for video in videos for item in video.truth} - {''}
  if emotions and not emotions & {*bundle.classes}:
    raise errors.UserError(
      f'{known.name}: the annotated emotions {", ".join(sorted(emotions))} are'
      f" none of the bundle's classes, {', '.join(bundle.classes)}. Map them:"
      f' --classes={min(emotions)}={bundle.classes[0]},...'
    )
  return sorted(emotions - {*bundle.classes})


def evaluate(
  known: KnownVideos,
  intervals: pathlib.Path,
  classes: Mapping[str, str],
  bundle: bundle_lib.Bundle | None,
) -> written.Evaluation:
  """Scores `intervals.csv` as `dianet evaluate-spotting` does.

  Args:
    known: all of its videos are in the file.
    intervals: the file.
    classes: emotion in lower case -> class.
    bundle: that named the expressions.
  """
  videos = spotting_files.with_predictions(
    [*known.places.values()], intervals, known.name
  )
  videos = spotting_files.renamed(videos, classes)
  figures = evaluate_spotting.evaluate(videos)
  notes = ['The faces are SIMULATED: the metrics do not apply to real faces.']
  notes = notes * known.simulated
  if bundle is not None:
    notes.append(seen(known, bundle))
    if lacking := unnamed(known, bundle, classes):
      notes.append(
        f'The bundle cannot name {", ".join(lacking)}, which counts as wrong.'
        ' --classes maps emotions to its classes.'
      )
  return written.Evaluation(figures, evaluate_spotting.text(figures), notes)


def seen(known: KnownVideos, bundle: bundle_lib.Bundle) -> str:
  """Whether the bundle was trained on these people, as far as is known."""
  training = bundle.facts['training']
  origin = f'The bundle {bundle.name} was trained on {training["dataset"]}'
  if training['simulated']:
    origin += ', simulated'
  if bool(training['simulated']) != known.simulated:
    return f'{origin}: it has not seen these people.'
  if training['dataset'] in known.same_people and not known.simulated:
    return (
      f'{origin}, which shows the SAME PEOPLE: how it names expressions here is'
      ' no result.'
    )
  return (
    f'{origin}. Whether it has seen these people is NOT KNOWN: how it names'
    ' expressions is a result only if it has not.'
  )
