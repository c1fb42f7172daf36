"""MEGC 2019 as phase-wise optical flow, as records."""

import csv
import functools
import io
import itertools
import os
import pathlib
from typing import Any

import tensorflow_datasets as tfds

from dianet_jax.core import errors
from tfds_builders import annotations, raw_folder, records
from tfds_builders.megc2019_flow import facts

_GUIDE = facts.FACTS.guide
_COLUMNS = ('dataset', 'sub', 'filename_o', 'label')


class Builder(records.RawFolderBuilder):
  """Builder of the flow images of CASME II, SAMM and SMIC, where present."""

  FACTS = facts.FACTS
  MANUAL_DOWNLOAD_INSTRUCTIONS = _GUIDE.instructions
  IMAGE_FEATURES = tuple(facts.FACTS.reading.phase_suffixes)

  @classmethod
  def find(
    cls,
    manual_dir: str | os.PathLike[str],
    variant: str = '',
    policy: str = raw_folder.DEFAULT_POLICY,
  ) -> raw_folder.Found:
    """See the base class; there are no variants."""
    root, folders = _GUIDE.walk(manual_dir)
    files = {}
    for folder in folders:
      for name in folder.file_names:
        # The least deep of several copies.
        files.setdefault(name, folder.path / name)
    list_file, rows = _read_list(root, folders)
    clips, image_files = [], []
    for row_number, row in rows:
      place = f'{list_file}, row {row_number}'
      record, names = _describe(cls.FACTS.reading, place, row)
      read = functools.partial(_read_clip, root, files, record, names, policy)
      clips.append(raw_folder.Clip(record['clip_id'], read, record['emotion']))
      image_files += [
        files[n] for n in itertools.chain(*names.values()) if n in files
      ]
    if not image_files:
      raise _GUIDE.error(
        f'none of the {len(clips)} clips in {list_file.name} has its images.',
        root,
        folders,
      )
    _check_unique(list_file, clips)
    clips.sort(key=lambda clip: clip.clip_id)
    notes = [f'clips listed in {list_file.relative_to(root)}']
    images = sorted(set(image_files))
    return raw_folder.Found(root, (list_file,), clips, images, notes)

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
      'notes': features.Text(),
    }


def _read_list(
  root: pathlib.Path, folders: list[Any]
) -> tuple[pathlib.Path, list[tuple[int, dict[str, str]]]]:
  """The first .csv with the columns needed; its rows by number, stripped."""
  for folder in folders:
    for name in folder.file_names:
      if not name.casefold().endswith('.csv'):
        continue
      path = folder.path / name
      text = path.read_text(encoding='utf-8-sig', errors='replace')
      reader = csv.DictReader(io.StringIO(text))
      if set(_COLUMNS) <= set(reader.fieldnames or ()):
        rows = [
          (number, {key: (row[key] or '').strip() for key in _COLUMNS})
          for number, row in enumerate(reader, 2)
        ]
        return path, [(n, row) for n, row in rows if any(row.values())]
  raise _GUIDE.error('no list of the clips (.csv) was found.', root, folders)


def _describe(
  reading: facts.FlowImages, place: str, row: dict[str, str]
) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
  """The record without images, and the possible file names of each phase.

  Raises:
    errors.UserError: a value that cannot be used.
  """

  def fail(column: str, expected: str):
    raise errors.UserError(
      f"{place}, column '{column}': found {row[column]!r}, expected {expected}."
    )

  dataset, clip = row['dataset'].casefold(), row['filename_o']
  if dataset not in reading.subject_formats:
    fail('dataset', ', '.join(reading.subject_formats))
  if row['label'] not in reading.emotions:
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
    'emotion': reading.emotions[row['label']],
    'notes': '',
  }
  # SMIC's column `imagename` names files that do not exist: these do.
  names = {
    phase: tuple(
      f'{sub}_{clip}{suffix}{blank}.png'
      for sub in (subject, row['sub'])
      for blank in (' ', '')
    )
    for phase, suffix in reading.phase_suffixes.items()
  }
  return record, names


def _read_clip(
  root: pathlib.Path,
  files: dict[str, pathlib.Path],
  record: dict[str, Any],
  names: dict[str, tuple[str, ...]],
  policy: str,
  decode: bool = True,
) -> dict[str, Any]:
  """The record with the paths of its images, each decoded once if asked."""
  images = {}
  for phase, possible in names.items():
    path = next((files[name] for name in possible if name in files), None)
    if path is None:
      raise raw_folder.bad_clip(policy, f"the image '{possible[0]}' is missing")
    if decode:
      raw_folder.read_image(path, root)
    images[phase] = str(path)
  return record | images


def _check_unique(
  list_file: pathlib.Path, clips: list[raw_folder.Clip]
) -> None:
  ids = [clip.clip_id for clip in clips]
  repeated = sorted({clip_id for clip_id in ids if ids.count(clip_id) > 1})
  if repeated:
    raise errors.UserError(
      f'{list_file} lists clips twice: {", ".join(repeated[:5])}. Take the '
      'second rows out.'
    )
