"""SMIC-HS: spontaneous micro-expressions at 100 frames per second."""

from tfds_builders import clips, identity, protocols, raw_folder, registry

_GUIDE = raw_folder.Guide(
  title='SMIC-HS',
  source=(
    'SMIC is given to researchers who sign its license agreement: ask the '
    'Center for Machine Vision and Signal Analysis, University of Oulu.'
  ),
  layout=(
    '  SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01/reg_image000001.bmp, ...'
  ),
)

DATA_SET = clips.DataSet(
  name='smic',
  guide=_GUIDE,
  frames_per_second=100.0,
  # As the lists of MEGC 2019 have them; on disk it is 's1'.
  subject_format='s{:02d}',
  subject_names=identity.SubjectNames(clip=r's(?P<subject>\d+)_'),
  variants={'cropped': 'crop', 'raw': 'raw'},
  # The slower cameras filmed the same subjects, and called the clips alike.
  labelled_folder=(
    r'(?!.*/(?:vis|nir|non_micro)/).*'
    r'/s(?P<subject>[0-9]+)/(?:micro/)?'
    r'(?P<emotion>negative|positive|surprise)/(?P<clip>s[0-9]+_[^/]+)'
  ),
)

_COUNTS = {'negative': 70, 'positive': 51, 'surprise': 43}

FACTS = registry.Facts(
  guide=DATA_SET.guide,
  reading=DATA_SET,
  protocols={'smic_3class': protocols.of_emotions('smic', _COUNTS, 16)},
  expected=registry.Expected((164,), 16, _COUNTS),
  config='configs/smic.py',
)
