"""Whose a clip is: what names say of its subject, and frames that two share.

Folds are subjects. A clip below the wrong subject, or one person below two
names, is trained on and tested at once, and nothing in the result tells.
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

# Clips that share less of the shorter one than this overlap, no more.
_SAME_SHARE = 0.5
# A digest is of a grid of pixels; so many frames of a pair are compared whole.
_COMPARED = 3
_MOST_LISTED = 5
_MISHAP = (
  'One of the two is wrong: most often a column was sorted, shifted or filled '
  'in without the others.'
)


@dataclasses.dataclass(frozen=True)
class SubjectNames:
  """Where a data set's names repeat the number of the subject.

  Regular expressions with the group `subject`, case ignored; '' where the names
  do not tell it. A name that does not match tells nothing.

  Attributes:
    clip: of the beginning of a clip's name.
    folder: of the whole name of a folder above the clip.
    frame: of the beginning of the name of a frame's file.
  """

  clip: str = ''
  folder: str = ''
  frame: str = ''

  def of_clip(self, name: str) -> int | None:
    """The subject's number that a clip's name tells."""
    return _number(re.match(self.clip, name, re.IGNORECASE), self.clip)

  def of_folders(self, names: Sequence[str]) -> int | None:
    """The subject's number that the deepest telling one of folders tells."""
    told = [
      _number(re.fullmatch(self.folder, name, re.IGNORECASE), self.folder)
      for name in names
    ]
    told = [number for number in told if number is not None]
    return told[-1] if told else None

  def of_frame(self, name: str) -> int | None:
    """The subject's number that the name of a frame's file tells."""
    return _number(re.match(self.frame, name, re.IGNORECASE), self.frame)


def _number(match: re.Match[str] | None, pattern: str) -> int | None:
  return int(match['subject']) if pattern and match else None


@dataclasses.dataclass(frozen=True)
class Contradiction:
  """Two places that name different subjects for one clip.

  Attributes:
    place: file, sheet and row, or folder.
    clip: the clip's name.
    subject: whose it is by the annotation or the folder.
    source: what tells another one, such as "the clip's name".
    told: that other one.
  """

  place: str
  clip: str
  subject: str
  source: str
  told: str


def refuse_contradictions(found: Sequence[Contradiction]) -> None:
  """Raises UserError if there are any, naming the first ones."""
  if not found:
    return
  lines = [
    f'  {c.place}: clip {c.clip} is of the subject {c.subject}, but {c.source} '
    f'says {c.told}'
    for c in found[:_MOST_LISTED]
  ]
  if len(found) > _MOST_LISTED:
    lines.append(f'  and {len(found) - _MOST_LISTED} more')
  raise errors.UserError(
    f'{len(found)} clips whose subject is not sure:\n'
    + '\n'.join(lines)
    + f'\n{_MISHAP} Take a fresh copy of the annotations, or put the folders '
    'where they belong.'
  )


@dataclasses.dataclass(frozen=True)
class _Clip:
  """What is compared of a clip: the digests of its frames -> files."""

  clip_id: str
  subject: str
  frames: Mapping[bytes, pathlib.Path]


def compare_frames(
  title: str,
  root: pathlib.Path,
  records: Sequence[Mapping[str, Any]],
  witnesses: Sequence[pixels.Witness],
) -> list[str]:
  """Looks for clips that hold the same frames, but for those of one colour.

  Args:
    title: of the data set.
    root: what paths in messages are relative to.
    records: with `clip_id` and `subject`.
    witnesses: of each clip.

  Returns:
    Notes on the clips of one subject that do, and on frames of several
    subjects where the rest of the clips differs.

  Raises:
    errors.UserError: clips of two subjects do.
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
      'One person under two names would be trained on and tested at once. Take '
      'the copy out of the folder and of the annotations, or restore the clip '
      'that was overwritten.'
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

  A frame is held against the first clip that has it, so that a thousand copies
  are a thousand pairs. A frame of two subjects makes a pair of two subjects.
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
