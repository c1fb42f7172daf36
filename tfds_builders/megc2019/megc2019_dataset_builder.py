"""MEGC 2019 composite as records."""

from collections.abc import Mapping
import functools
import os
from typing import Any

import tensorflow_datasets as tfds

from tfds_builders import clip_finder, pixels, raw_folder, records
from tfds_builders.megc2019 import facts


class Builder(records.ClipBuilder):
  """Builder of the composite, from those of the three sets that exist."""

  FACTS = facts.FACTS
  MANUAL_DOWNLOAD_INSTRUCTIONS = facts.FACTS.guide.instructions

  @classmethod
  def find(
    cls,
    manual_dir: str | os.PathLike[str],
    variant: str = '',
    policy: str = raw_folder.DEFAULT_POLICY,
  ) -> raw_folder.Found:
    """See the base class; there are no variants of the composite."""
    guide, composite = cls.FACTS.guide, cls.FACTS.reading
    root, folders = guide.walk(manual_dir)
    annotation_files, clips, image_files, notes = [], [], set(), []
    for part in composite.parts:
      try:
        found = clip_finder.find(part, root, policy=policy)
      except raw_folder.NothingFoundError as error:
        # The first line gives the reason; the rest, where to get the data.
        notes.append(f'absent: {str(error).splitlines()[0]}')
        continue
      select = functools.partial(_listed, composite, part.name)
      listed = [clip for clip in map(select, found.clips) if clip]
      clips += listed
      annotation_files += found.annotation_files
      image_files.update(found.image_files)
      notes += [f'{part.name}: {note}' for note in found.notes]
      notes.append(
        f'{part.name}: {len(listed)} of {len(found.clips)} clips are in the '
        'composite'
      )
    if not clips:
      raise guide.error(
        'none of the three data sets was found.\n' + '\n'.join(notes),
        root,
        folders,
      )
    clips.sort(key=lambda clip: clip.clip_id)
    return raw_folder.Found(
      root, tuple(annotation_files), clips, sorted(image_files), notes
    )

  def features(self) -> dict[str, Any]:
    """See the base class."""
    text = tfds.features.Text
    return super().features() | {
      'clip_id': text(doc="'<dataset>/<subject>/<clip>'"),
      'subject': text(doc="'<dataset>/<subject>', unique"),
      'dataset': text(doc='casme2, samm or smic'),
      'emotion': text(doc='negative, positive or surprise'),
      'emotion_annotated': text(doc='as annotated'),
    }


def _listed(
  composite: facts.Composite, part: str, clip: raw_folder.Clip
) -> raw_folder.Clip | None:
  """The clip as part of the composite; None if that excludes it."""
  classes, emotion = composite.classes[part], clip.emotion.casefold()
  excluded = clip.clip_id in composite.excluded.get(part, ())
  if excluded or (emotion in classes and classes[emotion] is None):
    return None
  return raw_folder.Clip(
    f'{part}/{clip.clip_id}',
    functools.partial(_read, part, clip, classes),
    clip.emotion,
  )


def _read(
  dataset: str,
  clip: raw_folder.Clip,
  classes: Mapping[str, str | None],
  decode: bool = True,
  witness: pixels.Witness | None = None,
) -> dict[str, Any]:
  """The record of the part, with the ids and class of the composite."""
  record = clip.read(decode=decode, witness=witness)
  class_ = classes.get(clip.emotion.casefold())
  if class_ is None:
    raise raw_folder.BadClipError(
      f"the emotion '{clip.emotion}' is not one of those of {dataset}: "
      + ', '.join(classes)
    )
  return record | {
    'clip_id': f'{dataset}/{record["clip_id"]}',
    'subject': f'{dataset}/{record["subject"]}',
    'emotion': class_,
    'emotion_annotated': record['emotion'],
  }
