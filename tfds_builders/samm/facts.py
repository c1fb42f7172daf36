"""SAMM: spontaneous micro-facial movements at 200 frames per second."""

from tfds_builders import clips, identity, protocols, raw_folder, registry
from tfds_builders.samm import simulated

_GUIDE = raw_folder.Guide(
  title='SAMM',
  source=(
    'SAMM is given to researchers who sign its release agreement: ask Moi Hoon '
    'Yap and Adrian Davison, Manchester Metropolitan University, at '
    'helward.mmu.ac.uk/STAFF/M.Yap/dataset.php.'
  ),
  layout=(
    '  SAMM_Micro_FACS_Codes_v2.xlsx\n'
    '  SAMM/006/006_1_2/006_05562.jpg, 006_05563.jpg, ...\n'
    '  or SAMM_CROP/006/006_1_2/006_05562.jpg, ...'
  ),
)

DATA_SET = clips.DataSet(
  name='samm',
  guide=_GUIDE,
  frames_per_second=200.0,
  subject_format='{:03d}',
  subject_names=identity.SubjectNames(
    clip=r'(?P<subject>\d+)_',
    folder=r'(?P<subject>\d{3})',
    frame=r'(?P<subject>\d{3})_\d',
  ),
  spreadsheets=('samm_micro_facs_codes_v2*', 'samm*'),
  # A clip's name starts with its subject: unique by itself.
  clip_folder='{clip}',
  clip_name=r'\d+_\d',
  variants={'cropped': 'crop', 'raw': 'raw|^samm$'},
  repairs={
    ('028', '028_4_1'): clips.Repair(
      'apex', 1143, None, 'the annotated apex 1143 lies after the offset 1134'
    ),
    ('032', '032_3_1'): clips.Repair(
      'apex', 1930, 4930, 'a slip of one digit; the clip is 4896 to 4970'
    ),
  },
)

_COUNTS = {
  'anger': 57, 'other': 26, 'happiness': 26, 'surprise': 15, 'contempt': 12,
}  # fmt: skip
_RARE = {'disgust': 9, 'fear': 8, 'sadness': 6}

FACTS = registry.Facts(
  guide=DATA_SET.guide,
  reading=DATA_SET,
  protocols={
    'samm_5class': protocols.of_emotions(
      'samm', _COUNTS, 27, left_out=tuple(_RARE)
    ),
  },
  expected=registry.Expected((159,), 29, _COUNTS | _RARE),
  config='configs/samm.py',
  simulation=simulated.LAYOUT,
)
