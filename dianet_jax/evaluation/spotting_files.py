"""Reads predicted and true intervals into `spotting.Video`s."""

from collections.abc import Iterable, Mapping, Sequence
import csv
import dataclasses
import math
import pathlib

from dianet_jax.clips import intervals
from dianet_jax.core import errors, escape
from dianet_jax.evaluation import spotting
from tfds_builders import long_videos

VIDEOS, TRUTH = 'videos.csv', 'truth.csv'
_COLUMNS = ('video', 'subject', 'frames', 'frames_per_second')
# Columns by which a file of `dianet predict` is recognised.
_PREDICTED = {'clip', 'prediction', 'kind', 'spotting_score', 'error'}
_MOST_LISTED = 3


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
  try:
    with path.open(newline='', encoding='utf-8-sig') as lines:
      return list(csv.DictReader(lines, restval='', strict=True))
  except (OSError, UnicodeError, csv.Error) as error:
    raise errors.UserError(f'{path} cannot be read ({error}).') from error


def _expressions(
  path: pathlib.Path,
) -> dict[str, tuple[spotting.Expression, ...]]:
  """Video -> its intervals, with emotions if the file has that column."""
  rows = _rows(path)
  if rows and rows[0].keys() >= _PREDICTED:
    return _of_predictions(path, rows)
  return {
    video: tuple(spotting.Expression(one, one.emotion) for one in some)
    for video, some in intervals.read(path).items()
  }


def _of_predictions(
  path: pathlib.Path, rows: Sequence[Mapping[str, str]]
) -> dict[str, tuple[spotting.Expression, ...]]:
  """Reads spotted intervals from `predictions.csv` of `dianet predict`."""
  found: dict[str, tuple[spotting.Expression, ...]] = {}
  for number, row in enumerate(rows, 2):
    some = found.setdefault(escape.from_cell(row['clip']), ())
    if row['error'].startswith('no expression was spotted'):
      continue
    if not row['kind']:
      raise errors.UserError(
        f'{path}, row {number}: {row["error"] or "not spotted"}. Expected the'
        ' predictions of `dianet predict` for long videos without key frames.'
      )
    onset, apex, offset = (int(row[k]) for k in ('onset', 'apex', 'offset'))
    score = float(row['spotting_score'])
    interval = intervals.Interval(onset, apex, offset, row['kind'], score)
    emotion = escape.from_cell(row['prediction'])
    one = spotting.Expression(interval, emotion)
    found[escape.from_cell(row['clip'])] = (*some, one)
  return found


def read_truth(folder: pathlib.Path) -> list[spotting.Video]:
  r"""Reads `videos.csv` and `truth.csv` of a folder.

  Args:
    folder: `videos.csv` lists all videos, with the columns video, subject,
      frames and frames_per_second; `truth.csv` has the required columns of
      `intervals.COLUMNS`, and may have `emotion`.

  Raises:
    UserError: a file cannot be read or has an invalid cell, or the two files
      disagree.

  >>> import tempfile
  >>> with tempfile.TemporaryDirectory() as name:
  ...   folder = pathlib.Path(name)
  ...   _ = (folder / VIDEOS).write_text(
  ...     'video,subject,frames,frames_per_second\nv1,s1,3000,50\n'
  ...   )
  ...   micro = intervals.Interval(10, 14, 19, 'micro')
  ...   intervals.write(folder / TRUTH, {'v1': [micro]})
  ...   [video] = read_truth(folder)
  >>> video.minutes, video.truth[0].interval.apex
  (1.0, 14)
  """
  path = folder / VIDEOS
  rows = _rows(path)
  missing = [n for n in _COLUMNS if not rows or n not in rows[0]]
  if missing:
    raise errors.UserError(
      f'{path} has no column(s) {", ".join(missing)}, or no rows. Expected'
      f' a row of {", ".join(_COLUMNS)} for each video, also for those without'
      ' an expression.'
    )
  truth = _expressions(folder / TRUTH)
  videos = []
  for number, row in enumerate(rows, 2):
    name = escape.from_cell(row['video'])
    try:
      frames, rate = int(row['frames']), float(row['frames_per_second'])
    except ValueError as error:
      raise errors.UserError(
        f'{path}, row {number}: {error}. Expected numbers.'
      ) from error
    if not (frames > 0 and 0 < rate < math.inf):
      raise errors.UserError(
        f'{path}, row {number}: {frames} frames, {rate} frames per second.'
        ' Expected numbers above 0.'
      )
    subject = escape.from_cell(row['subject'])
    some = truth.get(name, ())
    late = [t.interval for t in some if t.interval.offset >= frames]
    if late:
      raise errors.UserError(
        f'{folder / TRUTH}: an interval of {name} ends at frame'
        f' {late[0].offset}, but the video has frames 0 to {frames - 1}.'
      )
    videos.append(spotting.Video(name, subject, frames, rate, some))
  names = [video.name for video in videos]
  if len({*names}) < len(names):
    twice = next(name for name in names if names.count(name) > 1)
    raise errors.UserError(f'{path} names the video {twice!r} twice.')
  _refuse_strangers(folder / TRUTH, truth, names, path)
  return videos


def of_data_set(dataset: str, manual_dir: str) -> list[spotting.Video]:
  """The long videos of a raw data set, named after their folders.

  Args:
    dataset: name of a data set of long videos.
    manual_dir: folder of the raw data set.

  Raises:
    UserError: unknown data set, no video found, or an invalid cell.
  """
  declared = long_videos.get(dataset)
  return of_found(declared, long_videos.find(declared, manual_dir))


def of_found(
  declared: long_videos.LongVideos, found: long_videos.Found
) -> list[spotting.Video]:
  """The videos that were found of a data set, in their order."""
  return [
    spotting.Video(
      video.name,
      video.subject,
      video.frames,
      declared.frames_per_second,
      tuple(
        spotting.Expression(interval, emotion)
        for interval, emotion in video.expressions
      ),
    )
    for video in found.videos
  ]


def _refuse_strangers(place, found, names: Iterable[str], known) -> None:
  strange = sorted({*found} - {*names})
  if strange:
    more = ', ...' if len(strange) > _MOST_LISTED else ''
    raise errors.UserError(
      f'{place} names {len(strange)} video(s) that are not in {known}:'
      f' {", ".join(map(repr, strange[:_MOST_LISTED]))}{more}'
    )


def with_predictions(
  videos: Sequence[spotting.Video], path: pathlib.Path, known: str
) -> list[spotting.Video]:
  """Adds the predicted intervals to videos.

  Args:
    videos: with their truth.
    path: `intervals.csv`, see `intervals.write`, which may have `emotion`; or
      `predictions.csv` of `dianet predict`. A video is named as in `videos`, or
      by the path of a file or folder of that name.
    known: where the names of the videos come from, for messages.

  Raises:
    UserError: the file cannot be read, names other videos, or has no row for a
      video: one without predictions has a row with only its name.

  >>> import tempfile
  >>> video = spotting.Video('v1', 's1', 3000, 50.0)
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   path = pathlib.Path(folder) / 'intervals.csv'
  ...   found = intervals.Interval(10, 14, 19, 'micro', 2.5)
  ...   intervals.write(path, {'videos/v1.mp4': [found]})
  ...   [video] = with_predictions([video], path, 'the example')
  >>> video.found[0].interval == found
  True
  """
  names = {video.name for video in videos}
  found: dict[str, tuple[spotting.Expression, ...]] = {}
  for name, some in _expressions(path).items():
    forms = (name, pathlib.PurePath(name).name, pathlib.PurePath(name).stem)
    plain = next((form for form in forms if form in names), name)
    if plain in found:
      raise errors.UserError(
        f'{path} names the video {plain!r} in two ways; one is {name!r}.'
      )
    found[plain] = some
  _refuse_strangers(path, found, names, known)
  silent = [video.name for video in videos if video.name not in found]
  if silent:
    more = ', ...' if len(silent) > _MOST_LISTED else ''
    raise errors.UserError(
      f'{path} has no row for {len(silent)} of {len(videos)} videos:'
      f' {", ".join(map(repr, silent[:_MOST_LISTED]))}{more}. All videos are'
      ' scored: a video without predictions has a row with only its name.'
    )
  return [dataclasses.replace(v, found=found[v.name]) for v in videos]


def renamed(
  videos: Sequence[spotting.Video], classes: Mapping[str, str]
) -> list[spotting.Video]:
  """Replaces emotions by classes, in the truth and in the predictions.

  Args:
    videos: with truth and predictions.
    classes: emotion, in lower case -> class; other emotions are kept.

  >>> happy = spotting.Expression(intervals.Interval(0, 5, 9, 'micro'), 'Happy')
  >>> video = spotting.Video('v1', 's1', 3000, 50.0, truth=(happy,))
  >>> renamed([video], {'happy': 'positive'})[0].truth[0].emotion
  'positive'
  """

  def named(item: spotting.Expression) -> spotting.Expression:
    emotion = item.emotion.casefold()
    return dataclasses.replace(item, emotion=classes.get(emotion, emotion))

  return [
    dataclasses.replace(
      video,
      truth=tuple(map(named, video.truth)),
      found=tuple(map(named, video.found)),
    )
    for video in videos
  ]
