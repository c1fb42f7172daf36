"""Draws raw trees of every data set, and says what must be read from them."""

from collections.abc import Callable, Mapping
import dataclasses
import io
from typing import Any

import cv2
from hypothesis import strategies as st
import numpy as np
import PIL.Image

from tests.support import planted_trees

Draw = Callable[[st.SearchStrategy], Any]


@dataclasses.dataclass(frozen=True)
class Part:
  """How a data set's trees are drawn.

  Attributes:
    subject: format of a subject's number in clip ids.
    cells: formats of a subject's number in the sheet.
    name: format of a clip's name, of subject and number.
    folders: formats of a clip's folder.
    files: formats of a frame's name without its suffix.
    classes: emotion as annotated -> class.
    sheet: file name; '' for none.
    title: of the sheet.
  """

  subject: str
  cells: tuple[str, ...]
  name: str
  folders: tuple[str, ...]
  files: tuple[str, ...]
  classes: Mapping[str, str | None]
  sheet: str = ''
  title: str = 'Sheet1'


def _same(*names: str) -> dict[str, str | None]:
  return {name: name for name in names}


PARTS = {
  'casme2': Part(
    'sub{:02d}', ('{:02d}', '{}', 'sub{:02d}', ' {:02d} ', '{}.0'),
    'EP{number:02d}_{subject:02d}f',
    ('Cropped/sub{subject:02d}/{name}',
     'Cropped/Cropped/sub{subject:02d}/{name}',
     'CASME2_RAW_selected/sub{subject:02d}/{name}',
     'CASME2-RAW/sub{subject:02d}/{name}',
     'CASME2_RAW/CASME2-RAW/sub{subject:02d}/{name}'),
    ('reg_img{frame}', 'img{frame}', 'img{frame:05d}'),
    _same('happiness', 'disgust', 'repression', 'surprise', 'others')
    | {'fear': None, 'sadness': None},
    'CASME2-coding-20140508.xlsx',
  ),
  'samm': Part(
    '{:03d}', ('{:03d}', '{}', ' {:03d}'),
    '{subject:03d}_{number}_1',
    ('SAMM/{subject:03d}/{name}', 'SAMM_CROP/{subject:03d}/{name}',
     'SAMM/SAMM/{subject:03d}/{name}'),
    ('{subject:03d}_{frame:05d}', '{subject:03d}_{frame}', 'frame{frame}'),
    _same('anger', 'other', 'happiness', 'surprise', 'contempt')
    | {'others': 'other', 'disgust': None, 'fear': None, 'sadness': None},
    'SAMM_Micro_FACS_Codes_v2.xlsx', 'MICRO_ONLY',
  ),
  'mmew': Part(
    'S{:02d}', ('S{:02d}', '{}', '{:02d}'),
    'S{subject:02d}-01-{number:03d}',
    ('Micro_Expression/{emotion}/{name}',
     'MMEW_Final/Micro_Expression/{emotion}/{name}',
     'S{subject:02d}/{emotion}/{name}'),
    ('{frame}', '{frame:03d}'),
    _same('happiness', 'surprise', 'disgust', 'others', 'fear', 'sadness',
          'anger'),
    'MMEW_Micro_Exp.xlsx',
  ),
  'smic': Part(
    's{:02d}', (),
    's{subject}_{emotion:.2}_{number:02d}',
    ('SMIC_all_cropped/HS/s{subject}/micro/{emotion}/{name}',
     'SMIC/HS/s{subject}/{emotion}/{name}',
     'HS/s{subject:02d}/micro/{emotion}/{name}'),
    ('reg_image{frame:06d}', 'image{frame}'),
    _same('negative', 'positive', 'surprise'),
  ),
  'casme3': Part(
    'spNO.{}', ('spNO.{}', '{}', 'spNO.{}'),
    '{letter}',
    ('spNO.{subject}/{name}/color', 'part_A/spNO.{subject}/{name}/color'),
    ('{frame}', '{frame:04d}'),
    _same('happiness', 'disgust', 'fear', 'anger', 'surprise', 'others')
    | {'happy': 'happiness', 'sad': 'sadness'},
    'cas(me)3_part_A_ME_label.xlsx', 'label',
  ),
}  # fmt: skip
COMPOSITE = {
  'casme2': {'disgust': 'negative', 'repression': 'negative',
             'happiness': 'positive', 'surprise': 'surprise'},
  'samm': {'anger': 'negative', 'contempt': 'negative', 'disgust': 'negative',
           'fear': 'negative', 'sadness': 'negative', 'happiness': 'positive',
           'surprise': 'surprise'},
  'smic': _same('negative', 'positive', 'surprise'),
}  # fmt: skip
HEADERS = {
  'subject': ('Subject', 'SUBJECT', ' subject '),
  'clip': ('Filename', 'File name', 'FileName'),
  'onset': ('OnsetFrame', 'Onset Frame', 'Onset', 'ONSET FRAME'),
  'apex': ('ApexFrame', 'Apex Frame', 'Apex'),
  'offset': ('OffsetFrame', 'Offset Frame', 'Offset'),
  'units': ('Action Units', 'AU'),
  'emotion': ('Estimated Emotion', 'Emotion', 'emotion'),
}
# How a picture may be stored, and the suffix.
KINDS = {
  'jpg': '.jpg', 'progressive': '.jpg', 'jpeg': '.jpeg', 'png': '.png',
  'bmp': '.bmp', 'JPG': '.JPG', 'grey jpg': '.jpg', 'grey png': '.png',
  'grey bmp': '.BMP', 'rgba png': '.png', 'palette png': '.PNG',
  'rgba bmp': '.bmp', 'cmyk jpg': '.jpg', 'png called jpg': '.jpg',
}  # fmt: skip


def picture(*key: int, grey: bool = False) -> np.ndarray:
  """A smooth picture unlike that of any other key, uint8 [16, 20, 3]."""
  small = np.random.default_rng(key).integers(40, 216, (3, 3, 3))
  large = cv2.resize(small.astype(np.float32), (20, 16)).astype(np.uint8)
  return np.repeat(large[..., :1], 3, axis=2) if grey else large


def encode(image: np.ndarray, kind: str) -> bytes:
  """The file of an RGB picture, in one of `KINDS`."""
  suffix = '.png' if 'png' in kind else KINDS[kind].lower()
  if kind in ('palette png', 'cmyk jpg'):
    pil = PIL.Image.fromarray(image)
    file = io.BytesIO()
    if kind == 'cmyk jpg':
      pil.convert('CMYK').save(file, 'JPEG', quality=95)
    else:
      pil.quantize(256, dither=PIL.Image.Dither.NONE).save(file, 'PNG')
    return file.getvalue()
  data = image[..., ::-1]
  if kind.startswith('grey'):
    data = np.ascontiguousarray(image[..., 0])
  if kind.startswith('rgba'):
    data = np.dstack([data, np.full(data.shape[:2], 255, np.uint8)])
  options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix.startswith('.j') else []
  if kind == 'progressive':
    options += [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
  _, encoded = cv2.imencode(suffix, data, options)
  return encoded.tobytes()


# Cells and texts.


def spelled(draw: Draw, number: int) -> Any:
  """A number as a cell may hold it."""
  return draw(
    st.sampled_from([number, float(number), f'{number}', f' {number}.0 '])
  )


def _word(draw: Draw, text: str) -> str:
  """A word as a cell may hold it."""
  return draw(
    st.sampled_from([text, text.capitalize(), text.upper(), f' {text} '])
  )


# Trees.


def draw_tree(draw: Draw, dataset: str) -> planted_trees.Tree:
  """A tree as the data set comes, with nothing wrong in it."""
  tree = planted_trees.Tree(dataset, [])
  if dataset == 'megc2019_flow':
    _add_flow(tree, draw)
  elif dataset == 'megc2019':
    for part in COMPOSITE:
      _add_part(tree, draw, part, 2)
  else:
    _add_part(tree, draw, dataset, draw(st.integers(2, 4)))
  return tree


def _add_part(
  tree: planted_trees.Tree, draw: Draw, part: str, number: int
) -> None:
  """Draws the clips of a data set, their files and the spreadsheet."""
  style = PARTS[part]
  above = draw(st.sampled_from(['', 'data/', 'D\u00e9j\u00e0 [x] & co/']))
  folder = above + draw(st.sampled_from(style.folders))
  file = draw(st.sampled_from(style.files))
  kind = draw(st.sampled_from(list(KINDS)))
  rows = []
  for index in range(number):
    subject = draw(st.integers(1, 5))
    emotion = draw(st.sampled_from(list(style.classes)))
    clip = _draw_clip(draw, part, subject, index, emotion, folder)
    _add_frames(tree, draw, clip, (index, len(tree.clips)), file, kind)
    clip.cells = _cells(draw, clip)
    tree.clips.append(clip)
    rows.append(clip.cells)
  if style.sheet:
    columns = [
      (draw(st.sampled_from(texts)), field) for field, texts in HEADERS.items()
    ]
    tree.sheets[part] = planted_trees.Sheet(
      above + style.sheet, style.title, columns, rows
    )


def _draw_clip(
  draw: Draw, part: str, subject: int, index: int, emotion: str, folder: str
) -> planted_trees.Clip:
  style = PARTS[part]
  fields = {'subject': subject, 'emotion': emotion}
  letter = 'abcdefg'[index]
  name = style.name.format(number=index + 1, letter=letter, **fields)
  onset = draw(st.integers(1, 120))
  apex = onset + draw(st.integers(1, 3))
  return planted_trees.Clip(
    part, subject, name, emotion,
    onset, apex if style.sheet else None, apex + draw(st.integers(1, 3)),
    folder.format(name=name, **fields),
  )  # fmt: skip


def _add_frames(
  tree: planted_trees.Tree,
  draw: Draw,
  clip: planted_trees.Clip,
  key: tuple[int, int],
  file: str,
  kind: str,
) -> None:
  """Draws the frames; without a sheet there are none beside the clip."""
  first, last = clip.onset, clip.offset
  if PARTS[clip.part].sheet:
    first -= draw(st.integers(0, min(2, clip.onset)))
    last += draw(st.integers(0, 2))
  for number in range(first, last + 1):
    image = picture(*key, number, grey=kind.startswith('grey'))
    stem = file.format(subject=clip.subject, frame=number)
    clip.paths[number] = f'{clip.folder}/{stem}{KINDS[kind]}'
    tree.files[clip.paths[number]] = encode(image, kind)
    if clip.onset <= number <= clip.offset:
      clip.images[number] = image


def _cells(draw: Draw, clip: planted_trees.Clip) -> dict[str, Any]:
  style = PARTS[clip.part]
  if not style.sheet:
    return {}
  subject = draw(st.sampled_from(style.cells)).format(clip.subject)
  return {
    'subject': int(subject) if subject.isdecimal() else subject,
    'clip': draw(st.sampled_from([clip.name, f'{clip.name} '])),
    'onset': spelled(draw, clip.onset),
    'apex': spelled(draw, clip.apex),
    'offset': spelled(draw, clip.offset),
    'units': draw(st.sampled_from([None, 12, '4+L10', '?'])),
    'emotion': _word(draw, clip.emotion),
  }


_FLOW_LABELS = {'negative': '0', 'positive': '1', 'surprise': '2'}
FLOW_COLUMNS = ['dataset', 'sub', 'filename_o', 'label', 'apex', 'imagename']


def _add_flow(tree: planted_trees.Tree, draw: Draw) -> None:
  """Draws the list of flow images, and the images."""
  folder = draw(st.sampled_from(['', 'datasets/flow/', 'a b/']))
  blank = draw(st.sampled_from(['', ' ']))
  for index in range(draw(st.integers(2, 4))):
    part = draw(st.sampled_from(list(COMPOSITE)))
    subject = draw(st.integers(1, 5))
    emotion = draw(st.sampled_from(list(_FLOW_LABELS)))
    style = PARTS[part]
    name = style.name.format(number=index + 1, subject=subject, emotion=emotion)
    clip = planted_trees.Clip(part, subject, name, emotion, folder=folder)
    subject_text = style.subject.format(subject)
    for phase, suffix in enumerate(('', '_1')):
      image = picture(index, phase)
      clip.paths[phase] = f'{folder}{subject_text}_{name}{suffix}{blank}.png'
      tree.files[clip.paths[phase]] = encode(image, 'png')
      clip.images[phase] = image
    clip.cells = {
      'dataset': draw(st.sampled_from([part, part.upper(), f' {part}'])),
      'sub': draw(st.sampled_from([subject_text, f'{subject}', subject_text])),
      'filename_o': name,
      'label': draw(st.sampled_from(['{}', ' {} '])).format(
        _FLOW_LABELS[emotion]
      ),
      'imagename': 'nothing.jpg',
    }
    tree.clips.append(clip)
  tree.sheets['list'] = planted_trees.List(
    'combined_3_class2_for_optical_flow.csv',
    draw(st.permutations(FLOW_COLUMNS)),
    [clip.cells for clip in tree.clips],
  )


# What must come out.


def class_of(tree: planted_trees.Tree, clip: planted_trees.Clip) -> str | None:
  """The class by the protocol; None: left out."""
  if tree.dataset == 'megc2019_flow':
    return clip.emotion
  if tree.dataset == 'megc2019':
    return COMPOSITE[clip.part].get(clip.emotion)
  return PARTS[clip.part].classes.get(clip.emotion)


def expected(tree: planted_trees.Tree) -> dict[str, tuple]:
  """Clip id in lower case -> (subject, class, key frames, images)."""
  composite = tree.dataset in ('megc2019', 'megc2019_flow')
  found = {}
  for clip in tree.clips:
    class_ = class_of(tree, clip)
    if tree.dataset == 'megc2019' and class_ is None:
      continue
    subject = PARTS[clip.part].subject.format(clip.subject)
    clip_id = f'{subject}/{clip.name}'
    if clip.part == 'casme3':
      clip_id += f'/{clip.onset}'
    if composite:
      clip_id, subject = f'{clip.part}/{clip_id}', f'{clip.part}/{subject}'
    found[clip_id.casefold()] = (subject, class_, clip.apex, clip.images)
  return found
