"""What is to be predicted: videos, folders of frames, lists of clips."""

from collections.abc import Iterator, Sequence
import csv
import dataclasses
import pathlib
from typing import Any

from dianet_jax.clips import segments
from dianet_jax.core import errors, escape

# Column of a list -> what its values are.
_COLUMNS = {
  'clip': str, 'fps': float, 'onset': int, 'apex': int, 'offset': int,
  'start': float, 'end': float,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Source:
  """A clip that is to be predicted.

  Attributes:
    path: of a video file or of a folder of frames.
    segment: the part that is the clip.
    fps: frames a second; of a folder.
  """

  path: pathlib.Path
  segment: segments.Segment
  fps: float | None


def find(
  paths: Sequence[str], segment: segments.Segment, fps: float | None
) -> list[Source]:
  """The clips that a command line names.

  Args:
    paths: of videos, folders of frames, and lists of clips (.csv).
    segment: the part of the only one.
    fps: of folders of frames.

  Raises:
    UserError: a list that cannot be read, or one segment for several clips.
  """
  found: list[Source] = []
  for text in paths:
    path = pathlib.Path(text)
    if path.suffix.casefold() == '.csv':
      found += read_list(path, fps)
    else:
      found.append(Source(path, segment, fps))
  if segment != segments.WHOLE and [s.segment for s in found] != [segment]:
    raise errors.UserError(
      f'--onset, --apex, --offset, --start and --end are of one clip, and there'
      f' are {len(found)} in {", ".join(paths)}. Write them into a list:'
      f' a .csv file with the columns {", ".join(_COLUMNS)}.'
    )
  return found


def read_list(path: pathlib.Path, fps: float | None) -> list[Source]:
  """The clips of a list; paths in it are relative to its folder.

  Args:
    path: of a CSV file with the column `clip` and any others of `_COLUMNS`.
    fps: where the list gives none.

  Raises:
    UserError: it cannot be read; an unknown column; a cell that should hold a
      number and does not.
  """
  try:
    with path.open(newline='', encoding='utf-8-sig') as lines:
      reader = csv.DictReader(lines, strict=True)
      columns = set(reader.fieldnames or [''])
      if columns - _COLUMNS.keys() or 'clip' not in columns:
        raise errors.UserError(
          f'{path}: the columns are {reader.fieldnames}. Expected clip, and any'
          f' of {", ".join(list(_COLUMNS)[1:])}.'
        )
      rows = [(reader.line_num, row) for row in reader]
  except (OSError, UnicodeError, csv.Error) as error:
    raise errors.UserError(f'{path} cannot be read ({error}).') from error
  if not rows:
    raise errors.UserError(f'{path} lists no clip.')
  return [_of_row(path, line, row, fps) for line, row in rows]


def _of_row(path, line, row, fps) -> Source:
  values = dict(_values(path, line, row))
  if 'clip' not in values:
    raise errors.UserError(f'{path}, line {line}: no clip is named.')
  clip = path.parent / escape.from_cell(values.pop('clip'))
  own_fps = values.pop('fps', fps)
  return Source(clip, segments.Segment(**values), own_fps)


def _values(path, line, row) -> Iterator[tuple[str, Any]]:
  """The cells that are not empty."""
  for name, text in row.items():
    if name is None:
      raise errors.UserError(f'{path}, line {line}: more cells than columns.')
    if not text:
      continue
    try:
      yield name, _COLUMNS[name](text)
    except ValueError as error:
      kind = {int: 'a whole number', float: 'a number'}[_COLUMNS[name]]
      raise errors.UserError(
        f'{path}, line {line}: {name}={text!r}, expected {kind}.'
      ) from error
