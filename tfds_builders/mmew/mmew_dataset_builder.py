"""MMEW: micro- and macro-expression warehouse; its micro-expressions."""

from tfds_builders import clips, raw_folder, records

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


class Builder(records.ClipBuilder):
  """Builder of MMEW."""

  VERSION = records.VERSION
  RELEASE_NOTES = records.RELEASE_NOTES
  MANUAL_DOWNLOAD_INSTRUCTIONS = _GUIDE.instructions
  BUILDER_CONFIGS = records.variant_configs(DATA_SET)
  GUIDE = _GUIDE
  DATA_SET = DATA_SET
