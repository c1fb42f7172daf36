"""The layout of MMEW, for simulated trees."""

from tfds_builders.simulation import layouts

# By which a clip's name tells its emotion.
_CODES = {
  'happiness': 1, 'surprise': 2, 'disgust': 4, 'sadness': 6, 'others': 7,
}  # fmt: skip


def _place(subject, index, emotion, rng):
  person = f'S{subject + 1:02d}'
  name = f'{person}-{_CODES[emotion]:02d}-{index + 1:03d}'
  folder = f'MMEW_Final/Micro_Expression/{emotion}/{name}'
  return person, name, folder, '{}.jpg', 1


def _row(clip, number):
  return [clip.subject_name, clip.name, *clip.key_numbers, clip.action_units,
          clip.emotion, None]  # fmt: skip


LAYOUT = layouts.Layout(
  stream=2,
  expressions={
    'happiness': layouts.SMILE,
    'surprise': layouts.BROWS_UP,
    'sadness': layouts.CHIN,
    'disgust': layouts.FROWN,
    'others': layouts.FROWN_THEN_LIPS,
  },
  film=layouts.Film(90, (8, 20), (12, 25), (0, 3), grey=False),
  place=_place,
  sheet='MMEW_Micro_Exp.xlsx',
  title='Sheet1',
  header=[
    ['Subject', 'Filename', 'OnsetFrame', 'ApexFrame', 'OffsetFrame',
     'Action Units', 'Estimated Emotion', 'remarks'],
  ],
  row=_row,
)  # fmt: skip
