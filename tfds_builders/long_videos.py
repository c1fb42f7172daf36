"""Long videos with annotated expressions, to be spotted: frames in folders.

A `LongVideos` says what a data set calls things; `find` reads the spreadsheet
and looks for the folders. Frames count from 0 in what comes out, whatever the
files are called.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import fnmatch
import importlib
import os
import pathlib

from dianet_jax.clips import frame_names, intervals
from dianet_jax.core import errors
from tfds_builders import frames, raw_folder

# Name -> where its `DATA_SET` is.
SETS = {
  'casme_sq': 'tfds_builders.casme_sq.facts',
  'samm_long': 'tfds_builders.samm_long.facts',
}


@dataclasses.dataclass(frozen=True)
class Row:
  """An expression as the spreadsheet has it; frame numbers as in file names.

  Attributes:
    place: file, sheet and row, for messages.
    subject: as folders and results call it.
    video: what `LongVideos.video_of` makes of the video's folder.
    onset: number of the first frame; 0: the spreadsheet tells none.
    apex: likewise.
    offset: likewise.
    kind: 'micro' or 'macro'.
    emotion: in lower case; '' where none is known.
  """

  place: str
  subject: str
  video: str
  onset: int
  apex: int
  offset: int
  kind: str
  emotion: str


@dataclasses.dataclass(frozen=True)
class LongVideos:
  """Description of a data set of long videos.

  Attributes:
    name: of the data set.
    guide: where to get it and how it lies on disk.
    frames_per_second: of the camera.
    spreadsheets: patterns of the file's name, the preferred ones first.
    read: (spreadsheet, all folders) -> rows and notes.
    video_of: path of a folder -> (subject, video) or None for other folders.
    videos: in the complete data set; its other counts likewise.
    subjects: who is in them.
    micro: expressions annotated as micro-expressions.
    macro: the others.
    same_people: data sets of clips that show some of these people.
  """

  name: str
  guide: raw_folder.Guide
  frames_per_second: float
  spreadsheets: tuple[str, ...]
  read: Callable[
    [pathlib.Path, Sequence[frames.Folder]], tuple[list[Row], list[str]]
  ]
  video_of: Callable[[pathlib.Path], tuple[str, str] | None]
  videos: int
  subjects: int
  micro: int
  macro: int
  same_people: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class LongVideo:
  """One video.

  Attributes:
    name: of its folder.
    subject: who is in it.
    folder: with the frames.
    frames: how many there are.
    expressions: (interval, emotion), frames from 0 as they lie on disk.
  """

  name: str
  subject: str
  folder: pathlib.Path
  frames: int
  expressions: tuple[tuple[intervals.Interval, str], ...]


@dataclasses.dataclass(frozen=True)
class Found:
  """What a folder holds.

  Attributes:
    videos: sorted by name, also those without an expression.
    spreadsheet: that was read.
    notes: what was decided on the way.
    problems: expressions that cannot be used, and why.
    left_out: kinds of the expressions without an onset.
    simulated: whether the faces are.
  """

  videos: list[LongVideo]
  spreadsheet: pathlib.Path
  notes: list[str]
  problems: list[str]
  left_out: list[str]
  simulated: bool


def get(name: str) -> LongVideos:
  """A data set of long videos.

  Raises:
    UserError: there is none of this name.
  """
  if name not in SETS:
    raise errors.UserError(
      f'--dataset={name}: there are the long videos of {", ".join(SETS)}.'
    )
  return importlib.import_module(SETS[name]).DATA_SET


def find(data_set: LongVideos, manual_dir: str | os.PathLike[str]) -> Found:
  """Finds the videos and what is annotated in them, opening no image.

  Args:
    data_set: what to look for.
    manual_dir: the folder with the raw data, at any depth below it.

  Raises:
    raw_folder.NothingFoundError: not there, with what was expected and where.
    UserError: the spreadsheet cannot be read; two folders are one video.
  """
  root, folders = data_set.guide.walk(manual_dir)
  path = _spreadsheet(data_set, root, folders)
  rows, notes = data_set.read(path, folders)
  notes = [f'annotations from {path.relative_to(root)}', *notes]
  places = _places(data_set, root, folders)
  if not places:
    raise data_set.guide.error(
      'no folder of frames of a long video was found.', root, folders
    )
  problems: list[str] = []
  left_out: list[str] = []
  by_video: dict[tuple[str, str], list[Row]] = {}
  for row in rows:
    by_video.setdefault((row.subject, row.video), []).append(row)
  for key, some in by_video.items():
    if key not in places:
      problems.append(
        f'{some[0].place}: no folder of the video {key[1]} of {key[0]}'
        f' ({len(some)} expression(s))'
      )
  videos = [
    _video(key, folder, by_video.get(key, []), notes, problems, left_out)
    for key, folder in places.items()
  ]
  videos.sort(key=lambda video: video.name)
  mark = raw_folder.SIMULATED_MARK
  simulated = any((f / mark).exists() for f in (root, *path.parents))
  return Found(videos, path, notes, problems, left_out, simulated)


def _spreadsheet(
  data_set: LongVideos,
  root: pathlib.Path,
  folders: Sequence[frames.Folder],
) -> pathlib.Path:
  """The one that fits best by its name."""
  found = [
    (rank, frame_names.is_copy(name), folder.path / name)
    for folder in folders
    for name in folder.file_names
    for rank, pattern in enumerate(data_set.spreadsheets)
    if fnmatch.fnmatch(name.casefold(), pattern)
    and name.casefold().endswith('.xlsx')
    and not name.startswith('~$')
  ]
  if not found:
    raise data_set.guide.error(
      'no spreadsheet (.xlsx) with the annotations was found.', root, folders
    )
  return min(found)[-1]


def _places(
  data_set: LongVideos,
  root: pathlib.Path,
  folders: Sequence[frames.Folder],
) -> dict[tuple[str, str], frames.Folder]:
  places: dict[tuple[str, str], frames.Folder] = {}
  for folder in folders:
    key = data_set.video_of(folder.path)
    if key is None or not folder.image_names:
      continue
    if key in places:
      raise errors.UserError(
        f'{data_set.guide.title}: {places[key].path.relative_to(root)} and'
        f' {folder.path.relative_to(root)} are the same video, such as raw and'
        ' cropped frames. Name a folder that holds one of them.'
      )
    places[key] = folder
  return places


def _video(
  key: tuple[str, str],
  folder: frames.Folder,
  rows: Sequence[Row],
  notes: list[str],
  problems: list[str],
  left_out: list[str],
) -> LongVideo:
  try:
    numbers = list(frame_names.number_frames(folder.image_names))
  except ValueError as error:
    raise errors.UserError(f'{folder.path} {error}.') from error
  expressions = []
  for row in rows:
    if not row.onset:
      notes.append(f'{row.place}: no onset is annotated, left out')
      left_out.append(row.kind)
      continue
    found = _interval(row, numbers, notes, problems)
    if found is not None:
      expressions.append((found, row.emotion))
  if len(numbers) < numbers[-1] - numbers[0] + 1:
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    notes.append(f'{folder.path.name}: {missing} frame(s) are missing')
  return LongVideo(
    folder.path.name,
    key[0],
    folder.path,
    len(numbers),
    tuple(sorted(expressions, key=lambda item: item[0].onset)),
  )


def _interval(
  row: Row, numbers: list[int], notes: list[str], problems: list[str]
) -> intervals.Interval | None:
  """The interval in indices of frames; None where nothing can be made of it."""
  onset, apex, offset = row.onset, row.apex, row.offset
  if not offset:
    notes.append(f'{row.place}: no offset is annotated, the apex is taken')
    offset = apex
  if not onset <= offset:
    problems.append(
      f'{row.place}: onset {onset} comes after the offset {offset}'
    )
    return None
  if not onset <= apex <= offset:
    notes.append(
      f'{row.place}: the apex {apex} lies outside of {onset} to {offset}, the'
      ' middle is taken'
    )
    apex = (onset + offset) // 2
  there = [n for n in numbers if onset <= n <= offset]
  if 2 * len(there) < offset - onset + 1:
    problems.append(
      f'{row.place}: {len(there)} of the frames {onset} to {offset} are there'
      f' (the folder has {numbers[0]} to {numbers[-1]})'
    )
    return None
  first = numbers.index(there[0])
  nearest = min(there, key=lambda number: abs(number - apex))
  return intervals.Interval(
    first, numbers.index(nearest), first + len(there) - 1, row.kind
  )


def row_of(
  place: str,
  subject: str,
  video: str,
  cells: Mapping[str, str],
  emotion: str,
) -> Row:
  """A row by its cells `onset`, `apex`, `offset` and `type`.

  Raises:
    UserError: see `frame_of` and `kind_of`.
  """
  onset, apex, offset = (
    frame_of(place, column, cells[column])
    for column in ('onset', 'apex', 'offset')
  )
  kind = kind_of(place, cells['type'])
  return Row(place, subject, video, onset, apex, offset, kind, emotion)


def frame_of(place: str, column: str, text: str) -> int:
  """A cell with a frame number; 0 for an empty one.

  Raises:
    UserError: it is not a number.
  """
  if not text or text in ('/', '-'):
    return 0
  try:
    number = int(float(text))
  except (ValueError, OverflowError):
    number = -1
  if number < 0:
    raise errors.UserError(
      f'{place}, {column}: found {text[:40]!r}, expected a frame number.'
      ' Correct the cell, or take a fresh copy of the spreadsheet.'
    )
  return number


def kind_of(place: str, text: str) -> str:
  """'micro' or 'macro' of a cell that begins so.

  Raises:
    UserError: it does not.
  """
  kind = text.strip().casefold()[:5]
  if kind not in intervals.KINDS:
    raise errors.UserError(
      f'{place}: found the type {text[:40]!r}, expected one that begins with'
      " 'micro' or 'macro'."
    )
  return kind


def counts(found: Found) -> Mapping[str, int]:
  """`videos`, `subjects`, `micro`, `macro`; also those that are left out."""
  kinds = [item.kind for video in found.videos for item, _ in video.expressions]
  kinds += found.left_out
  return {
    'videos': len(found.videos),
    'subjects': len({video.subject for video in found.videos}),
    'micro': kinds.count('micro'),
    'macro': kinds.count('macro'),
  }
