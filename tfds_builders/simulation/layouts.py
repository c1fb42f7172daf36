"""What simulated data sets look like on disk, and who does what in them."""

import dataclasses
import datetime
import io
import pathlib
import re
import zipfile

import numpy as np
import openpyxl

from tfds_builders.simulation import motion as motion_lib

_SMILE = motion_lib.Expression({6: 0.6, 12: 1.0})
_BROWS_UP = motion_lib.Expression({1: 1.0, 2: 1.0, 5: 0.5})
_CHIN = motion_lib.Expression({14: 0.8, 17: 1.0})
_FROWN = motion_lib.Expression({4: 1.0, 7: 0.6})
# The same up to the apex: only the second phase tells the two apart.
_FROWN_THEN_LIPS = motion_lib.Expression(
  _FROWN.rise, {15: 1.0, 17: 0.6, 24: 0.8}
)

# Data set -> emotion, as annotated there -> what the face does.
EXPRESSIONS = {
  'casme2': {
    'happiness': _SMILE,
    'surprise': _BROWS_UP,
    'others': _CHIN,
    'disgust': _FROWN,
    'repression': _FROWN_THEN_LIPS,
  },
  'samm': {
    'Happiness': _SMILE,
    'Surprise': _BROWS_UP,
    'Contempt': _CHIN,
    'Anger': _FROWN,
    'Other': _FROWN_THEN_LIPS,
  },
  'mmew': {
    'happiness': _SMILE,
    'surprise': _BROWS_UP,
    'sadness': _CHIN,
    'disgust': _FROWN,
    'others': _FROWN_THEN_LIPS,
  },
}

# Davison et al.'s objective classes, which the sheets give beside the emotion.
_OBJECTIVE_CLASSES = {
  'happiness': 1, 'surprise': 2, 'anger': 3, 'disgust': 4, 'sadness': 5,
}  # fmt: skip
_MMEW_CODES = {
  'happiness': 1, 'surprise': 2, 'disgust': 4, 'sadness': 6, 'others': 7,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Film:
  """How long clips are. Both ends of a range may be drawn."""

  frames_per_second: int
  onset_to_apex_frames: tuple[int, int]
  apex_to_offset_frames: tuple[int, int]
  # Recorded before the onset, and again after the offset.
  spare_frames: tuple[int, int]
  grey: bool


FILMS = {
  'casme2': Film(200, (16, 45), (24, 55), (0, 0), grey=False),
  'samm': Film(200, (16, 45), (24, 55), (2, 6), grey=True),
  'mmew': Film(90, (8, 20), (12, 25), (0, 3), grey=False),
}


@dataclasses.dataclass(frozen=True)
class Clip:
  """One clip to be written; `first_number` is that of its first file."""

  subject: int
  index: int
  emotion: str
  action_units: str
  asymmetry: float
  timing: motion_lib.Timing
  first_number: int
  subject_name: str
  name: str
  folder: str
  file_pattern: str

  @property
  def key_numbers(self):
    """Frame numbers of onset, apex and offset."""
    timing = self.timing
    return [self.first_number + frame for frame in
            (timing.onset, timing.apex, timing.offset)]  # fmt: skip


def _action_units(expression, asymmetry):
  """Action units as a coder writes them, such as `'4+7'` or `'R12'`."""
  # Greater x is the left of the person filmed.
  side = '' if abs(asymmetry) < 0.3 else 'L' if asymmetry > 0 else 'R'
  central = (17, 24, 25)
  return '+'.join(
    f'{"" if unit in central else side}{unit}'
    for unit in sorted({*expression.rise, *expression.fall})
  )


def _names(dataset, subject, index, emotion, rng):
  """Subject, clip name, folder, file pattern and first frame number."""
  if dataset == 'casme2':
    name = f'EP{rng.integers(1, 20):02d}_{index + 1:02d}'
    name += rng.choice(['', 'f'])
    person = f'{subject + 1:02d}'
    folder = f'Cropped/sub{person}/{name}'
    return person, name, folder, 'reg_img{}.jpg', int(rng.integers(20, 200))
  if dataset == 'samm':
    person = f'{subject + 6:03d}'
    name = f'{person}_{rng.integers(1, 8)}_{index + 1}'
    number = int(rng.integers(100, 9000))
    return person, name, f'SAMM/{person}/{name}', person + '_{:05d}.jpg', number
  person = f'S{subject + 1:02d}'
  name = f'{person}-{_MMEW_CODES[emotion]:02d}-{index + 1:03d}'
  folder = f'MMEW_Final/Micro_Expression/{emotion}/{name}'
  return person, name, folder, '{}.jpg', 1


def plan(
  dataset: str, subjects: int, clips_per_subject: int, seed: int
) -> list[Clip]:
  """Decides everything about each clip but its pictures.

  Args:
    dataset: A key of `EXPRESSIONS`.
    subjects: Number of subjects.
    clips_per_subject: Number of clips of each.
    seed: Decides the order of emotions, the lengths and the names.

  Returns:
    The clips, in the order of the spreadsheet.
  """
  film, expressions = FILMS[dataset], EXPRESSIONS[dataset]
  emotions = list(expressions)
  clips = []
  for subject in range(subjects):
    rng = generator(dataset, seed, subject, 'plan')
    # Shifted by subject, so that a remainder doesn't favour the first emotion.
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
      person, name, folder, pattern, number = _names(
        dataset, subject, index, emotion, rng
      )
      clips.append(
        Clip(
          subject=subject,
          index=index,
          emotion=emotion,
          action_units=_action_units(expressions[emotion], asymmetry),
          asymmetry=asymmetry,
          timing=motion_lib.Timing(onset, apex, offset, frames),
          first_number=number,
          subject_name=person,
          name=name,
          folder=folder,
          file_pattern=pattern,
        )
      )
  return clips


def generator(
  dataset: str, seed: int, subject: int, use: str, clip: int = 0
) -> np.random.Generator:
  """A generator of its own for each use, so that no order matters.

  Args:
    dataset: A key of `EXPRESSIONS`.
    seed: The whole tree's.
    subject: Index from 0.
    use: `'face'`, `'plan'`, `'clip'` or `'noise'`.
    clip: Index of the clip among the subject's.

  Returns:
    The generator, in its first state.
  """
  uses = ('face', 'plan', 'clip', 'noise')
  dataset = list(EXPRESSIONS).index(dataset)
  return np.random.default_rng([seed, dataset, subject, clip, uses.index(use)])


def sheet(dataset: str, clips: list[Clip]) -> tuple[str, str, list[list]]:
  """The data set's spreadsheet.

  Args:
    dataset: A key of `EXPRESSIONS`.
    clips: From `plan`.

  Returns:
    File name, title of the sheet, and rows from row 1, header included.
  """
  if dataset == 'casme2':
    rows = [['Subject', 'Filename', None, 'OnsetFrame', 'ApexFrame',
             'OffsetFrame', None, 'Action Units', 'Estimated Emotion',
             'Objective Classes']]  # fmt: skip
    for clip in clips:
      units = clip.action_units
      units = int(units) if units.isdigit() else units
      rows.append([clip.subject_name, clip.name, None, *clip.key_numbers, None,
                   units, clip.emotion,
                   _OBJECTIVE_CLASSES.get(clip.emotion, 7)])  # fmt: skip
    return 'CASME2-coding-20140508.xlsx', 'Sheet1', rows
  if dataset == 'samm':
    rows = [['Simulated clips: see SIMULATED.md']] + [[]] * 12
    rows.append(['Subject', 'Filename', 'Inducement Code', 'Onset Frame',
                 'Apex Frame', 'Offset Frame', 'Duration', 'Micro',
                 'Action Units', 'Estimated Emotion', 'Objective Classes',
                 'Notes'])  # fmt: skip
    for clip in clips:
      row = len(rows) + 1
      rows.append([clip.subject_name, clip.name, int(clip.name.split('_')[1]),
                   *clip.key_numbers, f'=F{row}-D{row}+1', 'Micro - 1/2',
                   clip.action_units, clip.emotion,
                   _OBJECTIVE_CLASSES.get(clip.emotion.lower(), 7),
                   None])  # fmt: skip
    return 'SAMM_Micro_FACS_Codes_v2.xlsx', 'MICRO_ONLY', rows
  rows = [['Subject', 'Filename', 'OnsetFrame', 'ApexFrame', 'OffsetFrame',
           'Action Units', 'Estimated Emotion', 'remarks']]  # fmt: skip
  for clip in clips:
    rows.append([clip.subject_name, clip.name, *clip.key_numbers,
                 clip.action_units, clip.emotion, None])  # fmt: skip
  return 'MMEW_Micro_Exp.xlsx', 'Sheet1', rows


def write_sheet(path: pathlib.Path, title: str, rows: list[list]) -> None:
  """Writes a workbook whose bytes hold no date.

  Args:
    path: File to write.
    title: Of the sheet.
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
