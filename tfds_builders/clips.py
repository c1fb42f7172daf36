"""Turns an annotation and a folder of frames into a record.

The data sets differ only in names, which a `DataSet` describes. `clip_finder`
finds the clips with it; this module reads one clip.
"""

from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any, Literal

import cv2
import numpy as np

from dianet_jax.clips import frame_names, spotting
from tfds_builders import (
  action_units,
  annotations,
  frames,
  identity,
  pixels,
  raw_folder,
)

# With less of its annotated frames, a clip is not the one annotated.
_LEAST_SHARE_OF_FRAMES = 0.5
# Half a second has at most 100 frames; ten times that still fits in memory.
_MOST_FRAMES = 1000
# Enough for spotting; SAMM clips of full size would fill the memory.
_SPOTTING_PIXELS = 256
# The remedy for an apex that has to be spotted.
_SPOT = 'spot'


@dataclasses.dataclass(frozen=True)
class Repair:
  """A known mistake in a spreadsheet.

  Attributes:
    key_frame: which of the three numbers is wrong.
    found: the wrong value, None if the cell holds no number. Versions of the
      spreadsheet with another value are not changed.
    value: the right value; None if it is unknown and the apex is spotted.
    reason: why it is wrong, for the record's notes.
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
    guide: where to get it, and its layout on disk.
    frames_per_second: frame rate of the camera.
    subject_format: how to write a subject's number, e.g. 'sub{:02d}'.
    clip_folder: the last folders above the frames, with '{subject}' and
      '{clip}' for those of the spreadsheet; only '{clip}' if the clip's name is
      unique.
    spreadsheets: patterns of the file name, the preferred ones first.
    clip_name: regular expression that distinguishes the data set's clip names
      from those of others; matched at the beginning.
    repairs: (subject, clip) -> repair.
    variants: name -> regular expression searched in the lower-case names of
      the folders, the preferred variants first.
    clip_id: format with fields of `annotations.Annotation`; unique in the data
      set.
    labelled_folder: for data sets without a spreadsheet, regular expression for
      the lower-case path of a clip's folder, with the groups subject, emotion
      and clip. All frames in it belong to the clip, and there is no apex.
    subject_names: which names repeat the subject, so that a clip in the folder
      of another subject is noticed.
  """

  name: str
  # Texts for the user have no effect on records.
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
  """A problem of an annotation, and what is done about it."""

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
  """Reads the record of a clip; every frame is decoded once, as a check.

  Args:
    data_set: the data set of the clip.
    annotation: the row of the spreadsheet.
    folder: the folder with the frames.
    root: paths in messages are relative to it.
    policy: one of `raw_folder.POLICIES`.
    decode: whether to open the images; if not, an apex to be spotted is 0.
    witness: is shown every image that is opened.

  Returns:
    A record as `records.ClipBuilder.features` describes it, with the paths of
    the frames instead of images.

  Raises:
    raw_folder.BadClipError: the policy does not accept a doubt about the
      annotation, or an image or its name is bad.
  """
  annotation, apex_source, doubts = _repair(data_set, annotation)
  place = folder.path.relative_to(root)
  numbered = _number_frames(data_set, annotation, folder, place)
  if data_set.labelled_folder:
    annotation = _whole_folder(annotation, list(numbered))
  numbers = _numbers_in_clip(annotation, list(numbered), place, policy, doubts)
  apex = _annotated_apex(annotation.apex_frame, numbers, policy, doubts)
  if data_set.labelled_folder:
    # The data set annotates no apex, so a missing one is no doubt.
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
  notes += frame_names.note_strays(
    sorted({*folder.image_names} - {*numbered.values()})
  )
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
  """Frame number -> file name; BadClipError if the names cannot be right."""
  try:
    numbered = frame_names.number_frames(folder.image_names)
  except ValueError as error:
    raise raw_folder.BadClipError(f'{place} {error}') from error
  subject = annotations.subject_number(annotation.subject)
  for name in numbered.values():
    number = data_set.subject_names.of_frame(name)
    if number not in (None, subject):
      raise raw_folder.BadClipError(
        f'{place} belongs to subject {annotation.subject}, but the name of its '
        f'frame {name} says {data_set.subject_format.format(number)}'
      )
  return numbered


def _texts(
  data_set: DataSet, annotation: annotations.Annotation
) -> dict[str, Any]:
  """The part of a record that comes from the annotation alone."""
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
  """The annotation with known mistakes repaired, source of the apex, doubts."""
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
  repaired = dataclasses.replace(annotation, **{field: repair.value})
  of_apex = known and repair.key_frame == 'apex'
  return repaired, 'repaired' if of_apex else 'annotated', [doubt]


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
    raise raw_folder.bad_clip(policy, f'{where} {clip}, which is not a clip')
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
      _Doubt(f'{missing} frames missing inside the clip', 'skipped')
    )
  return numbers


def _annotated_apex(
  apex_frame: int | None,
  numbers: list[int],
  policy: str,
  doubts: list[_Doubt],
) -> int | None:
  """Index into `numbers`, or None if the apex has to be spotted."""
  if apex_frame is None:
    # Unless the table of repairs explains it already.
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
  """Decodes every image; with `keep`, returns small grey ones of one size."""
  grey = []
  for path in paths:
    image = raw_folder.read_image(path, root, witness)
    if keep:
      grey.append(_small_grey(image, grey[0].shape if grey else None))
  return np.array(grey)


def _small_grey(image: np.ndarray, shape: tuple[int, int] | None) -> np.ndarray:
  """Grey image of `shape`; if None, of at most 256 pixels a side."""
  if shape is None:
    scale = min(1.0, _SPOTTING_PIXELS / max(image.shape[:2]))
    shape = tuple(max(1, round(scale * side)) for side in image.shape[:2])
  grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
  return cv2.resize(grey, shape[::-1], interpolation=cv2.INTER_AREA)
