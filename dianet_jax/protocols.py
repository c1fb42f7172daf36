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
    excluded_clips: clip ids that the protocol leaves out.
    expected: class -> clips in the complete data set.
    expected_folds: subjects with at least one clip of the protocol.
  """

  classes: tuple[str, ...]
  emotions: Mapping[str, str]
  expected: Mapping[str, int]
  expected_folds: int
  excluded_clips: tuple[str, ...] = ()

  def class_of(self, clip_id: str, emotion: str) -> int | None:
    """Class index of a clip, or None where the protocol leaves it out."""
    if clip_id in self.excluded_clips:
      return None
    name = self.emotions.get(emotion.strip().lower())
    return None if name is None else self.classes.index(name)

  def differences(self, labels: Sequence[int], num_folds: int) -> list[str]:
    """What differs from the complete data set, a sentence each."""
    counts = collections.Counter(self.classes[label] for label in labels)
    found = [
      f'{name}: {counts[name]} clips, the protocol has {expected}'
      for name, expected in self.expected.items()
      if counts[name] != expected
    ]
    if num_folds != self.expected_folds:
      found.append(
        f'{num_folds} subjects, the protocol has {self.expected_folds}'
      )
    return found


def _protocol(expected, folds, excluded=(), **aliases):
  """A protocol whose raw emotions are its classes' names and `aliases`."""
  emotions = {name: name for name in expected} | aliases
  return Protocol(tuple(expected), emotions, expected, folds, tuple(excluded))


_CASME2 = {
  'happiness': 32, 'disgust': 63, 'repression': 27, 'surprise': 28,
  'others': 99,
}  # fmt: skip
_MMEW = {
  'happiness': 36, 'surprise': 89, 'disgust': 72, 'others': 66, 'fear': 16,
  'sadness': 13, 'anger': 8,
}  # fmt: skip

PROTOCOLS: Mapping[str, Protocol] = {
  'casme2_5class': _protocol(_CASME2, 26, other='others'),
  # As most papers count: three surprise clips of sub24 left out.
  'casme2_5class_246': _protocol(
    _CASME2 | {'surprise': 25},
    26,
    ('sub24/EP07_01', 'sub24/EP07_04f', 'sub24/EP10_03'),
    other='others',
  ),
  # The sheet says `Other`, some copies the plural.
  'samm_5class': _protocol(
    {'anger': 57, 'other': 26, 'happiness': 26, 'surprise': 15, 'contempt': 12},
    27,
    others='other',
  ),
  'mmew_7class': _protocol(_MMEW, 30, other='others'),
  'mmew_6class': _protocol(
    {name: n for name, n in _MMEW.items() if name != 'others'}, 30
  ),
  'mmew_4class': _protocol(
    {n: _MMEW[n] for n in ('happiness', 'surprise', 'disgust', 'others')},
    30,
    other='others',
  ),
  'megc2019_3class': _protocol(
    {'negative': 250, 'positive': 109, 'surprise': 83}, 68
  ),
  # The composite without SMIC, as the phase-flow images often come.
  'megc2019_3class_no_smic': _protocol(
    {'negative': 180, 'positive': 58, 'surprise': 40}, 52
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
