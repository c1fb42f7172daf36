"""CAS(ME)3, part A: micro-expressions in long videos with depth."""

from tfds_builders import clips, protocols, raw_folder, registry

_GUIDE = raw_folder.Guide(
  title='CAS(ME)3, part A',
  source=(
    'CAS(ME)3 is given to researchers who sign its license agreement: ask '
    'MELAB, Institute of Psychology, Chinese Academy of Sciences, at '
    'casme.psych.ac.cn/casme/e4.'
  ),
  layout=(
    "  an .xlsx with the sheet 'label'\n  spNO.1/a/color/166.jpg, 167.jpg, ..."
  ),
)

DATA_SET = clips.DataSet(
  name='casme3',
  guide=_GUIDE,
  frames_per_second=30.0,
  subject_format='spNO.{}',
  # There is also a folder 'depth'.
  clip_folder='{subject}/{clip}/color',
  spreadsheets=('cas(me)3*part*a*', 'cas*me*3*'),
  # The videos of a subject are called by letters.
  clip_name='[a-z]$',
  clip_id='{subject}/{clip}/{onset_frame}',
)

# Spellings differ between copies.
_CLASSES = {
  'happy': 'happiness', 'happiness': 'happiness', 'disgust': 'disgust',
  'fear': 'fear', 'anger': 'anger', 'sad': 'sadness', 'sadness': 'sadness',
  'surprise': 'surprise', 'others': 'others',
}  # fmt: skip

FACTS = registry.Facts(
  guide=DATA_SET.guide,
  reading=DATA_SET,
  # No counts: none could be checked.
  protocols={
    'casme3_7class': protocols.Protocol(
      tuple(dict.fromkeys(_CLASSES.values())), _CLASSES, {'casme3': {}}, {}
    ),
  },
  config='configs/casme3.py',
)
