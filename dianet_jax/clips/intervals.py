"""Intervals of expressions in long videos, and their CSV files.

Spotters and human coders both produce intervals; evaluation compares them.
"""

from collections.abc import Mapping, Sequence
import csv
import dataclasses
import math
import pathlib
from typing import Any

from dianet_jax.core import errors, escape

KINDS = ('micro', 'macro')
# The longest micro-expression, as MEGC's spotting tasks define it.
MICRO_SECONDS = 0.5

# Column -> unit and meaning. `read` needs the first five.
COLUMNS = {
  'video': 'path of the video or folder, as on the command line',
  'onset': 'number of the first frame of the movement, from 0',
  'apex': 'number of the frame of the largest displacement, from 0',
  'offset': 'number of the last frame of the movement, from 0',
  'kind': 'micro: at most half a second; macro: longer',
  'score': "larger is more certain; in the spotter's unit",
  'region': 'where the face moves most: brows, eyes or mouth; empty if unknown',
  'onset_seconds': 'time since the first frame; empty if unknown',
  'apex_seconds': 'likewise',
  'offset_seconds': 'likewise',
  'emotion': 'predicted by a bundle or annotated by a coder; empty if unknown',
}
_NEEDED = tuple(COLUMNS)[:5]


@dataclasses.dataclass(frozen=True, order=True)
class Interval:
  """The interval of an expression.

  Attributes:
    onset: number of the first frame, from 0.
    apex: number of the frame of the largest displacement.
    offset: number of the last frame; it belongs to the interval.
    kind: 'micro' or 'macro'.
    score: larger is more certain; in the spotter's unit. NaN for annotations.
    region: 'brows', 'eyes', 'mouth', or '' if unknown.
    emotion: name of the emotion; '' if unknown.
  """

  onset: int
  apex: int
  offset: int
  kind: str
  score: float = math.nan
  region: str = ''
  emotion: str = ''

  def __post_init__(self):
    if not 0 <= self.onset <= self.apex <= self.offset:
      raise errors.UserError(
        f'onset={self.onset}, apex={self.apex}, offset={self.offset}: expected'
        ' numbers of frames, from 0, in this order.'
      )
    if self.kind not in KINDS:
      raise errors.UserError(
        f'kind={self.kind!r}: expected one of {", ".join(KINDS)}.'
      )

  def __len__(self) -> int:
    """Number of frames."""
    return self.offset - self.onset + 1

  def iou(self, other: 'Interval') -> float:
    """Intersection over union: frames in both over frames in either, 0..1.

    >>> a, b = Interval(0, 5, 9, 'micro'), Interval(5, 8, 14, 'micro')
    >>> round(a.iou(b), 3)
    0.333
    """
    both = min(self.offset, other.offset) - max(self.onset, other.onset) + 1
    return max(both, 0) / (len(self) + len(other) - max(both, 0))


def kind_of(onset: int, offset: int, fps: float) -> str:
  """The kind of an expression: 'micro' for at most half a second, else 'macro'.

  Args:
    onset: number of the first frame.
    offset: number of the last frame.
    fps: frames per second.

  >>> kind_of(0, 99, 200), kind_of(0, 100, 200)
  ('micro', 'macro')
  """
  # The tolerance makes 100 frames at 200 per second micro despite rounding.
  seconds = (offset - onset + 1) / fps
  return KINDS[seconds > MICRO_SECONDS + 1e-6]


def write(
  path: pathlib.Path,
  found: Mapping[str, Sequence[Interval]],
  seconds: Mapping[str, Mapping[int, float]] | None = None,
) -> None:
  """Writes intervals to a CSV file, which appears only when it is complete.

  Args:
    path: of the file.
    found: video -> its intervals. A video without intervals gets one row with
      only its name, so that it counts in the evaluation.
    seconds: video -> frame number -> time stamp, if known.

  Raises:
    OSError: the file cannot be written.
  """
  temporary = path.with_suffix('.tmp')
  with temporary.open('w', newline='', encoding='utf-8') as file:
    writer = csv.DictWriter(file, list(COLUMNS), restval='')
    writer.writeheader()
    for video, some in found.items():
      times = (seconds or {}).get(video, {})
      for interval in some:
        writer.writerow(escape.cells(row(video, interval, times)))
      if not some:
        writer.writerow(escape.cells({'video': video}))
  temporary.replace(path)


def row(
  video: str, interval: Interval, seconds: Mapping[int, float] | None = None
) -> dict[str, Any]:
  """The cells of one interval.

  Args:
    video: name of the video.
    interval: an interval in it.
    seconds: frame number -> time stamp.

  Returns:
    Column -> value; '' for an unknown time stamp or score.

  >>> found = Interval(10, 14, 19, 'micro', 2.5)
  >>> values = row('v1', found, {10: 0.1})
  >>> values['score'], values['onset_seconds'], values['apex_seconds']
  (2.5, 0.1, '')
  """
  values = {'video': video} | dataclasses.asdict(interval)
  score = interval.score
  values['score'] = '' if math.isnan(score) else round(score, 4)
  for key in ('onset', 'apex', 'offset'):
    stamp = (seconds or {}).get(getattr(interval, key))
    values[f'{key}_seconds'] = '' if stamp is None else round(stamp, 6)
  return values


def read(path: pathlib.Path) -> dict[str, list[Interval]]:
  """Reads intervals of spotters or annotators.

  Args:
    path: of a CSV file with the columns video, onset, apex, offset and kind;
      score, region and emotion are optional, other columns are ignored.

  Returns:
    Video -> its intervals in the order of the file; [] for a video whose only
    row has no onset.

  Raises:
    UserError: the file cannot be read, a column is missing, or a cell is
      invalid.

  >>> import tempfile
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   path = pathlib.Path(folder) / 'intervals.csv'
  ...   write(path, {'v1': [Interval(10, 14, 19, 'micro', 2.5)], 'v2': []})
  ...   found = read(path)
  >>> found['v1'][0].apex, found['v2']
  (14, [])
  """
  found: dict[str, list[Interval]] = {}
  try:
    with path.open(newline='', encoding='utf-8-sig') as lines:
      reader = csv.DictReader(lines, restval='', strict=True)
      missing = [n for n in _NEEDED if n not in (reader.fieldnames or [])]
      if missing:
        raise errors.UserError(
          f'{path}: missing column(s) {", ".join(missing)}. Expected'
          f' {", ".join(_NEEDED)}, and any of {", ".join(list(COLUMNS)[5:])}.'
        )
      for cells in reader:
        some = found.setdefault(escape.from_cell(cells['video']), [])
        if cells['onset']:
          some.append(_of_cells(f'{path}, line {reader.line_num}', cells))
  except (OSError, UnicodeError, csv.Error) as error:
    raise errors.UserError(f'{path} cannot be read ({error}).') from error
  return found


def _of_cells(place: str, cells: Mapping[str, str]) -> Interval:
  try:
    onset, apex, offset = map(int, (cells[n] for n in _NEEDED[1:4]))
    score = float(cells.get('score') or 'nan')
  except ValueError as error:
    raise errors.UserError(
      f'{place}: {error}. Expected frame numbers, and a number as score.'
    ) from error
  try:
    return Interval(
      onset,
      apex,
      offset,
      cells['kind'],
      score,
      cells.get('region') or '',
      escape.from_cell(cells.get('emotion') or ''),
    )
  except errors.UserError as error:
    raise errors.UserError(f'{place}: {error}') from error
