"""The layout of SAMM, for simulated trees."""

from tfds_builders.simulation import layouts


def _place(subject, index, emotion, rng):
  person = f'{subject + 6:03d}'
  name = f'{person}_{rng.integers(1, 8)}_{index + 1}'
  number = int(rng.integers(100, 9000))
  return person, name, f'SAMM/{person}/{name}', person + '_{:05d}.jpg', number


def _row(clip, number):
  objective_class = layouts.OBJECTIVE_CLASSES.get(clip.emotion.lower(), 7)
  return [clip.subject_name, clip.name, int(clip.name.split('_')[1]),
          *clip.key_numbers, f'=F{number}-D{number}+1', 'Micro - 1/2',
          clip.action_units, clip.emotion, objective_class,
          None]  # fmt: skip


LAYOUT = layouts.Layout(
  stream=1,
  expressions={
    'Happiness': layouts.SMILE,
    'Surprise': layouts.BROWS_UP,
    'Contempt': layouts.CHIN,
    'Anger': layouts.FROWN,
    'Other': layouts.FROWN_THEN_LIPS,
  },
  film=layouts.Film(200, (16, 45), (24, 55), (2, 6), grey=True),
  place=_place,
  sheet='SAMM_Micro_FACS_Codes_v2.xlsx',
  title='MICRO_ONLY',
  header=[
    ['Simulated clips: see SIMULATED.md'],
    *[[]] * 12,
    ['Subject', 'Filename', 'Inducement Code', 'Onset Frame', 'Apex Frame',
     'Offset Frame', 'Duration', 'Micro', 'Action Units', 'Estimated Emotion',
     'Objective Classes', 'Notes'],
  ],
  row=_row,
)  # fmt: skip
