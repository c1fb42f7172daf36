"""Turns an annotation and a folder of frames into a record.

The data sets differ in names alone: a `DataSet` describes those, `clip_finder`
finds the clips by it, and this module reads one.
"""

from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any, Literal

import cv2
import numpy as np

from dianet_jax.clips import spotting
from tfds_builders import (
  action_units,
  annotations,
  frames,
  identity,
  pixels,
  raw_folder,
)

# A clip with fewer of its annotated frames than this is not the one annotated.
_LEAST_SHARE_OF_FRAMES = 0.5
# Half a second has 100 frames at most; ten times that still fits the memory.
_MOST_FRAMES = 1000
# Spotting needs no more, and full SAMM clips would fill the memory.
_SPOTTING_PIXELS = 256
_MOST_LISTED = 3
# Stands for what becomes of an apex that is left to spotting.
_SPOT = 'spot'


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
    clip_folder: the last folders above the frames, '{subject}' and '{clip}'
      standing for those of the spreadsheet; '{clip}' alone where a clip's name
      is unique by itself.
    spreadsheets: patterns of the file name, the preferred ones first.
    clip_name: regular expression that tells the data set's clip names from
      those of others; matched at the beginning.
    repairs: (subject, clip) -> repair.
    variants: name -> regular expression searched in the lower-case names of
      the folders, the preferred variants first.
    clip_id: of fields of `annotations.Annotation`; unique in the data set.
    labelled_folder: where there is no spreadsheet, regular expression for the
      lower-case path of a clip's folder with the groups subject, emotion and
      clip. All frames in it are the clip, and there is no apex.
    subject_names: where names repeat the subject, so that a clip below another
      subject is noticed.
  """

  name: str
  # Texts for the user decide no record.
  guide: raw_folder.Guide = dataclasses.field(repr=False)
  frames_per_second: float
  subject_format: str
  clip_folder: str = '{clip}'
  spreadsheets: tuple[str, ...] = ()
  clip_name: str = ''
  repairs: Mapping[tuple[str, str], Repair] = dataclasses.field(
    default_factory=dict
  )
  variants: Mapping[str, str] = dataclasses.field(default_factory=dict)
  clip_id: str = '{subject}/{clip}'
  labelled_folder: str = ''
  subject_names: identity.SubjectNames = identity.SubjectNames()

  def id_of(self, annotation: annotations.Annotation) -> str:
    """The clip's id."""
    return self.clip_id.format(**vars(annotation))


@dataclasses.dataclass(frozen=True)
class _Doubt:
  """What does not fit in an annotation, and what is done about it."""

  problem: str
  remedy: str


def read(
  data_set: DataSet,
  annotation: annotations.Annotation,
  folder: frames.Folder,
  root: pathlib.Path,
  policy: str,
  decode: bool = True,
  witness: pixels.Witness | None = None,
) -> dict[str, Any]:
  """The record of a clip, its frames as paths, each decoded once.

  Args:
    data_set: what the clip belongs to.
    annotation: the row of the spreadsheet.
    folder: with the frames.
    root: what paths in messages are relative to.
    policy: one of `raw_folder.POLICIES`.
    decode: whether to open the images; without, an apex to be spotted is 0.
    witness: sees every image that is opened.

  Raises:
    raw_folder.BadClipError: a doubt too much for the policy, a bad image or
      name of one.
  """
  annotation, apex_source, doubts = _repair(data_set, annotation)
  place = folder.path.relative_to(root)
  numbered = _number_frames(data_set, annotation, folder, place)
  if data_set.labelled_folder:
    annotation = _whole_folder(annotation, list(numbered))
  numbers = _numbers_in_clip(annotation, list(numbered), place, policy, doubts)
  apex = _annotated_apex(annotation.apex_frame, numbers, policy, doubts)
  if data_set.labelled_folder:
    # No apex is annotated at all: that this one is missing is no doubt.
    doubts = [doubt for doubt in doubts if doubt.remedy != _SPOT]
  if doubts and policy in ('drop', 'strict'):
    raise raw_folder.bad_clip(policy, '; '.join(d.problem for d in doubts))

  paths = [folder.path / numbered[number] for number in numbers]
  spotted = 'to be spotted'
  grey = _check_images(paths, root, apex is None, witness) if decode else None
  if apex is None:
    apex_source, apex = 'spotted', 0
    if decode:
      apex = spotting.spot_apex(grey)
      spotted = f'spotted at frame {numbers[apex]}'
  elif numbers[apex] != annotation.apex_frame:
    apex_source = 'repaired'
  notes = [
    f'{d.problem}: {spotted if d.remedy == _SPOT else d.remedy}' for d in doubts
  ]
  notes += _note_strays(sorted({*folder.image_names} - {*numbered.values()}))
  return _texts(data_set, annotation) | {
    'frames_per_second': data_set.frames_per_second,
    'frames': [str(path) for path in paths],
    'frame_numbers': numbers,
    'onset': 0,
    'apex': apex,
    'offset': len(numbers) - 1,
    'apex_source': apex_source,
    'notes': '; '.join(notes),
  }


def _number_frames(
  data_set: DataSet,
  annotation: annotations.Annotation,
  folder: frames.Folder,
  place: pathlib.Path,
) -> dict[int, str]:
  """Frame number -> file name; BadClipError where the names cannot be right."""
  try:
    numbered = frames.number_frames(folder.image_names)
  except ValueError as error:
    raise raw_folder.BadClipError(f'{place} {error}') from error
  subject = annotations.subject_number(annotation.subject)
  for name in numbered.values():
    told = data_set.subject_names.of_frame(name)
    if told not in (None, subject):
      raise raw_folder.BadClipError(
        f'{place} is of the subject {annotation.subject}, but the name of its '
        f'frame {name} says {data_set.subject_format.format(told)}'
      )
  return numbered


def _note_strays(names: list[str]) -> list[str]:
  """A note on the images that are not called like the frames, if any."""
  if not names:
    return []
  more = ', ...' if len(names) > _MOST_LISTED else ''
  plural = 's' if len(names) > 1 else ''
  return [
    f'{len(names)} image{plural} not called like the frames passed over: '
    f'{", ".join(names[:_MOST_LISTED])}{more}'
  ]


def _texts(
  data_set: DataSet, annotation: annotations.Annotation
) -> dict[str, Any]:
  """The part of a record that is known from the annotation alone."""
  units = action_units.parse(annotation.action_units)
  return {
    'clip_id': data_set.id_of(annotation),
    'subject': annotation.subject,
    'dataset': data_set.name,
    'emotion': annotation.emotion,
    'action_units': annotation.action_units,
    'au_unit': [au.unit for au in units],
    'au_side': [au.side for au in units],
    'au_intensity': [au.intensity for au in units],
  }


def _repair(
  data_set: DataSet, annotation: annotations.Annotation
) -> tuple[annotations.Annotation, str, list[_Doubt]]:
  """The annotation after the table of repairs, its apex's source, doubts."""
  repairs = {
    (subject, clip.casefold()): repair
    for (subject, clip), repair in data_set.repairs.items()
  }
  repair = repairs.get((annotation.subject, annotation.clip.casefold()))
  field = f'{repair.key_frame}_frame' if repair else ''
  if repair is None or getattr(annotation, field) != repair.found:
    return annotation, 'annotated', []
  found = 'none' if repair.found is None else repair.found
  problem = f'{repair.key_frame} {found} ({repair.reason})'
  known = repair.value is not None
  doubt = _Doubt(problem, f'repaired to {repair.value}' if known else _SPOT)
  mended = dataclasses.replace(annotation, **{field: repair.value})
  of_apex = known and repair.key_frame == 'apex'
  return mended, 'repaired' if of_apex else 'annotated', [doubt]


def _whole_folder(
  annotation: annotations.Annotation, on_disk: list[int]
) -> annotations.Annotation:
  onset, offset = (on_disk[0], on_disk[-1]) if on_disk else (0, 0)
  return dataclasses.replace(annotation, onset_frame=onset, offset_frame=offset)


def _numbers_in_clip(
  annotation: annotations.Annotation,
  on_disk: list[int],
  place: pathlib.Path,
  policy: str,
  doubts: list[_Doubt],
) -> list[int]:
  """Frame numbers on disk from onset to offset, ascending."""
  onset, offset = annotation.onset_frame, annotation.offset_frame
  clip = f'frames {onset} to {offset}'
  if onset >= offset:
    where = f'row {annotation.row} annotates' if annotation.row else place
    raise raw_folder.bad_clip(policy, f'{where} {clip}, which is no clip')
  numbers = [number for number in on_disk if onset <= number <= offset]
  expected = offset - onset + 1
  if len(numbers) > _MOST_FRAMES:
    raise raw_folder.bad_clip(
      policy,
      f'{place} has {len(numbers)} frames in the annotated {clip}; a'
      f' micro-expression has {_MOST_FRAMES} at most',
    )
  if len(numbers) < max(2, _LEAST_SHARE_OF_FRAMES * expected):
    there = f'{on_disk[0]} to {on_disk[-1]}' if on_disk else 'none'
    raise raw_folder.bad_clip(
      policy,
      f'{place} has {len(numbers)} of the annotated {clip} (there: {there})',
    )
  if numbers[0] > onset:
    doubts.append(
      _Doubt(f'onset {onset} is not on disk', f'moved to {numbers[0]}')
    )
  if numbers[-1] < offset:
    doubts.append(
      _Doubt(f'offset {offset} is not on disk', f'clipped to {numbers[-1]}')
    )
  missing = numbers[-1] - numbers[0] + 1 - len(numbers)
  if missing:
    doubts.append(
      _Doubt(f'{missing} frames missing inside the clip', 'passed over')
    )
  return numbers


def _annotated_apex(
  apex_frame: int | None,
  numbers: list[int],
  policy: str,
  doubts: list[_Doubt],
) -> int | None:
  """Index into `numbers`, or None where the apex is to be spotted."""
  if apex_frame is None:
    # Unless the table of repairs has said more.
    if all(doubt.remedy != _SPOT for doubt in doubts):
      doubts.append(_Doubt('apex none', _SPOT))
    return None
  if not numbers[0] <= apex_frame <= numbers[-1]:
    doubts.append(_Doubt(f'apex {apex_frame}, outside the clip', _SPOT))
    return None
  apex = int(np.argmin(np.abs(np.array(numbers) - apex_frame)))
  if apex in (0, len(numbers) - 1):
    end = 'offset' if apex else 'onset'
    problem = f'apex {apex_frame} is the {end}, a phase without motion'
    doubts.append(_Doubt(problem, _SPOT if policy == 'spot' else 'kept'))
    return None if policy == 'spot' else apex
  if numbers[apex] != apex_frame:
    doubts.append(
      _Doubt(
        f'apex {apex_frame} is not on disk', f'moved to frame {numbers[apex]}'
      )
    )
  return apex


def _check_images(
  paths: list[pathlib.Path],
  root: pathlib.Path,
  keep: bool,
  witness: pixels.Witness | None,
) -> np.ndarray:
  """Decodes every image; where asked, keeps small grey ones of one size."""
  grey = []
  for path in paths:
    image = raw_folder.read_image(path, root, witness)
    if keep:
      grey.append(_small_grey(image, grey[0].shape if grey else None))
  return np.array(grey)


def _small_grey(image: np.ndarray, shape: tuple[int, int] | None) -> np.ndarray:
  """Grey image of `shape`, by default of at most 256 pixels a side."""
  if shape is None:
    scale = min(1.0, _SPOTTING_PIXELS / max(image.shape[:2]))
    shape = tuple(max(1, round(scale * side)) for side in image.shape[:2])
  grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
  return cv2.resize(grey, shape[::-1], interpolation=cv2.INTER_AREA)
