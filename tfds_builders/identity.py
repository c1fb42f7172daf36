"""Checks the subject of clips: by names, and by frames that two clips share.

Folds are subjects. A clip under the wrong subject, or a person under two names,
would be in training and in the held-out clips at once, and no result shows it.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import pathlib
import re
from typing import Any

import numpy as np

from dianet_jax.clips import images
from dianet_jax.core import errors
from tfds_builders import pixels

# Clips that share a smaller fraction of the shorter one merely overlap.
_SAME_SHARE = 0.5
# Digests cover a grid of pixels; of this many frames all pixels are compared.
_COMPARED = 3
_MOST_LISTED = 5
_MISHAP = (
  'One of the two is wrong: most often a column was sorted, shifted or filled '
  'in without the others.'
)


@dataclasses.dataclass(frozen=True)
class SubjectNames:
  r"""Which names of a data set repeat the number of the subject.

  Regular expressions with the group `subject`, ignoring case; '' if the names
  do not contain it. A name that does not match gives no number.

  >>> SubjectNames(clip=r'S(?P<subject>\d+)-').of_clip('S03-01-002')
  3

  Attributes:
    clip: matches the beginning of a clip's name.
    folder: matches the complete name of a folder above the clip.
    frame: matches the beginning of the name of a frame's file.
  """

  clip: str = ''
  folder: str = ''
  frame: str = ''

  def of_clip(self, name: str) -> int | None:
    """The subject's number in a clip's name, if any."""
    return _number(re.match(self.clip, name, re.IGNORECASE), self.clip)

  def of_folders(self, names: Sequence[str]) -> int | None:
    """The subject's number in the deepest folder name that has one."""
    numbers = [
      _number(re.fullmatch(self.folder, name, re.IGNORECASE), self.folder)
      for name in names
    ]
    numbers = [number for number in numbers if number is not None]
    return numbers[-1] if numbers else None

  def of_frame(self, name: str) -> int | None:
    """The subject's number in the name of a frame's file, if any."""
    return _number(re.match(self.frame, name, re.IGNORECASE), self.frame)


def _number(match: re.Match[str] | None, pattern: str) -> int | None:
  return int(match['subject']) if pattern and match else None


@dataclasses.dataclass(frozen=True)
class Contradiction:
  """Two places that give different subjects for one clip.

  Attributes:
    place: file, sheet and row, or folder.
    clip: the clip's name.
    subject: the subject by the annotation or the folder.
    source: what gives another subject, such as "the clip's name".
    other: that other subject.
  """

  place: str
  clip: str
  subject: str
  source: str
  other: str


def refuse_contradictions(found: Sequence[Contradiction]) -> None:
  """Raises a UserError that names the first contradictions, if any."""
  if not found:
    return
  lines = [
    f'  {c.place}: clip {c.clip} belongs to subject {c.subject}, but '
    f'{c.source} says {c.other}'
    for c in found[:_MOST_LISTED]
  ]
  if len(found) > _MOST_LISTED:
    lines.append(f'  and {len(found) - _MOST_LISTED} more')
  raise errors.UserError(
    f'{len(found)} clips whose subject is uncertain:\n'
    + '\n'.join(lines)
    + f'\n{_MISHAP} Get a new copy of the annotations, or put the folders '
    'where they belong.'
  )


@dataclasses.dataclass(frozen=True)
class _Clip:
  """A clip to be compared; `frames`: digest -> file."""

  clip_id: str
  subject: str
  frames: Mapping[bytes, pathlib.Path]


def compare_frames(
  title: str,
  root: pathlib.Path,
  records: Sequence[Mapping[str, Any]],
  witnesses: Sequence[pixels.Witness],
) -> list[str]:
  """Finds clips with the same frames; frames of a single colour do not count.

  Args:
    title: title of the data set.
    root: paths in messages are relative to it.
    records: records with `clip_id` and `subject`.
    witnesses: one for each record.

  Returns:
    Notes on clips of one subject with the same frames, and on clips of two
    subjects that share a smaller part of their frames.

  Raises:
    errors.UserError: clips of two subjects hold the same frames.
  """
  clips = [
    _Clip(
      record['clip_id'],
      record['subject'],
      {look.digest: path for path, look in witness.looks.items()
       if not look.flat},
    )
    for record, witness in zip(records, witnesses, strict=True)
  ]  # fmt: skip
  same, few = [], []
  for (first, other), digests in _shared(clips).items():
    first, other = clips[first], clips[other]
    if not _are_equal(first, other, digests):
      continue
    shorter = min(len(first.frames), len(other.frames))
    if len(digests) >= _SAME_SHARE * shorter:
      same.append((first, other, digests))
    elif first.subject != other.subject:
      few.append((first, other, digests))
  people = [pair for pair in same if pair[0].subject != pair[1].subject]
  if people:
    raise errors.UserError(
      f'{title}: clips of two subjects hold the same frames:\n  '
      + '\n  '.join(_list_pairs(people, root))
      + f'\nLooked in: {root}\n'
      'A person under two names would be in training and held out at once. '
      'Remove the copy from the folder and from the annotations, or restore '
      'the clip that was overwritten.'
    )
  return [
    f'{len(pairs)} pairs of clips {what}: '
    + '; '.join(_list_pairs(pairs, root))
    for pairs, what in (
      (same, 'of one subject hold the same frames'),
      (few, 'of two subjects share some frames'),
    )
    if pairs
  ]


def _shared(clips: Sequence[_Clip]) -> dict[tuple[int, int], list[bytes]]:
  """Pairs of clips -> digests of the frames that both hold.

  A frame is paired with the first clip that has it, so a thousand copies make a
  thousand pairs. A frame of two subjects makes a pair of two subjects.
  """
  first: dict[bytes, int] = {}
  shared: dict[tuple[int, int], list[bytes]] = {}
  for index, clip in enumerate(clips):
    for digest in clip.frames:
      holder = first.setdefault(digest, index)
      if holder != index:
        shared.setdefault((holder, index), []).append(digest)
  return shared


def _are_equal(first: _Clip, other: _Clip, digests: Sequence[bytes]) -> bool:
  """Whether a sample of the frames with equal digests has equal pixels."""
  step = max(1, len(digests) // _COMPARED)
  for digest in digests[::step]:
    files = [images.read(clip.frames[digest]) for clip in (first, other)]
    if files[0] != files[1] and not np.array_equal(*map(images.decode, files)):
      return False
  return True


def _list_pairs(
  pairs: Sequence[tuple[_Clip, _Clip, Sequence[bytes]]], root: pathlib.Path
) -> list[str]:
  """The first pairs, each with an example of its frames."""
  lines = []
  for first, other, digests in pairs[:_MOST_LISTED]:
    files = [
      clip.frames[digests[0]].relative_to(root) for clip in (first, other)
    ]
    shorter = min(len(first.frames), len(other.frames))
    lines.append(
      f'{first.clip_id} and {other.clip_id}: {len(digests)} of {shorter}, '
      f'such as {files[0]} and {files[1]}'
    )
  if len(pairs) > _MOST_LISTED:
    lines.append(f'and {len(pairs) - _MOST_LISTED} more')
  return lines
