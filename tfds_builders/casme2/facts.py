"""CASME II: spontaneous micro-expressions at 200 frames per second."""

from tfds_builders import clips, protocols, raw_folder, registry
from tfds_builders.casme2 import simulated

_GUIDE = raw_folder.Guide(
  title='CASME II',
  source=(
    'CASME II is given to researchers who sign its license agreement: ask the '
    'group of Xiaolan Fu (MELAB), Institute of Psychology, Chinese Academy of '
    'Sciences, at casme.psych.ac.cn/casme/e2.'
  ),
  layout=(
    '  CASME2-coding-20140508.xlsx\n'
    '  Cropped/sub01/EP02_01f/reg_img46.jpg, reg_img47.jpg, ...\n'
    '  or CASME2_RAW_selected/sub01/EP02_01f/img46.jpg, ...\n'
    '  or CASME2-RAW/sub01/EP02_01f/img1.jpg, ...'
  ),
)

DATA_SET = clips.DataSet(
  name='casme2',
  guide=_GUIDE,
  frames_per_second=200.0,
  subject_format='sub{:02d}',
  # The commonest version first: published results rest on it.
  spreadsheets=('casme2-coding-20140508*', 'casme2*coding*'),
  clip_folder='{subject}/{clip}',
  clip_name=r'EP\d',
  # 'selected' before 'raw', which is in 'CASME2_RAW_selected', too.
  variants={'cropped': 'crop', 'raw_selected': 'select', 'raw': 'raw'},
  # Versions of the spreadsheet differ in their rows: keyed by clip.
  # sub16/EP01_08 (offset 110 or 96 by version) needs no entry: a clip ends
  # with its last frame on disk.
  repairs={
    ('sub04', 'EP12_01f'): clips.Repair(
      'apex',
      None,
      None,
      "the spreadsheet has '/' for this apex, and copies that fill it in "
      'disagree (303, 279)',
    ),
  },
)

_COUNTS = {
  'happiness': 32, 'disgust': 63, 'repression': 27, 'surprise': 28,
  'others': 99,
}  # fmt: skip
_LEFT_OUT = ('sadness', 'fear')

FACTS = registry.Facts(
  guide=DATA_SET.guide,
  reading=DATA_SET,
  protocols={
    'casme2_5class': protocols.of_emotions(
      'casme2', _COUNTS, 26, left_out=_LEFT_OUT
    ),
    # As most papers count: three surprise clips of sub24 left out.
    'casme2_5class_246': protocols.of_emotions(
      'casme2',
      _COUNTS | {'surprise': 25},
      26,
      ('sub24/EP07_01', 'sub24/EP07_04f', 'sub24/EP10_03'),
      _LEFT_OUT,
    ),
  },
  expected=registry.Expected(
    (255, 256), 26, _COUNTS | {'sadness': 4, 'fear': 2}
  ),
  config='configs/casme2.py',
  simulation=simulated.LAYOUT,
)
