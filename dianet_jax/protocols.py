"""Protocols: which annotated emotions count, as which class.

Counts are those of the complete, licensed data sets; sources are named in
`tfds_builders/<name>/README.md`.
"""

import collections
from collections.abc import Mapping, Sequence
import dataclasses

from dianet_jax import errors


@dataclasses.dataclass(frozen=True)
class Protocol:
  """How raw emotions become classes.

  Attributes:
    classes: names, in the order of the class index.
    emotions: raw emotion, in lower case -> class name; others are left out.
    expected: data set -> class -> clips, when complete; composites have
      several data sets.
    expected_folds: data set -> subjects with at least one clip.
    excluded_clips: clip ids that the protocol leaves out.
  """

  classes: tuple[str, ...]
  emotions: Mapping[str, str]
  expected: Mapping[str, Mapping[str, int]]
  expected_folds: Mapping[str, int]
  excluded_clips: tuple[str, ...] = ()

  @property
  def datasets(self) -> tuple[str, ...]:
    """Builders whose records the protocol is for; none: any."""
    composite = len(self.expected) > 1
    return ('megc2019_flow', 'megc2019') if composite else tuple(self.expected)

  def class_of(self, clip_id: str, emotion: str) -> int | None:
    """Class index of a clip, or None where the protocol leaves it out."""
    if clip_id in self.excluded_clips:
      return None
    name = self.emotions.get(emotion.strip().lower())
    return None if name is None else self.classes.index(name)

  def differences(
    self,
    datasets: Sequence[str],
    subjects: Sequence[str],
    labels: Sequence[int],
  ) -> list[str]:
    """What differs from the complete data, a sentence each.

    Args:
      datasets: the data set of each clip.
      subjects: the subject of each clip.
      labels: class index of each clip.
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
      counts = collections.Counter(self.classes[labels[i]] for i in clips)
      found += [
        f'{part}, {name}: {counts[name]} clips, the protocol has {number}'
        for name, number in expected.items()
        if counts[name] != number
      ]
      folds = len({subjects[i] for i in clips})
      if folds != self.expected_folds[part]:
        found.append(
          f'{part}: {folds} subjects, the protocol has'
          f' {self.expected_folds[part]}'
        )
    return found


def _protocol(dataset, expected, folds, excluded=(), **aliases):
  """One data set, whose raw emotions are the classes' names and `aliases`."""
  return Protocol(
    tuple(expected),
    {name: name for name in expected} | aliases,
    {dataset: expected},
    {dataset: folds},
    tuple(excluded),
  )


_CASME2 = {
  'happiness': 32, 'disgust': 63, 'repression': 27, 'surprise': 28,
  'others': 99,
}  # fmt: skip
_MMEW = {
  'happiness': 36, 'surprise': 89, 'disgust': 72, 'others': 66, 'fear': 16,
  'sadness': 13, 'anger': 8,
}  # fmt: skip

PROTOCOLS: Mapping[str, Protocol] = {
  'casme2_5class': _protocol('casme2', _CASME2, 26, other='others'),
  # As most papers count: three surprise clips of sub24 left out.
  'casme2_5class_246': _protocol(
    'casme2',
    _CASME2 | {'surprise': 25},
    26,
    ('sub24/EP07_01', 'sub24/EP07_04f', 'sub24/EP10_03'),
    other='others',
  ),
  # The sheet says `Other`, some copies the plural.
  'samm_5class': _protocol(
    'samm',
    {'anger': 57, 'other': 26, 'happiness': 26, 'surprise': 15, 'contempt': 12},
    27,
    others='other',
  ),
  'mmew_7class': _protocol('mmew', _MMEW, 30, other='others'),
  'mmew_6class': _protocol(
    'mmew', {name: n for name, n in _MMEW.items() if name != 'others'}, 30
  ),
  'mmew_4class': _protocol(
    'mmew',
    {n: _MMEW[n] for n in ('happiness', 'surprise', 'disgust', 'others')},
    30,
    other='others',
  ),
  'megc2019_3class': Protocol(
    ('negative', 'positive', 'surprise'),
    {name: name for name in ('negative', 'positive', 'surprise')},
    {
      'casme2': {'negative': 88, 'positive': 32, 'surprise': 25},
      'samm': {'negative': 92, 'positive': 26, 'surprise': 15},
      'smic': {'negative': 70, 'positive': 51, 'surprise': 43},
    },
    {'casme2': 24, 'samm': 28, 'smic': 16},
  ),
}


def get(name: str) -> Protocol:
  """The protocol called `name`; UserError names the known ones."""
  if name not in PROTOCOLS:
    raise errors.UserError(
      f'--config.data.protocol={name!r} is not known. Known are: '
      + ', '.join(sorted(PROTOCOLS))
    )
  return PROTOCOLS[name]
