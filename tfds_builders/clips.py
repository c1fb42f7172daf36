"""Finds and reads the clips of the data sets that come as frames on disk.

CASME II, SAMM and MMEW differ in names alone: a `DataSet` describes those, and
this module does the rest.
"""

from collections.abc import Mapping
import dataclasses
import fnmatch
import functools
import os
import pathlib
import re
from typing import Any, Literal

import cv2
import numpy as np

from dianet_jax import spotting
from tfds_builders import action_units, annotations, frames, raw_folder

# A clip with fewer of its annotated frames than this is not the one annotated.
_LEAST_SHARE_OF_FRAMES = 0.5
# Spotting needs no more, and full SAMM clips would fill the memory.
_SPOTTING_PIXELS = 256


@dataclasses.dataclass(frozen=True)
class Repair:
  """A known mistake in a spreadsheet.

  Attributes:
    key_frame: which of the three numbers is wrong.
    found: the wrong value; in other versions of the spreadsheet, which do not
      have it, nothing is repaired. None: the cell holds no number.
    value: the right value; None: unknown, the apex is spotted.
    reason: why, for the record's notes.
  """

  key_frame: Literal['onset', 'apex', 'offset']
  found: int | None
  value: int | None
  reason: str


@dataclasses.dataclass(frozen=True)
class DataSet:
  """Description of a raw data set.

  Attributes:
    name: as in the records.
    guide: where to get it and how it lies on disk.
    frames_per_second: of the camera.
    subject_format: how to write a subject's number, e.g. 'sub{:02d}'.
    spreadsheets: patterns of the file name, the preferred ones first.
    clip_below_subject: whether a clip's folder lies in its subject's folder;
      otherwise the clip's name is unique by itself.
    variants: name -> regular expression searched in the lower-case names of
      the folders, the preferred variants first.
    repairs: (subject, clip) -> repair.
  """

  name: str
  guide: raw_folder.Guide
  frames_per_second: float
  subject_format: str
  spreadsheets: tuple[str, ...]
  clip_below_subject: bool
  repairs: Mapping[tuple[str, str], Repair]
  variants: Mapping[str, str] = dataclasses.field(default_factory=dict)


def find(
  data_set: DataSet, manual_dir: str | os.PathLike[str], variant: str = ''
) -> raw_folder.Found:
  """Finds the annotated clips, opening no image.

  Args:
    data_set: what to look for.
    manual_dir: the folder with the raw data, at any depth below it.
    variant: one of `data_set.variants`; '' takes the first that is there.

  Raises:
    errors.UserError: nothing to be found, with what was expected and where.
  """
  root, folders = data_set.guide.walk(manual_dir)
  sheet, notes = _read_spreadsheet(data_set, root, folders)
  notes += sheet.notes
  matches = _match(data_set, sheet, root, folders)
  if not any(matches.values()):
    example = sheet.annotations[0].clip_id
    raise data_set.guide.error(
      f'none of the {len(matches)} clips in {sheet.path.name} (for instance '
      f'{example}) has a folder of its name with images.',
      root,
      folders,
    )
  variant, note = _choose_variant(data_set, matches, variant, root, folders)
  notes += note
  clips, image_files = [], []
  for annotation, reason in _distinct(sheet, notes):
    clip_id = annotation.clip_id
    there = [f for name, f in matches[clip_id] if name == variant]
    if reason or not there:
      reason = reason or 'no folder of this name with images'
      clips.append(raw_folder.Clip(clip_id, functools.partial(_fail, reason)))
      continue
    folder = there[0]
    if len(there) > 1:
      notes.append(
        f'{clip_id}: {len(there)} folders, the one read is '
        f'{folder.path.relative_to(root)}'
      )
    read = functools.partial(_read_clip, data_set, annotation, folder, root)
    clips.append(raw_folder.Clip(clip_id, read))
    image_files += [folder.path / name for name in folder.image_names]
  clips.sort(key=lambda clip: clip.clip_id)
  return raw_folder.Found(
    root, sheet.path, clips, sorted(image_files), notes, variant
  )


def _fail(reason: str, decode: bool = True):
  del decode
  raise raw_folder.BadClipError(reason)


def _read_spreadsheet(
  data_set: DataSet, root: pathlib.Path, folders: list[frames.Folder]
) -> tuple[annotations.Sheet, list[str]]:
  """The first fitting spreadsheet by pattern, then depth, then name."""

  def rank(path: pathlib.Path) -> int:
    name = path.name.casefold()
    fits = [fnmatch.fnmatch(name, p) for p in (*data_set.spreadsheets, '*')]
    return fits.index(True)

  paths = [
    folder.path / name
    for folder in folders
    for name in folder.file_names
    # Excel keeps a lock file '~$name.xlsx' beside an open spreadsheet.
    if name.casefold().endswith('.xlsx') and not name.startswith('~$')
  ]
  paths.sort(key=rank)
  failures = []
  for path in paths:
    try:
      sheet = annotations.read(path, data_set.subject_format)
    except annotations.NoHeaderError as error:
      failures.append(str(error))
      continue
    others = [str(other.relative_to(root)) for other in paths if other != path]
    notes = [f'annotations from {path.relative_to(root)}']
    if others:
      notes[0] += f', not from {", ".join(others)}'
    return sheet, notes
  problem = 'no spreadsheet (.xlsx) with the annotations was found.'
  raise data_set.guide.error('\n'.join([problem, *failures[:3]]), root, folders)


def _match(
  data_set: DataSet,
  sheet: annotations.Sheet,
  root: pathlib.Path,
  folders: list[frames.Folder],
) -> dict[str, list[tuple[str, frames.Folder]]]:
  """Clip id -> (variant, folder) of every folder of its name with images.

  A name from the spreadsheet is compared, never used as a path.
  """
  by_key: dict[tuple[str, ...], list[tuple[str, frames.Folder]]] = {}
  for folder in folders:
    if folder.image_names:
      key = [folder.path.name.casefold()]
      if data_set.clip_below_subject:
        key.append(_subject(data_set, folder.path.parent.name))
      variant = _variant(data_set, root, folder.path)
      by_key.setdefault(tuple(key), []).append((variant, folder))
  matches = {}
  for annotation in sheet.annotations:
    key = [annotation.clip.casefold()]
    if data_set.clip_below_subject:
      key.append(annotation.subject)
    matches[annotation.clip_id] = by_key.get(tuple(key), [])
  return matches


def _subject(data_set: DataSet, folder_name: str) -> str:
  try:
    number = annotations.subject_number(folder_name)
  except ValueError:
    return ''
  return data_set.subject_format.format(number)


def _variant(data_set: DataSet, root: pathlib.Path, path: pathlib.Path) -> str:
  """The variant that the deepest telling folder name tells, or ''."""
  names = [root.name, *path.relative_to(root).parts]
  for name in reversed(names):
    for variant, pattern in data_set.variants.items():
      if re.search(pattern, name.casefold()):
        return variant
  return ''


def _choose_variant(
  data_set: DataSet,
  matches: Mapping[str, list[tuple[str, frames.Folder]]],
  wanted: str,
  root: pathlib.Path,
  folders: list[frames.Folder],
) -> tuple[str, list[str]]:
  """The variant to read ('': the folders do not tell), and a note on it."""
  there = {variant for found in matches.values() for variant, _ in found}
  # Folders whose names tell nothing may hold any variant.
  order = [wanted, ''] if wanted else [*data_set.variants, '']
  chosen = next((variant for variant in order if variant in there), None)
  if chosen is None:
    raise data_set.guide.error(
      f"no clips of the variant '{wanted}', only of: "
      f'{", ".join(sorted(there))}.',
      root,
      folders,
    )
  if not data_set.variants:
    return chosen, []
  note = f'variant {chosen}' if chosen else 'variant not told by folder names'
  others = [f"'{variant}'" for variant in sorted(there - {chosen})]
  if others:
    note += f' (also there: {", ".join(others)})'
  return chosen, [note]


def _distinct(
  sheet: annotations.Sheet, notes: list[str]
) -> list[tuple[annotations.Annotation, str]]:
  """Annotations with '' or the reason why they are bad; notes equal rows."""
  first_rows: dict[str, annotations.Annotation] = {}
  distinct = []
  for annotation in sheet.annotations:
    first = first_rows.setdefault(annotation.clip_id, annotation)
    if first is annotation:
      distinct.append((annotation, ''))
    elif dataclasses.replace(annotation, row=first.row) == first:
      notes.append(
        f'{first.clip_id}: row {annotation.row} repeats row {first.row}'
      )
    else:
      reason = f'annotated again, differently, in row {annotation.row}'
      distinct.append((annotation, f'{reason} (first in row {first.row})'))
  return distinct


def _read_clip(
  data_set: DataSet,
  annotation: annotations.Annotation,
  folder: frames.Folder,
  root: pathlib.Path,
  decode: bool = True,
) -> dict[str, Any]:
  """The record of a clip, its frames as paths, each decoded once.

  Without `decode` no image is opened; an apex to be spotted stays at 0.
  """
  notes: list[str] = []
  annotation, apex_source = _repair(data_set, annotation, notes)
  numbered = frames.number_frames(folder.image_names)
  surplus = len(folder.image_names) - len(numbered)
  if surplus:
    notes.append(f'{surplus} images without a number of their own passed over')
  place = folder.path.relative_to(root)
  numbers = _numbers_in_clip(annotation, list(numbered), place, notes)
  paths = [folder.path / numbered[number] for number in numbers]

  apex_frame = annotation.apex_frame
  inside = apex_frame is not None and numbers[0] <= apex_frame <= numbers[-1]
  grey = []
  for path in paths if decode else ():
    image = raw_folder.read_image(path, root)
    if not inside:
      grey.append(_small_grey(image, grey[0].shape if grey else None))
  if not inside:
    apex = spotting.spot_apex(np.stack(grey)) if decode else 0
    found = 'none' if apex_frame is None else f'{apex_frame}, outside the clip'
    spotted = f'spotted at frame {numbers[apex]}' if decode else 'to be spotted'
    notes.append(f'apex {found}: {spotted}')
    apex_source = 'spotted'
  else:
    apex = int(np.argmin(np.abs(np.array(numbers) - apex_frame)))
    if numbers[apex] != apex_frame:
      apex_source = 'repaired'
      notes.append(
        f'apex {apex_frame} is not on disk: moved to frame {numbers[apex]}'
      )
  units = action_units.parse(annotation.action_units)
  return {
    'clip_id': annotation.clip_id,
    'subject': annotation.subject,
    'dataset': data_set.name,
    'emotion': annotation.emotion,
    'action_units': annotation.action_units,
    'au_unit': [au.unit for au in units],
    'au_side': [au.side for au in units],
    'au_intensity': [au.intensity for au in units],
    'frames_per_second': data_set.frames_per_second,
    'frames': [str(path) for path in paths],
    'frame_numbers': numbers,
    'onset': 0,
    'apex': apex,
    'offset': len(numbers) - 1,
    'apex_source': apex_source,
    'notes': '; '.join(notes),
  }


def _repair(
  data_set: DataSet, annotation: annotations.Annotation, notes: list[str]
) -> tuple[annotations.Annotation, str]:
  """The annotation after the table of repairs, and the source of its apex."""
  repair = data_set.repairs.get((annotation.subject, annotation.clip))
  field = f'{repair.key_frame}_frame' if repair else ''
  if repair is None or getattr(annotation, field) != repair.found:
    return annotation, 'annotated'
  if repair.value is None:
    # Unknown: left to the general rule, which spots it.
    notes.append(repair.reason)
    return dataclasses.replace(annotation, **{field: None}), 'annotated'
  notes.append(
    f'{repair.key_frame} {repair.found} repaired to {repair.value}: '
    f'{repair.reason}'
  )
  source = 'repaired' if repair.key_frame == 'apex' else 'annotated'
  return dataclasses.replace(annotation, **{field: repair.value}), source


def _numbers_in_clip(
  annotation: annotations.Annotation,
  on_disk: list[int],
  place: pathlib.Path,
  notes: list[str],
) -> list[int]:
  """Frame numbers on disk from onset to offset, ascending."""
  onset, offset = annotation.onset_frame, annotation.offset_frame
  clip = f'frames {onset} to {offset}'
  if onset >= offset:
    _fail(f'row {annotation.row} annotates {clip}, which is no clip')
  numbers = [number for number in on_disk if onset <= number <= offset]
  expected = offset - onset + 1
  if len(numbers) < max(2, _LEAST_SHARE_OF_FRAMES * expected):
    there = f'{on_disk[0]} to {on_disk[-1]}' if on_disk else 'none'
    _fail(
      f'{place} has {len(numbers)} of the annotated {clip} (there: {there})'
    )
  if numbers[0] > onset:
    notes.append(f'onset {onset} is not on disk: moved to {numbers[0]}')
  if numbers[-1] < offset:
    notes.append(f'offset {offset} is not on disk: clipped to {numbers[-1]}')
  missing = numbers[-1] - numbers[0] + 1 - len(numbers)
  if missing:
    notes.append(f'{missing} frames missing inside the clip')
  return numbers


def _small_grey(image: np.ndarray, shape: tuple[int, int] | None) -> np.ndarray:
  """Grey image of `shape`, by default of at most 256 pixels a side."""
  if shape is None:
    scale = min(1.0, _SPOTTING_PIXELS / max(image.shape[:2]))
    shape = tuple(max(1, round(scale * side)) for side in image.shape[:2])
  grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
  return cv2.resize(grey, shape[::-1], interpolation=cv2.INTER_AREA)
