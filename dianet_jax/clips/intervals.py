"""Expressions in a long video as intervals of frames, and their CSV files.

Spotters and annotations both produce intervals, and evaluation compares them.
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
  'video': 'the file or folder, as it was named',
  'onset': 'frame number from 0, the first frame of the movement',
  'apex': 'frame number from 0, its greatest extent',
  'offset': 'frame number from 0, its last frame, which belongs to it',
  'kind': 'micro: at most half a second; macro: longer',
  'score': 'no probability: larger is surer; its unit is that of the spotter',
  'region': 'where the face moves most: brows, eyes or mouth; may be empty',
  'onset_seconds': "since the video's first frame; empty if unknown",
  'apex_seconds': 'likewise',
  'offset_seconds': 'likewise',
  'emotion': 'as a bundle or a coder names it; empty where nobody does',
}
_NEEDED = tuple(COLUMNS)[:5]


@dataclasses.dataclass(frozen=True, order=True)
class Interval:
  """An expression from its first to its last frame.

  Attributes:
    onset: number of the first frame, from 0.
    apex: number of the frame of the greatest extent.
    offset: number of the last frame; it belongs to the interval.
    kind: 'micro' or 'macro'.
    score: larger is more certain; not a probability. NaN for annotations.
    region: 'brows', 'eyes', 'mouth', or '' if unknown.
    emotion: its name; '' where nobody says.
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
  """'micro' for at most half a second, else 'macro'.

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
  """Writes intervals; the file appears when it is whole.

  Args:
    path: of the CSV file.
    found: video -> its intervals. A video without any gets one row that names
      it and nothing else: silence is a result, too.
    seconds: video -> frame number -> time stamp, where they are known.

  Raises:
    OSError: it cannot be written.
  """
  aside = path.with_suffix('.tmp')
  with aside.open('w', newline='', encoding='utf-8') as file:
    writer = csv.DictWriter(file, list(COLUMNS), restval='')
    writer.writeheader()
    for video, some in found.items():
      times = (seconds or {}).get(video, {})
      for interval in some:
        writer.writerow(escape.cells(row(video, interval, times)))
      if not some:
        writer.writerow(escape.cells({'video': video}))
  aside.replace(path)


def row(
  video: str, interval: Interval, seconds: Mapping[int, float] | None = None
) -> dict[str, Any]:
  """Column -> value of one interval.

  Args:
    video: its name.
    interval: in it.
    seconds: frame number -> time stamp; a column of an unknown one is ''.

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
      score, region and emotion may lack, further columns are not looked at.

  Returns:
    Video -> its intervals in their order; [] of a video whose only row has no
    onset.

  Raises:
    UserError: it cannot be read, a column is missing, or a cell is wrong.

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
          f'{path} lacks the column(s) {", ".join(missing)}. Expected'
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
      f'{place}: {error}. Expected numbers of frames, and a score.'
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
