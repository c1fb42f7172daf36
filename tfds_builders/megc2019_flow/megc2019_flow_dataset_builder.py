"""MEGC 2019 as phase-wise optical flow, as records."""

from collections.abc import Mapping, Sequence
import functools
import itertools
import os
import pathlib
import re
from typing import Any

import tensorflow_datasets as tfds

from dianet_jax.core import errors
from tfds_builders import (
  annotations,
  identity,
  pixels,
  raw_folder,
  records,
)
from tfds_builders.megc2019_flow import facts, lists

_GUIDE = facts.FACTS.guide
# Before the phase, in the names of a clip's images.
_POSITION = 'position_'


class Builder(records.RawFolderBuilder):
  """Builder of the flow images of CASME II, SAMM and SMIC, if present."""

  FACTS = facts.FACTS
  MANUAL_DOWNLOAD_INSTRUCTIONS = _GUIDE.instructions
  # Position images were added.
  VERSION = tfds.core.Version('1.3.0')
  RELEASE_NOTES = records.RELEASE_NOTES | {'1.3.0': 'Position images.'}
  IMAGE_FEATURES = (*facts.FACTS.reading.phase_suffixes, 'positions')

  @classmethod
  def find(
    cls,
    manual_dir: str | os.PathLike[str],
    variant: str = '',
    policy: str = raw_folder.DEFAULT_POLICY,
  ) -> raw_folder.Found:
    """See the base class; there are no variants."""
    root, folders = _GUIDE.walk(manual_dir)
    files: dict[str, list[pathlib.Path]] = {}
    for folder in folders:
      for name in folder.file_names:
        files.setdefault(name, []).append(folder.path / name)
    (list_file, rows), *others = lists.read(_GUIDE, root, folders)
    described = _describe_all(cls.FACTS.reading, list_file, rows)
    notes = [f'clips listed in {list_file.relative_to(root)}']
    for other, other_rows in others:
      notes[0] += f', not in {other.relative_to(root)}'
      _refuse_disagreement(
        described, _describe_all(cls.FACTS.reading, other, other_rows)
      )
    clips, image_files = [], []
    for _, record, names in described.values():
      read = functools.partial(_read_clip, root, files, record, names, policy)
      clips.append(raw_folder.Clip(record['clip_id'], read, record['emotion']))
      for name in itertools.chain(*names.values()):
        image_files += files.get(name, [])
    if not image_files:
      raise _GUIDE.error(
        f'none of the {len(clips)} clips in {list_file.name} has its images.',
        root,
        folders,
      )
    clips.sort(key=lambda clip: clip.clip_id)
    return raw_folder.Found(
      root,
      (list_file,),
      clips,
      sorted(set(image_files)),
      notes,
      has_phases=False,
    )

  def features(self) -> dict[str, Any]:
    """See the base class."""
    features = tfds.features
    return {
      'clip_id': features.Text(doc="'<dataset>/<subject>/<clip>'"),
      'subject': features.Text(doc="'<dataset>/<subject>', unique"),
      'dataset': features.Text(doc='casme2, samm or smic'),
      'emotion': features.Text(doc='negative, positive or surprise'),
      'onset_apex': features.Image(doc='flow u, v and strain, 0..255'),
      'apex_offset': features.Image(doc='flow u, v and strain, 0..255'),
      'positions': features.Sequence(
        features.Image(doc='position images of both phases, or none')
      ),
      'notes': features.Text(),
    }


def _contradictions(
  reading: facts.FlowImages, row: lists.Row, record: dict[str, Any]
) -> list[identity.Contradiction]:
  """A contradiction if the clip's name gives another subject than the row."""
  names = reading.subject_names[record['dataset']]
  number = names.of_clip(row['filename_o'])
  if number in (None, annotations.subject_number(row['sub'])):
    return []
  format_ = reading.subject_formats[record['dataset']]
  return [
    identity.Contradiction(
      row.place,
      row['filename_o'],
      row['sub'],
      "the clip's name",
      format_.format(number),
    )
  ]


def _read_clip(
  root: pathlib.Path,
  files: Mapping[str, Sequence[pathlib.Path]],
  record: dict[str, Any],
  names: Mapping[str, Sequence[str]],
  policy: str,
  decode: bool = True,
  witness: pixels.Witness | None = None,
) -> dict[str, Any]:
  """The record with the paths of its images, each decoded if asked."""
  images = {}
  for what, possible in names.items():
    paths = next((files[name] for name in possible if name in files), ())
    if not paths:
      images[what] = ''
      continue
    first, *copies = paths
    for copy in copies:
      files_ = [raw_folder.read_file(path, root) for path in (first, copy)]
      if files_[0] != files_[1]:
        places = ' and '.join(str(p.relative_to(root)) for p in (first, copy))
        raise raw_folder.bad_clip(policy, f'{places} are different images')
    if decode:
      # Most pixels of a position image may be at the end of its range.
      seen = None if what.startswith(_POSITION) else witness
      raw_folder.read_image(first, root, seen)
    images[what] = str(first)
  # Only CausalNet reads position images, so a clip may lack both.
  positions = [what for what in names if what.startswith(_POSITION)]
  if not any(images[what] for what in positions):
    for what in positions:
      del images[what]
  for what, path in images.items():
    if not path:
      raise raw_folder.bad_clip(
        policy, f"the image '{names[what][0]}' is missing"
      )
  found = [images.pop(what) for what in positions if what in images]
  return record | images | {'positions': found}


# A row with its record and the names of its images.
_Described = tuple[lists.Row, dict[str, Any], dict[str, tuple[str, ...]]]


def _describe_all(
  reading: facts.FlowImages, list_file: pathlib.Path, rows: list[lists.Row]
) -> dict[str, _Described]:
  """Clip id in lower case -> row, record and names of the images.

  Raises:
    errors.UserError: a value cannot be used, a clip is listed twice, or its
      name gives another subject.
  """
  described, repeated, contradictions = {}, [], []
  for row in rows:
    record, names = _describe(reading, row)
    contradictions += _contradictions(reading, row, record)
    key = record['clip_id'].casefold()
    if key in described:
      repeated.append(record['clip_id'])
    described[key] = (row, record, names)
  if repeated:
    raise errors.UserError(
      f'{list_file} lists clips twice: {", ".join(repeated[:5])}. Remove the '
      'second rows.'
    )
  identity.refuse_contradictions(contradictions)
  return described


def _refuse_disagreement(
  described: Mapping[str, _Described], others: Mapping[str, _Described]
) -> None:
  """Raises UserError if two lists give a clip different labels."""
  for key in described.keys() & others.keys():
    (row, record, _), (other, other_record, _) = described[key], others[key]
    if record['emotion'] != other_record['emotion']:
      raise errors.UserError(
        f'{row.place}, and {other.place}, disagree about the clip '
        f"{record['clip_id']}: column 'label' {row['label']!r} and "
        f'{other["label"]!r}. Keep the right list, and remove the other from '
        'the folder.'
      )


def _describe(
  reading: facts.FlowImages, row: lists.Row
) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
  """The record without images, and the possible file names of each image.

  Raises:
    errors.UserError: a value that cannot be used.
  """

  def fail(column: str, expected: str):
    raise errors.UserError(
      f"{row.place}, column '{column}': found {row[column]!r}, expected "
      f'{expected}.'
    )

  dataset, clip = row['dataset'].casefold(), row['filename_o']
  if dataset not in reading.subject_formats:
    fail('dataset', ', '.join(reading.subject_formats))
  # Spreadsheet programs write 0 as 0.0.
  label = re.sub(r'\.0+$', '', row['label'])
  if label not in reading.emotions:
    fail('label', '0 (negative), 1 (positive) or 2 (surprise)')
  try:
    number = annotations.subject_number(row['sub'])
  except ValueError:
    fail('sub', 'a name like sub01, 006 or s09')
  subject = reading.subject_formats[dataset].format(number)
  record = {
    'clip_id': f'{dataset}/{subject}/{clip}',
    'subject': f'{dataset}/{subject}',
    'dataset': dataset,
    'emotion': reading.emotions[label],
    'notes': '',
  }
  # SMIC's column `imagename` names files that do not exist: these do.
  suffixes = reading.phase_suffixes | {
    _POSITION + phase: suffix
    for phase, suffix in reading.position_suffixes.items()
  }
  names = {
    what: tuple(
      f'{sub}_{clip}{suffix}{blank}.png'
      for sub in (subject, row['sub'])
      for blank in (' ', '')
    )
    for what, suffix in suffixes.items()
  }
  return record, names
