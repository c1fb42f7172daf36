"""Layouts of simulated data sets on disk, and plans of their clips."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import datetime
import io
import pathlib
import re
import zipfile

import numpy as np
import openpyxl

from tfds_builders.simulation import motion as motion_lib

SMILE = motion_lib.Expression({6: 0.6, 12: 1.0})
BROWS_UP = motion_lib.Expression({1: 1.0, 2: 1.0, 5: 0.5})
CHIN = motion_lib.Expression({14: 0.8, 17: 1.0})
FROWN = motion_lib.Expression({4: 1.0, 7: 0.6})
# The same up to the apex; they differ only in the second phase.
FROWN_THEN_LIPS = motion_lib.Expression(FROWN.rise, {15: 1.0, 17: 0.6, 24: 0.8})

# Davison et al.'s objective classes, a further column of the sheets.
OBJECTIVE_CLASSES = {
  'happiness': 1, 'surprise': 2, 'anger': 3, 'disgust': 4, 'sadness': 5,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Film:
  """Lengths of clips, frames. Ranges include both ends."""

  frames_per_second: int
  onset_to_apex_frames: tuple[int, int]
  apex_to_offset_frames: tuple[int, int]
  # Recorded before the onset, and again after the offset.
  spare_frames: tuple[int, int]
  grey: bool


@dataclasses.dataclass(frozen=True)
class Layout:
  """The layout of a simulated data set on disk, and its expressions.

  Attributes:
    stream: number that separates its random numbers from other data sets'.
    expressions: emotion, as annotated -> motion of the face.
    film: lengths of clips.
    place: (subject, index among the subject's clips, emotion, generator) ->
      the last five attributes of `Clip`.
    sheet: file name of the spreadsheet.
    title: name of its only sheet.
    header: its rows down to the one with the names of the columns.
    row: (`Clip`, number of its row) -> cells; None for an empty one.
  """

  stream: int
  expressions: Mapping[str, motion_lib.Expression]
  film: Film
  place: Callable[..., tuple[str, str, str, str, int]]
  sheet: str
  title: str
  header: Sequence[Sequence[str | None]]
  row: Callable[..., list]


@dataclasses.dataclass(frozen=True)
class Clip:
  """A clip to be written; `first_number` is the number of its first frame."""

  subject: int
  index: int
  emotion: str
  action_units: str
  asymmetry: float
  timing: motion_lib.Timing
  subject_name: str
  name: str
  folder: str
  file_pattern: str
  first_number: int

  @property
  def key_numbers(self):
    """Frame numbers of onset, apex and offset."""
    timing = self.timing
    return [self.first_number + frame for frame in
            (timing.onset, timing.apex, timing.offset)]  # fmt: skip


def _action_units(expression, asymmetry):
  """Action units in the notation of coders, such as `'4+7'` or `'R12'`."""
  # Larger x is the left side of the person.
  side = '' if abs(asymmetry) < 0.3 else 'L' if asymmetry > 0 else 'R'
  central = (17, 24, 25)
  return '+'.join(
    f'{"" if unit in central else side}{unit}'
    for unit in sorted({*expression.rise, *expression.fall})
  )


def plan(
  layout: Layout, subjects: int, clips_per_subject: int, seed: int
) -> list[Clip]:
  """Plans all clips, without their pictures.

  Args:
    layout: The layout of the data set.
    subjects: Number of subjects.
    clips_per_subject: Number of clips of each subject.
    seed: Determines the order of emotions, the lengths and the names.

  Returns:
    The clips, in the order of the spreadsheet.
  """
  film, emotions = layout.film, list(layout.expressions)
  clips = []
  for subject in range(subjects):
    rng = generator(layout.stream, seed, subject, 'plan')
    # Shifted by subject, so that a remainder does not favour one emotion.
    order = rng.permutation(np.arange(clips_per_subject) + subject)
    for index, turn in enumerate(order):
      emotion = emotions[turn % len(emotions)]

      def length(bounds, rng=rng):
        return int(rng.integers(bounds[0], bounds[1] + 1))

      onset = length(film.spare_frames)
      apex = onset + length(film.onset_to_apex_frames)
      offset = apex + length(film.apex_to_offset_frames)
      frames = offset + 1 + length(film.spare_frames)
      asymmetry = rng.uniform(*motion_lib.Recording().asymmetry)
      clips.append(
        Clip(
          subject,
          index,
          emotion,
          _action_units(layout.expressions[emotion], asymmetry),
          asymmetry,
          motion_lib.Timing(onset, apex, offset, frames),
          *layout.place(subject, index, emotion, rng),
        )
      )
  return clips


def generator(
  stream: int, seed: int, subject: int, use: str, clip: int = 0
) -> np.random.Generator:
  """A separate random generator for each use, so that no order matters.

  Args:
    stream: That of the layout.
    seed: That of the tree.
    subject: Index from 0.
    use: `'face'`, `'plan'`, `'clip'` or `'noise'`.
    clip: Index of the clip among the subject's.

  Returns:
    The generator, in its first state.
  """
  uses = ('face', 'plan', 'clip', 'noise')
  return np.random.default_rng([seed, stream, subject, clip, uses.index(use)])


def sheet_rows(layout: Layout, clips: list[Clip]) -> list[list]:
  """The spreadsheet from row 1: header, then one row per clip of `plan`."""
  above = len(layout.header)
  rows = [layout.row(clip, above + n) for n, clip in enumerate(clips, 1)]
  return [*map(list, layout.header), *rows]


def write_sheet(path: pathlib.Path, title: str, rows: list[list]) -> None:
  """Writes a workbook without any date, so that equal rows give equal bytes.

  Args:
    path: File to write.
    title: Name of the sheet.
    rows: From row 1; None leaves a cell empty.
  """
  book = openpyxl.Workbook()
  book.active.title = title
  for row in rows:
    book.active.append(row)
  book.properties.created = datetime.datetime(2000, 1, 1)
  dated = io.BytesIO()
  book.save(dated)
  with zipfile.ZipFile(dated) as source, zipfile.ZipFile(path, 'w') as target:
    for name in source.namelist():
      content = source.read(name)
      if name == 'docProps/core.xml':
        content = re.sub(rb'(<dcterms:modified[^>]*>)[^<]*',
                         rb'\g<1>2000-01-01T00:00:00Z', content)  # fmt: skip
      target.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
