"""Matches the folders of a raw data set with its clips."""

from collections.abc import Mapping
import pathlib
import re

from tfds_builders import annotations, clips, frames

# (variant, folder) of every folder that matches a clip.
Places = list[tuple[str, frames.Folder]]


def key_of(data_set: clips.DataSet, annotation: annotations.Annotation) -> str:
  """The clip's id in a form for comparison, which ignores case."""
  return data_set.id_of(annotation).casefold()


def read_labels(
  data_set: clips.DataSet, root: pathlib.Path, folders: list[frames.Folder]
) -> tuple[dict[str, Places], list[annotations.Annotation]]:
  """Reads clips and emotions from the names of folders.

  Returns:
    Clip id -> places; and an annotation of each clip. A folder that is named
    like a clip but holds no images is a clip without a place.
  """
  places: dict[str, Places] = {}
  annotated = {}
  for folder in folders:
    path = '/'.join(['', root.name, *folder.path.relative_to(root).parts])
    found = re.fullmatch(data_set.labelled_folder, path.casefold())
    if not found:
      continue
    annotation = annotations.Annotation(
      subject=data_set.subject_format.format(int(found['subject'])),
      clip=found['clip'],
      # `clips.read` takes all frames in the folder.
      onset_frame=0,
      apex_frame=None,
      offset_frame=0,
      emotion=found['emotion'],
      action_units='',
      row=0,
    )
    # A clip below two emotions stays twice, and is noticed as contradiction.
    annotated[annotation] = None
    variant = _variant(data_set, root, folder.path)
    there = places.setdefault(key_of(data_set, annotation), [])
    if folder.image_names:
      there.append((variant, folder))
  return places, list(annotated)


def match(
  data_set: clips.DataSet,
  sheet: annotations.Sheet,
  root: pathlib.Path,
  folders: list[frames.Folder],
) -> tuple[dict[str, Places], Places]:
  """Matches the clips of a sheet with folders.

  A name from the spreadsheet is compared, never used as a path.

  Returns:
    Clip id -> places; and the places of clips that no row annotates.
  """
  pattern = pathlib.PurePosixPath(data_set.clip_folder).parts
  by_key: dict[tuple[str, str], Places] = {}
  for folder in folders:
    key = _key(data_set, pattern, folder) if folder.image_names else None
    if key:
      variant = _variant(data_set, root, folder.path)
      by_key.setdefault(key, []).append((variant, folder))
  with_subject = '{subject}' in pattern
  keys = {
    key_of(data_set, a): (a.subject if with_subject else '', a.clip.casefold())
    for a in sheet.annotations
  }
  listed = set(keys.values())
  unlisted = [
    place
    for (subject, clip), places in by_key.items()
    if (subject, clip) not in listed
    and bool(subject) == with_subject
    and re.match(data_set.clip_name, clip, re.IGNORECASE)
    for place in places
  ]
  return {name: by_key.get(key, []) for name, key in keys.items()}, unlisted


def _key(
  data_set: clips.DataSet, pattern: tuple[str, ...], folder: frames.Folder
) -> tuple[str, str] | None:
  """(subject or '', clip) from the last folders; None if they do not match."""
  subject, clip = '', ''
  names = folder.path.parts[-len(pattern) :]
  if len(names) < len(pattern):
    return None
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
  """The variant that the deepest matching folder name gives, or ''."""
  names = [root.name, *path.relative_to(root).parts]
  for name in reversed(names):
    for variant, pattern in data_set.variants.items():
      if re.search(pattern, name.casefold()):
        return variant
  return ''


def choose_variant(
  data_set: clips.DataSet,
  places: Mapping[str, Places],
  wanted: str,
  root: pathlib.Path,
  folders: list[frames.Folder],
) -> tuple[str, list[str]]:
  """Chooses the variant to read.

  Returns:
    The variant, '' if no folder name gives one; and notes on the choice.

  Raises:
    raw_folder.NothingFoundError: there is no clip of the wanted variant.
  """
  there = {variant for found in places.values() for variant, _ in found}
  # Folders whose names give no variant may hold any.
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
  note = f'variant {chosen}' if chosen else 'variant not given by folder names'
  others = [f"'{variant}'" for variant in sorted(there - {chosen})]
  if others:
    note += f' (also there: {", ".join(others)})'
  return chosen, [note]
