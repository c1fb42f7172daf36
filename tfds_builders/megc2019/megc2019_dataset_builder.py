"""MEGC 2019 composite of CASME II, SAMM and SMIC-HS, from the raw data."""

import functools
import os
from typing import Any

import tensorflow_datasets as tfds

from tfds_builders import clip_finder, raw_folder, records
from tfds_builders.casme2 import casme2_dataset_builder as casme2
from tfds_builders.samm import samm_dataset_builder as samm
from tfds_builders.smic import smic_dataset_builder as smic

_PARTS = (casme2.DATA_SET, samm.DATA_SET, smic.DATA_SET)

_GUIDE = raw_folder.Guide(
  title='MEGC 2019 composite',
  source='\n'.join(part.guide.source for part in _PARTS),
  layout=(
    '  CASME II, SAMM and SMIC-HS in one folder, each with its spreadsheet:\n'
    + '\n'.join(part.guide.layout for part in _PARTS)
  ),
)

# Annotated emotion, in lower case -> class; None: in no list.
_NEGATIVE, _POSITIVE, _SURPRISE = 'negative', 'positive', 'surprise'
_CLASSES: dict[str, dict[str, str | None]] = {
  'casme2': {
    'disgust': _NEGATIVE, 'repression': _NEGATIVE, 'happiness': _POSITIVE,
    'surprise': _SURPRISE, 'others': None, 'other': None, 'sadness': None,
    'fear': None,
  },
  'samm': {
    'anger': _NEGATIVE, 'contempt': _NEGATIVE, 'disgust': _NEGATIVE,
    'fear': _NEGATIVE, 'sadness': _NEGATIVE, 'happiness': _POSITIVE,
    'surprise': _SURPRISE, 'other': None, 'others': None,
  },
  'smic': {
    'negative': _NEGATIVE, 'positive': _POSITIVE, 'surprise': _SURPRISE,
  },
}  # fmt: skip
_EXCLUDED = {
  'casme2': {
    'sub04/EP12_01f', 'sub05/EP09_05f', 'sub24/EP07_01', 'sub24/EP07_04f',
    'sub24/EP10_03',
  },
}  # fmt: skip


class Builder(records.ClipBuilder):
  """Builder of the composite of those of the three sets that are there."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = _GUIDE.instructions
  GUIDE = _GUIDE

  @classmethod
  def find(
    cls,
    manual_dir: str | os.PathLike[str],
    variant: str = '',
    policy: str = raw_folder.DEFAULT_POLICY,
  ) -> raw_folder.Found:
    """See the base class; there are no variants of the composite."""
    root, folders = _GUIDE.walk(manual_dir)
    annotation_files, clips, image_files, notes = [], [], set(), []
    for part in _PARTS:
      try:
        found = clip_finder.find(part, root, policy=policy)
      except raw_folder.NothingFoundError as error:
        # The first line says what; the rest tells where to get the data.
        notes.append(f'absent: {str(error).splitlines()[0]}')
        continue
      listed = [
        c for c in map(functools.partial(_listed, part), found.clips) if c
      ]
      clips += listed
      annotation_files += found.annotation_files
      image_files.update(found.image_files)
      notes += [f'{part.name}: {note}' for note in found.notes]
      notes.append(
        f'{part.name}: {len(listed)} of {len(found.clips)} clips are in the '
        'composite'
      )
    if not clips:
      raise _GUIDE.error(
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


def _listed(part: Any, clip: raw_folder.Clip) -> raw_folder.Clip | None:
  """The clip as one of the composite, None where that does not have it."""
  if clip.clip_id in _EXCLUDED.get(part.name, ()):
    return None
  classes = _CLASSES[part.name]
  emotion = clip.emotion.casefold()
  if emotion in classes and classes[emotion] is None:
    return None
  return raw_folder.Clip(
    f'{part.name}/{clip.clip_id}',
    functools.partial(_read, part.name, clip, classes.get(emotion)),
    clip.emotion,
  )


def _read(
  dataset: str,
  clip: raw_folder.Clip,
  class_: str | None,
  decode: bool = True,
) -> dict[str, Any]:
  """The record of the part, with what is different in the composite."""
  if class_ is None:
    raise raw_folder.BadClipError(
      f"the emotion '{clip.emotion}' is none of {dataset}: "
      + ', '.join(_CLASSES[dataset])
    )
  record = clip.read(decode=decode)
  return record | {
    'clip_id': f'{dataset}/{record["clip_id"]}',
    'subject': f'{dataset}/{record["subject"]}',
    'emotion': class_,
    'emotion_annotated': record['emotion'],
  }
