"""Raw trees of which is known what must be read from them.

`tree_strategies` draws a data set's tree: folders, file names, cells, pictures.
`tree_edits` changes it and says what must come out then: the same clips, other
ones, or an error that names what was changed.
"""

from collections.abc import Callable
import csv
import dataclasses
import io
import os
import pathlib
import re
from typing import Any
import zipfile

import numpy as np
import openpyxl

_DATE = b'2000-01-01T00:00:00Z'


@dataclasses.dataclass
class Clip:
  """A clip, and what must be read of it.

  Attributes:
    part: the data set that it is of.
    subject: number.
    name: as in the sheet.
    emotion: as annotated.
    onset: frame number, as the next two.
    apex: what must come out; None: any, since it is spotted.
    offset: the last frame of the clip.
    folder: below the root.
    images: frame number (flow: phase) -> the picture that must come out.
    paths: frame number -> file, also of frames that are not of the clip.
    cells: field -> what the sheet or list has.
  """

  part: str
  subject: int
  name: str
  emotion: str
  onset: int = 0
  apex: int | None = None
  offset: int = 0
  folder: str = ''
  images: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
  paths: dict[int, str] = dataclasses.field(default_factory=dict)
  cells: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Sheet:
  """A spreadsheet: `columns` are (header, field); rows are dicts of fields."""

  path: str
  title: str
  columns: list[tuple[str | None, str]]
  rows: list[dict[str, Any]]
  above: list[list[Any]] = dataclasses.field(default_factory=list)
  # Texts of rows that hold no clip, in the column of the subjects.
  below: list[str | None] = dataclasses.field(default_factory=list)
  # (title, rows, state) of sheets before and after this one.
  before: list[tuple[str, list, str]] = dataclasses.field(default_factory=list)
  after: list[tuple[str, list, str]] = dataclasses.field(default_factory=list)
  merge_subjects: bool = False

  def table(self) -> list[list[Any]]:
    """The header and what is below it."""
    rows = [*self.rows, *({'subject': text} for text in self.below)]
    cells = [[row.get(field) for _, field in self.columns] for row in rows]
    return [[text for text, _ in self.columns], *cells]

  @property
  def stem(self) -> str:
    """The file's name without its suffix."""
    return pathlib.PurePath(self.path).stem

  def content(self) -> bytes:
    """The .xlsx file."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    sheets = [
      *self.before,
      (self.title, [*self.above, *self.table()], 'visible'),
      *self.after,
    ]
    for title, rows, state in sheets:
      sheet = book.create_sheet(title)
      sheet.sheet_state = state
      for row in rows:
        sheet.append(row)
    book.active = len(self.before)
    if self.merge_subjects:
      column = [field for _, field in self.columns].index('subject') + 1
      first = len(self.above) + 2
      book[self.title].merge_cells(
        start_row=first, end_row=first + 1,
        start_column=column, end_column=column,
      )  # fmt: skip
    return save(book)


def save(book: openpyxl.Workbook) -> bytes:
  """A workbook's file, the same whenever it is written."""
  dated, file = io.BytesIO(), io.BytesIO()
  book.save(dated)
  with zipfile.ZipFile(dated) as source, zipfile.ZipFile(file, 'w') as target:
    for name in source.namelist():
      content = re.sub(rb'\d{4}-\d\d-\d\dT[0-9:]+Z', _DATE, source.read(name))
      target.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
  return file.getvalue()


@dataclasses.dataclass
class List:
  """The list of flow images, a .csv file."""

  path: str
  columns: list[str]
  rows: list[dict[str, str]]
  delimiter: str = ','
  newline: str = '\n'
  encoding: str = 'utf-8'
  quoting: int = csv.QUOTE_MINIMAL

  def content(self) -> bytes:
    """The .csv file."""
    file = io.StringIO()
    writer = csv.writer(
      file,
      delimiter=self.delimiter,
      lineterminator=self.newline,
      quoting=self.quoting,
    )
    writer.writerow(self.columns)
    for row in self.rows:
      writer.writerow([row.get(name, '') for name in self.columns])
    return file.getvalue().encode(self.encoding)


class Folder:
  """Stands for the content of a file that is a folder."""


class Pipe:
  """Stands for the content of a file that is a pipe."""


@dataclasses.dataclass
class Link:
  """Stands for the content of a file that is a link."""

  target: str


@dataclasses.dataclass
class Tree:
  """A raw tree.

  Attributes:
    dataset: what to read it as.
    clips: what must come out, unless it is refused.
    sheets: part -> its spreadsheet or list.
    files: path -> content of all else.
    may_fail: an error is right as well.
    must_fail: nothing but an error is right.
    named: texts of which an error must have one, in any case.
    done: what was done to it.
    spared: the clip to which nothing is done.
    finish: called with the root when all is written.
  """

  dataset: str
  clips: list[Clip]
  sheets: dict[str, Sheet | List] = dataclasses.field(default_factory=dict)
  files: dict[str, Any] = dataclasses.field(default_factory=dict)
  may_fail: bool = False
  must_fail: bool = False
  named: list[str] = dataclasses.field(default_factory=list)
  done: list[str] = dataclasses.field(default_factory=list)
  spared: Clip | None = None
  finish: list[Callable[[pathlib.Path], None]] = dataclasses.field(
    default_factory=list
  )

  def may_be_refused(self, *names: str) -> None:
    """An error that has one of `names` is right, too."""
    self.may_fail = True
    self.named += names

  def must_be_refused(self, *names: str) -> None:
    """Nothing but an error that has one of `names` is right."""
    self.may_be_refused(*names)
    self.must_fail = True

  def __repr__(self) -> str:
    clips = [
      f'{c.part} {c.subject} {c.name} {c.emotion} {c.onset}-{c.apex}-{c.offset}'
      f' in {c.folder}'
      for c in self.clips
    ]
    return '\n  '.join([f'Tree of {self.dataset}', *clips, *self.done])

  def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
    """For hypothesis, which would print the pictures."""
    del cycle
    printer.text(repr(self))

  def write(self, root: pathlib.Path) -> None:
    """Writes it below `root`."""
    contents = dict(self.files)
    contents |= {sheet.path: sheet.content() for sheet in self.sheets.values()}
    for name, content in contents.items():
      path = root / name
      path.parent.mkdir(parents=True, exist_ok=True)
      if isinstance(content, Folder):
        path.mkdir()
      elif isinstance(content, Pipe):
        os.mkfifo(path)
      elif isinstance(content, Link):
        path.symlink_to(content.target)
      else:
        path.write_bytes(content)
    for act in self.finish:
      act(root)
