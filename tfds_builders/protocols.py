"""Protocols: which annotated emotions count, as which class.

Counts are those of the complete, licensed data sets; sources are named in
`tfds_builders/<name>/README.md`.
"""

from collections.abc import Mapping, Sequence
import dataclasses

from dianet_jax.core import errors

_MOST_LISTED = 10


@dataclasses.dataclass(frozen=True)
class Protocol:
  """How raw emotions become classes.

  Attributes:
    classes: names, in the order of the class index.
    emotions: raw emotion, in lower case -> class name; others are left out.
      Singular and plural are the same: sheets differ in `other` and `others`.
    expected: data set -> class -> clips, when complete; composites have
      several data sets. Empty: unknown.
    expected_folds: data set -> subjects with at least one clip.
    excluded_clips: clip ids that the protocol leaves out.
    left_out: raw emotions, in lower case, that the protocol leaves out
      knowingly.
  """

  classes: tuple[str, ...]
  emotions: Mapping[str, str]
  expected: Mapping[str, Mapping[str, int]]
  expected_folds: Mapping[str, int]
  excluded_clips: tuple[str, ...] = ()
  left_out: tuple[str, ...] = ()

  @property
  def datasets(self) -> tuple[str, ...]:
    """Builders whose records the protocol is for; none: any."""
    composite = len(self.expected) > 1
    return ('megc2019_flow', 'megc2019') if composite else tuple(self.expected)

  def class_of(self, clip_id: str, emotion: str) -> int | None:
    """Class index of a clip, or None where the protocol leaves it out."""
    if clip_id in self.excluded_clips:
      return None
    known = [spelling for spelling in _spellings(emotion)
             if spelling in self.emotions]  # fmt: skip
    return self.classes.index(self.emotions[known[0]]) if known else None

  def unexpected(
    self, clip_ids: Sequence[str], emotions: Sequence[str]
  ) -> list[str]:
    """What in the annotations the protocol does not know, a sentence each.

    A misspelt label would otherwise be left out in silence.

    Args:
      clip_ids: of every clip of the data set, of the protocol or not.
      emotions: the raw emotion of each clip.
    """
    clips: dict[str, list[str]] = {}
    for clip_id, emotion in zip(clip_ids, emotions, strict=True):
      if not {*self.emotions, *self.left_out} & set(_spellings(emotion)):
        clips.setdefault(emotion.strip().lower(), []).append(clip_id)
    found = [
      f"'{emotion}' is an emotion that the protocol does not know: "
      f'{_listing(unknown)} left out'
      for emotion, unknown in sorted(clips.items())
    ]
    absent = sorted(set(self.excluded_clips) - set(clip_ids))
    if absent:
      found.append(
        f'{_listing(absent)} to be left out by the protocol, but not there'
      )
    return found

  def differences(
    self,
    datasets: Sequence[str],
    subjects: Sequence[str],
    labels: Sequence[int],
    clip_ids: Sequence[str],
  ) -> list[str]:
    """What differs from the complete data, a sentence each.

    A class whose count differs is listed clip by clip, to be compared with the
    list of the data set. The sentence may be long.

    Args:
      datasets: the data set of each clip.
      subjects: the subject of each clip.
      labels: class index of each clip.
      clip_ids: of each clip.
    """
    found = []
    for part, expected in self.expected.items():
      clips = [i for i, name in enumerate(datasets) if name == part]
      if not clips:
        found.append(
          f'{part} is absent; the whole protocol has'
          f' {sum(expected.values())} clips of it'
        )
        continue
      of_class = {name: [] for name in self.classes}
      for i in clips:
        of_class[self.classes[labels[i]]].append(clip_ids[i])
      found += [
        f'{part}, {name}: {len(of_class[name])} clips, the protocol has'
        f' {number}; here: {", ".join(of_class[name]) or "none"}'
        for name, number in expected.items()
        if len(of_class[name]) != number
      ]
      folds = len({subjects[i] for i in clips})
      if folds != self.expected_folds.get(part, folds):
        found.append(
          f'{part}: {folds} subjects, the protocol has'
          f' {self.expected_folds[part]}'
        )
    return found


def _spellings(emotion: str) -> tuple[str, str, str]:
  """An emotion in lower case as it is, in the plural, in the singular."""
  text = emotion.strip().lower()
  return text, f'{text}s', text.removesuffix('s')


def _listing(clip_ids: Sequence[str]) -> str:
  """'2 clips (006/a, 006/b)', the first of many."""
  shown = ', '.join(clip_ids[:_MOST_LISTED])
  more = ', ...' if len(clip_ids) > _MOST_LISTED else ''
  plural = 's' if len(clip_ids) > 1 else ''
  return f'{len(clip_ids)} clip{plural} ({shown}{more})'


def _protocol(dataset, expected, folds, excluded=(), left_out=()):
  """One data set, whose raw emotions are the classes' names."""
  return Protocol(
    tuple(expected),
    {name: name for name in expected},
    {dataset: expected},
    {dataset: folds},
    tuple(excluded),
    tuple(left_out),
  )


_CASME2 = {
  'happiness': 32, 'disgust': 63, 'repression': 27, 'surprise': 28,
  'others': 99,
}  # fmt: skip
_MMEW = {
  'happiness': 36, 'surprise': 89, 'disgust': 72, 'others': 66, 'fear': 16,
  'sadness': 13, 'anger': 8,
}  # fmt: skip

_MEGC2019 = {
  'casme2': {'negative': 88, 'positive': 32, 'surprise': 25},
  'samm': {'negative': 92, 'positive': 26, 'surprise': 15},
  'smic': {'negative': 70, 'positive': 51, 'surprise': 43},
}

PROTOCOLS: Mapping[str, Protocol] = {
  'casme2_5class': _protocol(
    'casme2', _CASME2, 26, left_out=('sadness', 'fear')
  ),
  # As most papers count: three surprise clips of sub24 left out.
  'casme2_5class_246': _protocol(
    'casme2',
    _CASME2 | {'surprise': 25},
    26,
    ('sub24/EP07_01', 'sub24/EP07_04f', 'sub24/EP10_03'),
    ('sadness', 'fear'),
  ),
  'samm_5class': _protocol(
    'samm',
    {'anger': 57, 'other': 26, 'happiness': 26, 'surprise': 15, 'contempt': 12},
    27,
    left_out=('disgust', 'fear', 'sadness'),
  ),
  'mmew_7class': _protocol('mmew', _MMEW, 30),
  'mmew_6class': _protocol(
    'mmew',
    {name: n for name, n in _MMEW.items() if name != 'others'},
    30,
    left_out=('others',),
  ),
  'mmew_4class': _protocol(
    'mmew',
    {n: _MMEW[n] for n in ('happiness', 'surprise', 'disgust', 'others')},
    30,
    left_out=('fear', 'sadness', 'anger'),
  ),
  'smic_3class': _protocol('smic', _MEGC2019['smic'], 16),
  # No counts: none could be checked. Spellings differ between copies.
  'casme3_7class': Protocol(
    (
      'happiness',
      'disgust',
      'fear',
      'anger',
      'sadness',
      'surprise',
      'others',
    ),
    {
      'happy': 'happiness',
      'happiness': 'happiness',
      'disgust': 'disgust',
      'fear': 'fear',
      'anger': 'anger',
      'sad': 'sadness',
      'sadness': 'sadness',
      'surprise': 'surprise',
      'others': 'others',
    },
    {'casme3': {}},
    {},
  ),
  'megc2019_3class': Protocol(
    ('negative', 'positive', 'surprise'),
    {name: name for name in ('negative', 'positive', 'surprise')},
    _MEGC2019,
    {'casme2': 24, 'samm': 28, 'smic': 16},
  ),
}


def custom(emotions: Mapping[str, str]) -> Protocol:
  """A protocol of one's own, of whose counts nothing is expected.

  Args:
    emotions: raw emotion -> class, in the order in which the classes are to
      be; '' as class leaves the emotion out knowingly. Case, blanks at the ends
      and plurals of the emotions do not matter.

  Raises:
    errors.UserError: fewer than two classes, a value that is not a text, or an
      emotion of two classes.
  """

  def fail(problem: str):
    raise errors.UserError(
      f'A protocol of your own maps raw emotions to classes, such as '
      f"{{'happiness': 'positive', 'disgust': 'negative', 'fear': ''}}; "
      f'{problem}.'
    )

  classes: dict[str, str] = {}
  for emotion, class_ in emotions.items():
    if not (isinstance(emotion, str) and isinstance(class_, str)):
      fail(f'{emotion!r}: {class_!r} is not a pair of texts')
    if not emotion.strip():
      fail('an emotion is empty')
    same = [text for text in _spellings(emotion) if text in classes]
    if same and classes[same[0]] != class_.strip():
      fail(f'{emotion!r} is of the classes {classes[same[0]]!r} and {class_!r}')
    if not same:
      classes[emotion.strip().lower()] = class_.strip()
  kept = {emotion: class_ for emotion, class_ in classes.items() if class_}
  names = tuple(dict.fromkeys(kept.values()))
  if len(names) < 2:
    fail(f'there must be two classes or more, and there are {len(names)}')
  left_out = tuple(emotion for emotion in classes if emotion not in kept)
  return Protocol(names, kept, {}, {}, (), left_out)


def get(name: str) -> Protocol:
  """The protocol called `name`; UserError names the known ones."""
  if name not in PROTOCOLS:
    raise errors.UserError(
      f'--config.data.protocol={name!r} is not known. Known are: '
      + ', '.join(sorted(PROTOCOLS))
    )
  return PROTOCOLS[name]
