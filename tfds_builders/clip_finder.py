"""Finds the clips of data sets that come as frames on disk."""

from collections.abc import Iterable, Mapping
import dataclasses
import functools
import os
import pathlib

from tfds_builders import (
  annotations,
  clip_folders,
  clips,
  frames,
  identity,
  near_misses,
  pixels,
  raw_folder,
  spreadsheets,
)

_MOST_LISTED = 5


def find(
  data_set: clips.DataSet,
  manual_dir: str | os.PathLike[str],
  variant: str = '',
  policy: str = raw_folder.DEFAULT_POLICY,
) -> raw_folder.Found:
  """Finds the annotated clips without opening an image.

  Args:
    data_set: the data set to find.
    manual_dir: the folder with the raw data, at any depth below it.
    variant: one of `data_set.variants`; '' takes the first that is found.
    policy: one of `raw_folder.POLICIES`.

  Returns:
    The clips and how they were found.

  Raises:
    raw_folder.NothingFoundError: the folder does not hold the data set; the
      message says what was expected, and where.
    errors.UserError: a folder or a cell of the spreadsheet cannot be used; two
      spreadsheets, or two names, contradict each other.
  """
  root, folders = data_set.guide.walk(manual_dir)
  if data_set.labelled_folder:
    sheet, unlisted = None, []
    places, annotated = clip_folders.read_labels(data_set, root, folders)
    notes = ['emotions from the names of folders']
  else:
    sheet, notes = spreadsheets.read(data_set, root, folders)
    places, unlisted = clip_folders.match(data_set, sheet, root, folders)
    annotated = sheet.annotations
  near = near_misses.NearMisses(root, folders)
  if not any(places.values()):
    problem = _no_folder(data_set, sheet, annotated, near)
    raise data_set.guide.error(problem, root, folders)
  identity.refuse_contradictions(
    _contradictions(data_set, sheet, annotated, places, root)
  )
  variant, note = clip_folders.choose_variant(
    data_set, places, variant, root, folders
  )
  notes += note + _note_unlisted(sheet, unlisted, variant, root)
  found, image_files = [], set()
  for rows in _by_clip(data_set, annotated):
    there = [
      folder
      for name, folder in places[clip_folders.key_of(data_set, rows[0])]
      if name == variant
    ]
    clip, repeats = _clip(data_set, rows, there, root, policy, near)
    found.append(clip)
    notes += repeats
    for folder in there[:1]:
      image_files |= {folder.path / name for name in folder.image_names}
  unseen, unseen_notes = _unseen(folders, root, listed=sheet is not None)
  return raw_folder.Found(
    root,
    (sheet.path,) if sheet else (),
    sorted(found + unseen, key=lambda clip: clip.clip_id),
    sorted(image_files),
    notes + unseen_notes,
    variant,
  )


def _clip(
  data_set: clips.DataSet,
  rows: list[annotations.Annotation],
  there: list[frames.Folder],
  root: pathlib.Path,
  policy: str,
  near: near_misses.NearMisses,
) -> tuple[raw_folder.Clip, list[str]]:
  """A clip from its rows and folders, and notes on repeated ones."""
  clip_id = data_set.id_of(rows[0])
  repeats, bad = _judge(rows, there, root)
  if not there:
    bad += _hint(data_set, rows[0], near)
  if policy == 'strict' and repeats:
    bad = '; '.join([bad] * bool(bad) + repeats)
  if bad:
    read = functools.partial(_fail, policy, bad)
  else:
    read = functools.partial(
      clips.read, data_set, rows[0], there[0], root, policy
    )
  # Rows that contradict each other give no emotion; otherwise a composite could
  # leave the clip out by its emotion before the contradiction is noticed.
  agreed = len({row.emotion.casefold() for row in rows}) == 1
  clip = raw_folder.Clip(clip_id, read, rows[0].emotion if agreed else '')
  return clip, [f'{clip_id}: {text}' for text in repeats]


def _unseen(
  folders: list[frames.Folder], root: pathlib.Path, listed: bool
) -> tuple[list[raw_folder.Clip], list[str]]:
  """Folders that cannot be read, as bad clips or as notes.

  If a list names the clips, missing clips are bad already, and a note is
  enough. Otherwise the folder represents the clips that it may hold.
  """
  clips_, notes = [], []
  for folder in folders:
    if folder.problem:
      place = str(folder.path.relative_to(root))
      text = f'the folder {place} cannot be read: {folder.problem}'
      if listed:
        notes.append(text)
      else:
        read = functools.partial(_fail, 'repair', text)
        clips_.append(raw_folder.Clip(place, read))
  return clips_, notes


def _note_unlisted(
  sheet: annotations.Sheet | None,
  unlisted: clip_folders.Places,
  variant: str,
  root: pathlib.Path,
) -> list[str]:
  """A note on folders of clips that no row annotates, if any."""
  paths = [
    str(folder.path.relative_to(root))
    for name, folder in unlisted
    if name == variant
  ]
  if not paths:
    return []
  more = ', ...' if len(paths) > _MOST_LISTED else ''
  return [
    f'{len(paths)} folders of clips are in no row of {sheet.path.name}: '
    f'{", ".join(paths[:_MOST_LISTED])}{more}'
  ]


def _fail(
  policy: str,
  reason: str,
  decode: bool = True,
  witness: pixels.Witness | None = None,
):
  """Replaces `clips.read` for a clip that cannot be read."""
  del decode, witness
  raise raw_folder.bad_clip(policy, reason)


def _contradictions(
  data_set: clips.DataSet,
  sheet: annotations.Sheet | None,
  annotated: Iterable[annotations.Annotation],
  places: Mapping[str, clip_folders.Places],
  root: pathlib.Path,
) -> list[identity.Contradiction]:
  """Names and folders that give another subject than the annotation."""
  names, found = data_set.subject_names, []
  owners: dict[pathlib.Path, annotations.Annotation] = {}
  for annotation in annotated:
    folders = [
      folder for _, folder in places[clip_folders.key_of(data_set, annotation)]
    ]
    place = str(folders[0].path.relative_to(root)) if folders else ''
    if sheet:
      place = sheet.place(annotation)
    subjects = [("the clip's name", names.of_clip(annotation.clip))]
    for folder in folders:
      above = folder.path.relative_to(root)
      number = names.of_folders(above.parts[:-1])
      subjects.append((f'its folder {above}', number))
      owner = owners.setdefault(folder.path, annotation)
      number = annotations.subject_number(owner.subject)
      subjects.append((f'row {owner.row}, on the same folder {above},', number))
    subject = annotations.subject_number(annotation.subject)
    for source, number in subjects:
      if number not in (None, subject):
        other = data_set.subject_format.format(number)
        found.append(
          identity.Contradiction(
            place, annotation.clip, annotation.subject, source, other
          )
        )
        break
  return found


def _hint(
  data_set: clips.DataSet,
  annotation: annotations.Annotation,
  near: near_misses.NearMisses,
) -> str:
  """Describes near misses of a clip's folder, for the end of a sentence."""
  subject = annotations.subject_number(annotation.subject)
  below = '{subject}' in pathlib.PurePosixPath(data_set.clip_folder).parts
  text = near.describe(annotation.clip, subject if below else None)
  return f' ({text})' if text else ''


def _by_clip(
  data_set: clips.DataSet, annotated: Iterable[annotations.Annotation]
) -> list[list[annotations.Annotation]]:
  """The rows of each clip."""
  rows: dict[str, list[annotations.Annotation]] = {}
  for annotation in annotated:
    rows.setdefault(clip_folders.key_of(data_set, annotation), []).append(
      annotation
    )
  return list(rows.values())


def _judge(
  rows: list[annotations.Annotation],
  there: list[frames.Folder],
  root: pathlib.Path,
) -> tuple[list[str], str]:
  """Rows and folders that are repeated; and why the clip is bad, or ''."""
  first, *others = rows
  same = [
    row
    for row in others
    if dataclasses.replace(row, row=first.row, clip=first.clip) == first
  ]
  repeats = [
    f'row {row.row} repeats row {first.row}'
    + f' (as {row.clip})' * (row.clip != first.clip)
    for row in same
  ]
  if len(same) < len(others):
    if not first.row:
      emotions = ', '.join(row.emotion for row in rows)
      return repeats, f'its folders give different emotions: {emotions}'
    numbers = ', '.join(str(row.row) for row in rows)
    return repeats, f'annotated differently in the rows {numbers}'
  if not there:
    return repeats, 'no folder of this name with images'
  if len(there) > 1:
    read, *copies = [folder.path.relative_to(root) for folder in there]
    different = [
      str(path)
      for folder, path in zip(there[1:], copies, strict=True)
      if _sizes(folder) != _sizes(there[0])
    ]
    if different:
      return repeats, (
        f'{len(there)} folders hold different images of it: {read} and '
        f'{", ".join(different)}; keep the right one'
      )
    repeats.append(f'{len(there)} folders, the one read is {read}')
  return repeats, ''


def _sizes(folder: frames.Folder) -> list[tuple[str, int]]:
  """Names and sizes of the images, which are equal in copies."""
  return [
    (name.casefold(), os.path.getsize(folder.path / name))
    for name in folder.image_names
  ]


def _no_folder(
  data_set: clips.DataSet,
  sheet: annotations.Sheet | None,
  annotated: list[annotations.Annotation],
  near: near_misses.NearMisses,
) -> str:
  if sheet is None:
    hint = _hint(data_set, annotated[0], near) if annotated else ''
    return f'no folder of clips with JPEG, PNG or BMP images was found{hint}.'
  first = annotated[0]
  return (
    f'none of the {len(annotated)} clips in {sheet.path.name} (for '
    f'instance {data_set.id_of(first)}) has a folder of its name with images'
    f'{_hint(data_set, first, near)}.'
  )
