"""Protocols: which annotated emotions are used, and as which class.

A data set's folder declares its protocols, with the counts of the complete,
licensed data; the README.md beside them names the sources.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses

from dianet_jax.core import errors
from tfds_builders import registry

_MOST_LISTED = 10


@dataclasses.dataclass(frozen=True)
class Protocol:
  """Maps raw emotions to classes.

  Attributes:
    classes: names, in the order of the class index.
    emotions: raw emotion in lower case -> class name; other emotions are left
      out. Singular and plural are the same: sheets have `other` or `others`.
    expected: data set -> class -> number of clips in the complete data;
      composites have several data sets. Empty if unknown.
    expected_folds: data set -> number of subjects with at least one clip.
    excluded_clips: clip ids that the protocol leaves out.
    left_out: raw emotions in lower case that the protocol leaves out on
      purpose.
    datasets: data sets that declare it, filled in by `get`; empty for any.
  """

  classes: tuple[str, ...]
  emotions: Mapping[str, str]
  expected: Mapping[str, Mapping[str, int]]
  expected_folds: Mapping[str, int]
  excluded_clips: tuple[str, ...] = ()
  left_out: tuple[str, ...] = ()
  datasets: tuple[str, ...] = ()

  def class_of(self, clip_id: str, emotion: str) -> int | None:
    """Class index of a clip; None if the protocol leaves it out.

    >>> protocol = custom([('happiness', 'positive'), ('fear', 'negative')])
    >>> protocol.class_of('s1/a', 'Fear'), protocol.class_of('s1/b', 'others')
    (1, None)
    """
    if clip_id in self.excluded_clips:
      return None
    known = [spelling for spelling in _spellings(emotion)
             if spelling in self.emotions]  # fmt: skip
    return self.classes.index(self.emotions[known[0]]) if known else None

  def unexpected(
    self, clip_ids: Sequence[str], emotions: Sequence[str]
  ) -> list[str]:
    """Emotions and clips that the protocol and the annotations do not share.

    Otherwise a misspelt emotion would be left out silently.

    Args:
      clip_ids: id of each clip of the data set, in the protocol or not.
      emotions: raw emotion of each clip.

    Returns:
      One sentence each.
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
        f'{_listing(absent)} to be left out by the protocol, but absent'
      )
    return found

  def differences(
    self,
    datasets: Sequence[str],
    subjects: Sequence[str],
    labels: Sequence[int],
    clip_ids: Sequence[str],
  ) -> list[str]:
    """Differences from the complete data.

    A class with another number of clips is listed clip by clip, for comparison
    with the list of the data set, so the sentence may be long.

    Args:
      datasets: data set of each clip.
      subjects: subject of each clip.
      labels: class index of each clip.
      clip_ids: id of each clip.

    Returns:
      One sentence each.
    """
    found = []
    for part, expected in self.expected.items():
      clips = [i for i, name in enumerate(datasets) if name == part]
      if not clips:
        found.append(
          f'{part} is absent; the complete protocol has'
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


def of_emotions(
  dataset: str,
  counts: Mapping[str, int],
  folds: int,
  excluded_clips: Sequence[str] = (),
  left_out: Sequence[str] = (),
) -> Protocol:
  """The protocol of one data set whose raw emotions are the classes' names.

  Args:
    dataset: name in the records.
    counts: class -> number of clips in the complete data.
    folds: number of subjects with at least one clip.
    excluded_clips: as in `Protocol`.
    left_out: as in `Protocol`.
  """
  return Protocol(
    tuple(counts),
    {name: name for name in counts},
    {dataset: counts},
    {dataset: folds},
    tuple(excluded_clips),
    tuple(left_out),
  )


def custom(emotions: Iterable[tuple[str, str]]) -> Protocol:
  """A user-defined protocol, without expected counts.

  >>> custom([('happiness', 'positive'), ('fear', 'negative')]).classes
  ('positive', 'negative')

  Args:
    emotions: pairs of a raw emotion and its class, in the order of the classes;
      '' as class leaves the emotion out on purpose. Case, surrounding blanks
      and plurals of the emotions do not matter.

  Raises:
    errors.UserError: there are fewer than two classes, a value is not a text,
      or an emotion has two classes.
  """

  def fail(problem: str):
    raise errors.UserError(
      f'A user-defined protocol maps raw emotions to classes, such as '
      f"{{'happiness': 'positive', 'disgust': 'negative', 'fear': ''}}; "
      f'{problem}.'
    )

  classes: dict[str, str] = {}
  for emotion, class_ in emotions:
    if not (isinstance(emotion, str) and isinstance(class_, str)):
      fail(f'{emotion!r}: {class_!r} is not a pair of texts')
    if not emotion.strip():
      fail('an emotion is empty')
    same = [text for text in _spellings(emotion) if text in classes]
    if same and classes[same[0]] != class_.strip():
      fail(f'{emotion!r} has two classes, {classes[same[0]]!r} and {class_!r}')
    if not same:
      classes[emotion.strip().lower()] = class_.strip()
  kept = {emotion: class_ for emotion, class_ in classes.items() if class_}
  names = tuple(dict.fromkeys(kept.values()))
  if len(names) < 2:
    fail(f'there must be two classes or more, but there are {len(names)}')
  left_out = tuple(emotion for emotion in classes if emotion not in kept)
  return Protocol(names, kept, {}, {}, (), left_out)


def names() -> list[str]:
  """Names of the protocols that data sets declare, sorted."""
  declared = [registry.facts(name).protocols for name in registry.names()]
  return sorted(set().union(*declared))


def get(name: str) -> Protocol:
  """Gets a protocol by its name.

  Args:
    name: one of `names()`.

  Returns:
    The protocol, with the data sets that declare it.

  Raises:
    errors.UserError: the name is unknown, or data sets declare different
      protocols of this name.
  """
  found = {}
  for dataset in registry.names():
    declared = registry.facts(dataset).protocols
    if name in declared:
      found[dataset] = declared[name]
  if not found:
    raise errors.UserError(
      f'--config.data.protocol={name!r} is unknown. Known protocols: '
      + ', '.join(names())
    )
  protocol, *others = found.values()
  if any(other != protocol for other in others):
    raise errors.UserError(
      f'--config.data.protocol={name!r} is declared differently by the data '
      f'sets {" and ".join(found)}: rename it in one of their facts.py.'
    )
  return dataclasses.replace(protocol, datasets=tuple(found))
