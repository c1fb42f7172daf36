"""Sources of clips to predict: videos, folders of frames, lists of clips."""

from collections.abc import Iterator, Sequence
import csv
import dataclasses
import pathlib
from typing import Any

from dianet_jax.clips import segments
from dianet_jax.core import errors, escape

# Column of a list -> type of its values.
_COLUMNS = {
  'clip': str, 'fps': float, 'onset': int, 'apex': int, 'offset': int,
  'start': float, 'end': float,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Source:
  """A clip to predict.

  Attributes:
    path: a video file or a folder of frames.
    segment: part of it that is the clip.
    fps: frames per second of a folder; None for a video file.
  """

  path: pathlib.Path
  segment: segments.Segment
  fps: float | None


def find(
  paths: Sequence[str], segment: segments.Segment, fps: float | None
) -> list[Source]:
  """The clips that a command line names.

  Args:
    paths: videos, folders of frames, and lists of clips (.csv).
    segment: part of the source, if there is only one.
    fps: frames per second of folders.

  Returns:
    The clips in order; nothing but lists is read.

  Raises:
    UserError: a list cannot be read, or a segment is given for several clips.

  >>> [source] = find(['clip.mp4'], segments.Segment(onset=3, offset=20), None)
  >>> source.path.name, source.segment.onset
  ('clip.mp4', 3)
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
      f'--onset, --apex, --offset, --start and --end need exactly one clip, but'
      f' {", ".join(paths)} gives {len(found)}. Write the clips into a list:'
      f' a .csv file with the columns {", ".join(_COLUMNS)}.'
    )
  return found


def read_list(path: pathlib.Path, fps: float | None) -> list[Source]:
  r"""Reads a list of clips; paths in it are relative to its folder.

  Args:
    path: a CSV file with the column `clip` and any of `fps`, `onset`, `apex`,
      `offset` (frame numbers from 0), `start` and `end` (seconds).
    fps: frames per second of folders for which the list has none.

  Returns:
    The clips in order.

  Raises:
    UserError: the file cannot be read, has an unknown column, or has a cell
      that should be a number and is not.

  >>> import tempfile
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   path = pathlib.Path(folder) / 'clips.csv'
  ...   _ = path.write_text('clip,onset,offset\nface.mp4,3,20\n')
  ...   [source] = read_list(path, fps=None)
  >>> source.path.name, source.segment.offset
  ('face.mp4', 20)
  """
  try:
    with path.open(newline='', encoding='utf-8-sig') as lines:
      reader = csv.DictReader(lines, strict=True)
      columns = set(reader.fieldnames or [''])
      if columns - _COLUMNS.keys() or 'clip' not in columns:
        raise errors.UserError(
          f'{path}: the columns are {reader.fieldnames}. Expected clip and any'
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
    raise errors.UserError(f'{path}, line {line}: the column clip is empty.')
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
