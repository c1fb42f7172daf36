"""MEGC 2019 composite as images of optical flow, one for each phase."""

import csv
import functools
import io
import os
import pathlib
from typing import Any

import tensorflow_datasets as tfds

from dianet_jax.core import errors
from tfds_builders import annotations, raw_folder, records

_GUIDE = raw_folder.Guide(
  title='MEGC 2019 (phase-wise optical flow)',
  source=(
    'The images come with the GitHub repository tony19980810/CausalNet '
    '(ICCV 2025, MIT licence): clone it and name the clone.'
  ),
  layout=(
    '  combined_3_class2_for_optical_flow.csv\n'
    "  'sub01_EP02_01f .png', 'sub01_EP02_01f_1 .png', ... (the blank belongs "
    'there),\n'
    '  beside it or in any folder below'
  ),
)
_COLUMNS = ('dataset', 'sub', 'filename_o', 'label')
_EMOTIONS = {'0': 'negative', '1': 'positive', '2': 'surprise'}
# Lists of subjects differ ('6' and '006', 's9' and 's09').
_SUBJECT_FORMATS = {
  'casme2': 'sub{:02d}',
  'samm': '{:03d}',
  'smic': 's{:02d}',
}
# What follows '<subject>_<clip>' in the name of the image's file.
_PHASE_SUFFIXES = {'onset_apex': '', 'apex_offset': '_1'}


class Builder(records.RawFolderBuilder):
  """Builder of the flow images of CASME II, SAMM and SMIC, where present."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = _GUIDE.instructions
  GUIDE = _GUIDE
  IMAGE_FEATURES = tuple(_PHASE_SUFFIXES)

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
      record, names = _describe(place, row)
      read = functools.partial(_read_clip, root, files, record, names, policy)
      clips.append(raw_folder.Clip(record['clip_id'], read, record['emotion']))
      image_files += [files[n] for group in names for n in group if n in files]
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
  place: str, row: dict[str, str]
) -> tuple[dict[str, Any], tuple[tuple[str, ...], ...]]:
  """The record without images, and for each phase the possible file names.

  Raises:
    errors.UserError: a value that cannot be used.
  """

  def fail(column: str, expected: str):
    raise errors.UserError(
      f"{place}, column '{column}': found {row[column]!r}, expected {expected}."
    )

  dataset, clip = row['dataset'].casefold(), row['filename_o']
  if dataset not in _SUBJECT_FORMATS:
    fail('dataset', ', '.join(_SUBJECT_FORMATS))
  if row['label'] not in _EMOTIONS:
    fail('label', '0 (negative), 1 (positive) or 2 (surprise)')
  try:
    number = annotations.subject_number(row['sub'])
  except ValueError:
    fail('sub', 'a name like sub01, 006 or s09')
  subject = _SUBJECT_FORMATS[dataset].format(number)
  record = {
    'clip_id': f'{dataset}/{subject}/{clip}',
    'subject': f'{dataset}/{subject}',
    'dataset': dataset,
    'emotion': _EMOTIONS[row['label']],
    'notes': '',
  }
  # SMIC's column `imagename` names files that do not exist: these do.
  names = tuple(
    tuple(
      f'{sub}_{clip}{suffix}{blank}.png'
      for sub in (subject, row['sub'])
      for blank in (' ', '')
    )
    for suffix in _PHASE_SUFFIXES.values()
  )
  return record, names


def _read_clip(
  root: pathlib.Path,
  files: dict[str, pathlib.Path],
  record: dict[str, Any],
  names: tuple[tuple[str, ...], ...],
  policy: str,
  decode: bool = True,
) -> dict[str, Any]:
  """The record with the paths of its images, each decoded once if asked."""
  images = {}
  for phase, possible in zip(_PHASE_SUFFIXES, names, strict=True):
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
