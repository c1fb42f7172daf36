"""Raw data sets of long videos with annotated expressions, for spotting.

A `LongVideos` describes the names in a data set; `find` reads its spreadsheet
and finds the folders of frames. Frames are counted from 0 in the results,
independently of the numbers in file names.
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

# Name -> module with its `DATA_SET`.
SETS = {
  'casme_sq': 'tfds_builders.casme_sq.facts',
  'samm_long': 'tfds_builders.samm_long.facts',
}


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of the spreadsheet: an expression, with frame numbers of file names.

  Attributes:
    place: file, sheet and row, for messages.
    subject: name of the subject in folders and results.
    video: name of the video, as returned by `LongVideos.video_of`.
    onset: number of the first frame; 0 if it is not annotated.
    apex: number of the apex frame; 0 if it is not annotated.
    offset: number of the last frame; 0 if it is not annotated.
    kind: 'micro' or 'macro'.
    emotion: in lower case; '' if unknown.
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
    guide: where to get it, and its layout on disk.
    frames_per_second: frame rate of the camera.
    spreadsheets: patterns of the file name, the preferred ones first.
    read: (spreadsheet, all folders) -> rows and notes.
    video_of: path of a folder -> (subject, video); None for other folders.
    videos: number of videos in the complete data set.
    subjects: number of subjects in it.
    micro: number of micro-expressions in it.
    macro: number of macro-expressions in it.
    same_people: data sets of clips that show some of the same people.
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
    name: name of its folder.
    subject: name of the subject.
    folder: contains the frames.
    frames: number of frames.
    expressions: (interval, emotion); frames are indices, from 0, into the
      sorted files.
  """

  name: str
  subject: str
  folder: pathlib.Path
  frames: int
  expressions: tuple[tuple[intervals.Interval, str], ...]


@dataclasses.dataclass(frozen=True)
class Found:
  """The videos found in a raw folder.

  Attributes:
    videos: sorted by name, including those without expressions.
    spreadsheet: path of the spreadsheet that was read.
    notes: decisions made while reading, one sentence each.
    problems: expressions that cannot be used, with the reasons.
    left_out: kind of each expression that has no onset and is omitted.
    simulated: whether the faces are simulated.
  """

  videos: list[LongVideo]
  spreadsheet: pathlib.Path
  notes: list[str]
  problems: list[str]
  left_out: list[str]
  simulated: bool


def get(name: str) -> LongVideos:
  """Gets the description of a data set.

  Args:
    name: one of `SETS`.

  Raises:
    UserError: the name is unknown.
  """
  if name not in SETS:
    raise errors.UserError(
      f'--dataset={name} is not a data set of long videos: expected one of'
      f' {", ".join(SETS)}.'
    )
  return importlib.import_module(SETS[name]).DATA_SET


def find(data_set: LongVideos, manual_dir: str | os.PathLike[str]) -> Found:
  """Finds the videos and their annotations, without opening images.

  Args:
    data_set: description of the data set.
    manual_dir: folder that contains the raw data, at any depth.

  Returns:
    The videos.

  Raises:
    raw_folder.NothingFoundError: there is no spreadsheet or no video; the
      message has the expected layout.
    UserError: the spreadsheet cannot be read, or two folders have the same
      video.
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
        f'{some[0].place}: there is no folder for the video {key[1]} of'
        f' {key[0]} ({len(some)} expression(s))'
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
  """The spreadsheet whose name fits best."""
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
        f' {folder.path.relative_to(root)} have the same video, perhaps as raw'
        ' and cropped frames. Give a folder that contains only one of them.'
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
      notes.append(f'{row.place}: omitted, because it has no onset')
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
  """The interval as frame indices; None, and a problem, if it is invalid."""
  onset, apex, offset = row.onset, row.apex, row.offset
  if not offset:
    notes.append(f'{row.place}: no offset, replaced by the apex')
    offset = apex
  if not onset <= offset:
    problems.append(
      f'{row.place}: the onset {onset} is after the offset {offset}'
    )
    return None
  if not onset <= apex <= offset:
    notes.append(
      f'{row.place}: the apex {apex} is not in {onset} to {offset}, replaced by'
      ' the middle'
    )
    apex = (onset + offset) // 2
  there = [n for n in numbers if onset <= n <= offset]
  if 2 * len(there) < offset - onset + 1:
    problems.append(
      f'{row.place}: only {len(there)} of the frames {onset} to {offset} exist'
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
  """Parses the cells of a row.

  Args:
    place: file, sheet and row, for messages.
    subject: see `Row`.
    video: see `Row`.
    cells: text of the columns `onset`, `apex`, `offset` and `type`.
    emotion: see `Row`.

  Raises:
    UserError: a cell is invalid, see `frame_of` and `kind_of`.
  """
  onset, apex, offset = (
    frame_of(place, column, cells[column])
    for column in ('onset', 'apex', 'offset')
  )
  kind = kind_of(place, cells['type'])
  return Row(place, subject, video, onset, apex, offset, kind, emotion)


def frame_of(place: str, column: str, text: str) -> int:
  """Parses a cell with a frame number.

  Args:
    place: file, sheet and row, for messages.
    column: name of the column, for messages.
    text: of the cell.

  Returns:
    The number; 0 for an empty cell.

  Raises:
    UserError: it is not a number, or negative.

  >>> frame_of('row 3', 'onset', '12.0'), frame_of('row 3', 'onset', '/')
  (12, 0)
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
      ' Correct the cell, or get a new copy of the spreadsheet.'
    )
  return number


def kind_of(place: str, text: str) -> str:
  """Parses a cell with the kind of an expression.

  Args:
    place: file, sheet and row, for messages.
    text: of the cell, such as 'Micro - 1/2'.

  Returns:
    'micro' or 'macro', with which the text begins.

  Raises:
    UserError: it begins with neither.
  """
  kind = text.strip().casefold()[:5]
  if kind not in intervals.KINDS:
    raise errors.UserError(
      f'{place}: found the type {text[:40]!r}, expected a text that begins with'
      " 'micro' or 'macro'."
    )
  return kind


def counts(found: Found) -> Mapping[str, int]:
  """Counts what was found, for comparison with the complete data set.

  Args:
    found: result of `find`.

  Returns:
    'videos', 'subjects', 'micro' and 'macro' -> number; expressions that are
    left out are included.
  """
  kinds = [item.kind for video in found.videos for item, _ in video.expressions]
  kinds += found.left_out
  return {
    'videos': len(found.videos),
    'subjects': len({video.subject for video in found.videos}),
    'micro': kinds.count('micro'),
    'macro': kinds.count('macro'),
  }
