"""The layout of CASME II, for simulated trees."""

from tfds_builders.simulation import layouts


def _place(subject, index, emotion, rng):
  name = f'EP{rng.integers(1, 20):02d}_{index + 1:02d}'
  name += rng.choice(['', 'f'])
  person = f'{subject + 1:02d}'
  folder = f'Cropped/sub{person}/{name}'
  return person, name, folder, 'reg_img{}.jpg', int(rng.integers(20, 200))


def _row(clip, number):
  units = clip.action_units
  units = int(units) if units.isdigit() else units
  objective_class = layouts.OBJECTIVE_CLASSES.get(clip.emotion, 7)
  return [clip.subject_name, clip.name, None, *clip.key_numbers, None, units,
          clip.emotion, objective_class]  # fmt: skip


LAYOUT = layouts.Layout(
  stream=0,
  expressions={
    'happiness': layouts.SMILE,
    'surprise': layouts.BROWS_UP,
    'others': layouts.CHIN,
    'disgust': layouts.FROWN,
    'repression': layouts.FROWN_THEN_LIPS,
  },
  film=layouts.Film(200, (16, 45), (24, 55), (0, 0), grey=False),
  place=_place,
  sheet='CASME2-coding-20140508.xlsx',
  title='Sheet1',
  header=[
    ['Subject', 'Filename', None, 'OnsetFrame', 'ApexFrame', 'OffsetFrame',
     None, 'Action Units', 'Estimated Emotion', 'Objective Classes'],
  ],
  row=_row,
)  # fmt: skip
