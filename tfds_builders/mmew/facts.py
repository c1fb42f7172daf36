"""MMEW: micro- and macro-expression warehouse; its micro-expressions."""

from tfds_builders import clips, identity, protocols, raw_folder, registry
from tfds_builders.mmew import simulated

_GUIDE = raw_folder.Guide(
  title='MMEW',
  source=(
    'MMEW is given to researchers who sign its license agreement: ask Xianye '
    'Ben, Shandong University, at www.dpailab.com/database.html.'
  ),
  layout=(
    '  MMEW_Micro_Exp.xlsx\n'
    '  Micro_Expression/happiness/S03-01-002/1.jpg, 2.jpg, ...\n'
    '  or S03/happiness/S03-01-002/1.jpg, ...'
  ),
)

DATA_SET = clips.DataSet(
  name='mmew',
  guide=_GUIDE,
  frames_per_second=90.0,
  subject_format='S{:02d}',
  subject_names=identity.SubjectNames(
    clip=r'S(?P<subject>\d+)-', folder=r'S(?P<subject>\d+)'
  ),
  spreadsheets=('mmew*micro*', 'mmew*'),
  # Found by the clip's name alone: the folder above it is the emotion, and the
  # clips labelled 'others' lie in 'others', 'repression' or 'neutral'.
  clip_folder='{clip}',
  clip_name=r'S\d+-',
  # Keeps the folder of macro-expressions out.
  variants={'micro': 'micro'},
  repairs={
    ('S04', 'S04-04-002'): clips.Repair(
      'apex', 19, None, 'the annotated apex 19 lies after the offset 15'
    ),
    ('S21', 'S21-04-003'): clips.Repair(
      'apex', 18, None, 'the annotated apex 18 lies after the offset 17'
    ),
  },
)

_COUNTS = {
  'happiness': 36, 'surprise': 89, 'disgust': 72, 'others': 66, 'fear': 16,
  'sadness': 13, 'anger': 8,
}  # fmt: skip


def _protocol(*left_out: str) -> protocols.Protocol:
  counts = {name: n for name, n in _COUNTS.items() if name not in left_out}
  return protocols.of_emotions('mmew', counts, 30, left_out=left_out)


FACTS = registry.Facts(
  guide=DATA_SET.guide,
  reading=DATA_SET,
  protocols={
    'mmew_7class': _protocol(),
    'mmew_6class': _protocol('others'),
    'mmew_4class': _protocol('fear', 'sadness', 'anger'),
  },
  expected=registry.Expected((300,), 30, _COUNTS),
  config='configs/mmew.py',
  simulation=simulated.LAYOUT,
)
