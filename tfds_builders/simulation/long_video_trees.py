"""Simulated raw data in the layouts of CAS(ME)^2 and SAMM Long Videos."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import pathlib

import cv2
import numpy as np
import openpyxl

from dianet_jax.clips import intervals
from dianet_jax.core import errors
from tfds_builders import raw_folder
from tfds_builders.simulation import acting, faces, long_videos

_HEIGHT, _WIDTH = 200, 240
# Contents of a subject's videos.
_CONTENTS: Sequence[acting.Content] = ('expressions', 'expressions', 'blinks')


@dataclasses.dataclass(frozen=True)
class Take:
  """One video of a simulated data set.

  Attributes:
    subject: index of the subject.
    number: index of the video among those of the subject.
    script: all movements in it.
  """

  subject: int
  number: int
  script: acting.Script

  def kind(self, item: acting.Expression) -> str:
    """The kind of an expression, 'micro' or 'macro', by its duration."""
    rate = self.script.frames_per_second
    return intervals.kind_of(item.onset, item.offset, rate)


@dataclasses.dataclass(frozen=True)
class Tree:
  """Layout of a data set: folders of frames and spreadsheets.

  Attributes:
    frames_per_second: frame rate of the camera.
    grey: whether the frames are grey.
    place: take -> folder, and format of the file names, numbered from 1.
    sheets: takes -> file name -> title of the sheet -> rows.
  """

  frames_per_second: int
  grey: bool
  place: Callable[[Take], tuple[str, str]]
  sheets: Callable[[Sequence[Take]], Mapping[str, Mapping[str, list[list]]]]


_STORIES = ('anger1', 'disgust1', 'happy1')
_CODES = ('0503', '0101', '0401')


def _casme_sq_place(take: Take) -> tuple[str, str]:
  subject = 15 + take.subject
  name = f'{subject}_{_CODES[take.number]}story'
  return f'rawpic/s{subject}/{name}', 'img{:03d}.jpg'


def _casme_sq_sheets(takes):
  rows = []
  for take in takes:
    for turn, item in enumerate(take.script.expressions, 1):
      clip = f'{_STORIES[take.number]}_{turn}'
      # As in the original, some have no offset (0).
      offset = 0 if turn == 2 else item.offset + 1
      rows.append([take.subject + 1, clip, item.onset + 1, item.apex + 1,
                   offset, '4+7', 'negative', f'{take.kind(item)}-expression',
                   item.emotion])  # fmt: skip
  subjects = [[None, f's{15 + s}', s + 1] for s in {t.subject for t in takes}]
  videos = [list(pair) for pair in zip(_CODES, _STORIES)]
  sheets = {
    'CASFEcode_final': rows, 'naming rule1': subjects, 'naming rule2': videos,
  }  # fmt: skip
  return {'CAS(ME)^2code_final.xlsx': sheets}


def _samm_place(take: Take) -> tuple[str, str]:
  name = f'{take.subject + 6:03d}_{take.number + 1}'
  return f'SAMM_longvideos/{name}', name + '_{:04d}.jpg'


def _samm_sheets(takes):
  header = ['Subject', 'Filename', 'Inducement Code', 'Onset', 'Apex', 'Offset',
            'Duration', 'Type', 'Action Units', 'Notes']  # fmt: skip
  long = [['Simulated: see SIMULATED.md'], *[[]] * 8, header]
  short = [['Subject', 'Filename', 'Estimated Emotion']]
  for take in takes:
    person = f'{take.subject + 6:03d}'
    for turn, item in enumerate(take.script.expressions, 1):
      clip = f'{person}_{take.number + 1}_{turn}'
      kind = take.kind(item)
      # As in the original, some have no onset (0).
      onset = 0 if turn == 2 else item.onset + 1
      long.append([person, clip, take.number + 1, onset, item.apex + 1,
                   item.offset + 1, None,
                   'Micro - 1/2' if kind == 'micro' else 'Macro', '4+7',
                   None])  # fmt: skip
      if kind == 'micro':
        short.append([person, clip, item.emotion.title()])
  return {
    'SAMM_LongVideos_V2_Release.xlsx': {'Sheet1': long},
    'SAMM_Micro_FACS_Codes_v2.xlsx': {'MICRO_ONLY': short},
  }


TREES = {
  'casme_sq': Tree(30, False, _casme_sq_place, _casme_sq_sheets),
  'samm_long': Tree(200, True, _samm_place, _samm_sheets),
}


def write(
  name: str, root: pathlib.Path, subjects: int = 2, seconds: float = 18
) -> list[Take]:
  """Writes long videos of drawn faces in the layout of a data set.

  Args:
    name: key of `TREES`.
    root: folder to write.
    subjects: number of subjects, each with three videos, one of them without
      expressions.
    seconds: duration of each video.

  Returns:
    The videos.

  Raises:
    errors.UserError: the folder exists and is not empty.
  """
  if root.exists() and any(root.iterdir()):
    raise errors.UserError(
      f'{root} is not empty. Real and simulated data must not be mixed: give a'
      ' folder that does not exist.'
    )
  tree = TREES[name]
  takes = []
  for subject in range(subjects):
    face = faces.draw(
      np.random.default_rng([31, subject]), subject, _HEIGHT, _WIDTH
    )
    for number, content in enumerate(_CONTENTS):
      rng = np.random.default_rng([32, subject, number])
      script = acting.write(rng, content, tree.frames_per_second, seconds)
      takes.append(Take(subject, number, script))
      _write_frames(tree, takes[-1], face, root, rng)
  for file_name, sheets in tree.sheets(takes).items():
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
      sheet = book.create_sheet(title)
      for row in rows:
        sheet.append(row)
    book.save(root / file_name)
  (root / raw_folder.SIMULATED_MARK).write_text(
    f'Simulated data in the layout of {name}: results on them are not results'
    ' on this data set.\n',
    encoding='utf-8',
  )
  return takes


def _write_frames(tree, take, face, root, rng):
  place, pattern = tree.place(take)
  folder = root / place
  folder.mkdir(parents=True)
  camera = long_videos.Camera()
  frames = long_videos.film(face, take.script, camera, rng)
  for number, frame in enumerate(frames, 1):
    if tree.grey:
      frame = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    _, data = cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, 95])
    (folder / pattern.format(number)).write_bytes(data)
