"""Finds the clips of the data sets that come as frames on disk."""

from collections.abc import Iterable, Mapping
import dataclasses
import fnmatch
import functools
import os
import pathlib
import re

from tfds_builders import annotations, clips, frames, raw_folder

# (variant, folder) of every folder that fits a clip.
_Places = list[tuple[str, frames.Folder]]


def find(
  data_set: clips.DataSet,
  manual_dir: str | os.PathLike[str],
  variant: str = '',
  policy: str = raw_folder.DEFAULT_POLICY,
) -> raw_folder.Found:
  """Finds the annotated clips, opening no image.

  Args:
    data_set: what to look for.
    manual_dir: the folder with the raw data, at any depth below it.
    variant: one of `data_set.variants`; '' takes the first that is there.
    policy: one of `raw_folder.POLICIES`.

  Raises:
    raw_folder.NothingFoundError: not there, with what was expected and where.
    errors.UserError: a folder or a cell of the spreadsheet cannot be used.
  """
  root, folders = data_set.guide.walk(manual_dir)
  if data_set.labelled_folder:
    sheet = None
    places, annotated = _labelled(data_set, root, folders)
    notes = ['emotions from the names of folders']
  else:
    sheet, notes = _read_spreadsheet(data_set, root, folders)
    places = _match(data_set, sheet, root, folders)
    annotated = sheet.annotations
  if not any(places.values()):
    raise data_set.guide.error(_no_folder(data_set, sheet), root, folders)
  variant, note = _choose_variant(data_set, places, variant, root, folders)
  notes += note
  found, image_files = [], set()
  for clip_id, rows in _by_clip(data_set, annotated).items():
    there = [folder for name, folder in places[clip_id] if name == variant]
    repeats, bad = _judge(rows, there, root)
    notes += [f'{clip_id}: {text}' for text in repeats]
    if policy == 'strict' and repeats:
      bad = '; '.join([bad] * bool(bad) + repeats)
    if bad:
      read = functools.partial(_fail, policy, bad)
    else:
      read = functools.partial(
        clips.read, data_set, rows[0], there[0], root, policy
      )
      image_files |= {there[0].path / name for name in there[0].image_names}
    found.append(raw_folder.Clip(clip_id, read, rows[0].emotion))
  found.sort(key=lambda clip: clip.clip_id)
  return raw_folder.Found(
    root,
    (sheet.path,) if sheet else (),
    found,
    sorted(image_files),
    notes,
    variant,
  )


def _fail(policy: str, reason: str, decode: bool = True):
  del decode
  raise raw_folder.bad_clip(policy, reason)


def _by_clip(
  data_set: clips.DataSet, annotated: Iterable[annotations.Annotation]
) -> dict[str, list[annotations.Annotation]]:
  rows: dict[str, list[annotations.Annotation]] = {}
  for annotation in annotated:
    rows.setdefault(data_set.id_of(annotation), []).append(annotation)
  return rows


def _judge(
  rows: list[annotations.Annotation],
  there: list[frames.Folder],
  root: pathlib.Path,
) -> tuple[list[str], str]:
  """What merely repeats something, and '' or why the clip is bad."""
  first, *others = rows
  same = [r for r in others if dataclasses.replace(r, row=first.row) == first]
  repeats = [f'row {row.row} repeats row {first.row}' for row in same]
  if len(same) < len(others):
    numbers = ', '.join(str(row.row) for row in rows)
    return repeats, f'annotated differently in the rows {numbers}'
  if not there:
    return repeats, 'no folder of this name with images'
  if len(there) > 1:
    read = there[0].path.relative_to(root)
    repeats.append(f'{len(there)} folders, the one read is {read}')
  return repeats, ''


def _no_folder(data_set: clips.DataSet, sheet: annotations.Sheet | None) -> str:
  if sheet is None:
    return 'no folder of clips was found.'
  example = data_set.id_of(sheet.annotations[0])
  return (
    f'none of the {len(sheet.annotations)} clips in {sheet.path.name} (for '
    f'instance {example}) has a folder of its name with images.'
  )


def _labelled(
  data_set: clips.DataSet, root: pathlib.Path, folders: list[frames.Folder]
) -> tuple[dict[str, _Places], list[annotations.Annotation]]:
  """Places by clip id, and an annotation of each clip, by folder names."""
  places: dict[str, _Places] = {}
  annotated = {}
  for folder in folders:
    path = '/'.join(['', root.name, *folder.path.relative_to(root).parts])
    match = re.fullmatch(data_set.labelled_folder, path.casefold())
    if not match or not folder.image_names:
      continue
    annotation = annotations.Annotation(
      subject=data_set.subject_format.format(int(match['subject'])),
      clip=match['clip'],
      # `clips.read` takes all the frames there are.
      onset_frame=0,
      apex_frame=None,
      offset_frame=0,
      emotion=match['emotion'],
      action_units='',
      row=0,
    )
    # A clip below two emotions stays two: a contradiction.
    annotated[annotation] = None
    variant = _variant(data_set, root, folder.path)
    places.setdefault(data_set.id_of(annotation), []).append((variant, folder))
  return places, list(annotated)


def _read_spreadsheet(
  data_set: clips.DataSet, root: pathlib.Path, folders: list[frames.Folder]
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
      sheet = annotations.read(
        path, data_set.subject_format, data_set.clip_name
      )
    except annotations.NoHeaderError as error:
      failures.append(str(error))
      continue
    others = [str(other.relative_to(root)) for other in paths if other != path]
    notes = [f'annotations from {path.relative_to(root)}']
    if others:
      notes[0] += f', not from {", ".join(others)}'
    return sheet, notes + sheet.notes
  problem = 'no spreadsheet (.xlsx) with the annotations was found.'
  raise data_set.guide.error('\n'.join([problem, *failures[:3]]), root, folders)


def _match(
  data_set: clips.DataSet,
  sheet: annotations.Sheet,
  root: pathlib.Path,
  folders: list[frames.Folder],
) -> dict[str, _Places]:
  """Clip id -> places.

  A name from the spreadsheet is compared, never used as a path.
  """
  pattern = pathlib.PurePosixPath(data_set.clip_folder).parts
  by_key: dict[tuple[str, str], _Places] = {}
  for folder in folders:
    key = _key(data_set, pattern, folder) if folder.image_names else None
    if key:
      variant = _variant(data_set, root, folder.path)
      by_key.setdefault(key, []).append((variant, folder))
  with_subject = '{subject}' in pattern
  return {
    data_set.id_of(a): by_key.get(
      (a.subject if with_subject else '', a.clip.casefold()), []
    )
    for a in sheet.annotations
  }


def _key(
  data_set: clips.DataSet, pattern: tuple[str, ...], folder: frames.Folder
) -> tuple[str, str] | None:
  """(subject or '', clip) that the last folders name, None if they do not."""
  subject, clip = '', ''
  names = folder.path.parts[-len(pattern) :]
  for part, name in zip(pattern, names, strict=True):
    if part == '{subject}':
      subject = _subject(data_set, name)
    elif part == '{clip}':
      clip = name.casefold()
    elif part != name.casefold():
      return None
  return subject, clip


def _subject(data_set: clips.DataSet, folder_name: str) -> str:
  try:
    number = annotations.subject_number(folder_name)
  except ValueError:
    return ''
  return data_set.subject_format.format(number)


def _variant(
  data_set: clips.DataSet, root: pathlib.Path, path: pathlib.Path
) -> str:
  """The variant that the deepest telling folder name tells, or ''."""
  names = [root.name, *path.relative_to(root).parts]
  for name in reversed(names):
    for variant, pattern in data_set.variants.items():
      if re.search(pattern, name.casefold()):
        return variant
  return ''


def _choose_variant(
  data_set: clips.DataSet,
  places: Mapping[str, _Places],
  wanted: str,
  root: pathlib.Path,
  folders: list[frames.Folder],
) -> tuple[str, list[str]]:
  """The variant to read ('': the folders do not tell), and a note on it."""
  there = {variant for found in places.values() for variant, _ in found}
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
