"""MEGC 2019 composite of CASME II, SAMM and SMIC-HS, from the raw data."""

from collections.abc import Mapping
import dataclasses

from tfds_builders import clips, protocols, raw_folder, registry
from tfds_builders.casme2 import facts as casme2
from tfds_builders.samm import facts as samm
from tfds_builders.smic import facts as smic

_PARTS = (casme2.DATA_SET, samm.DATA_SET, smic.DATA_SET)

_GUIDE = raw_folder.Guide(
  title='MEGC 2019 composite',
  source='\n'.join(part.guide.source for part in _PARTS),
  layout=(
    '  CASME II, SAMM and SMIC-HS in one folder, each with its spreadsheet:\n'
    + '\n'.join(part.guide.layout for part in _PARTS)
  ),
)

# Annotated emotion in lower case -> class; None if the composite excludes it.
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
  'casme2': (
    'sub04/EP12_01f', 'sub05/EP09_05f', 'sub24/EP07_01', 'sub24/EP07_04f',
    'sub24/EP10_03',
  ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Composite:
  """The clips of the composite, and their classes.

  Attributes:
    parts: the data sets.
    classes: part -> annotated emotion in lower case -> class; None if the
      composite excludes it.
    excluded: part -> ids of further clips that the composite excludes.
  """

  parts: tuple[clips.DataSet, ...]
  classes: Mapping[str, Mapping[str, str | None]]
  excluded: Mapping[str, tuple[str, ...]]


_NAMES = (_NEGATIVE, _POSITIVE, _SURPRISE)

FACTS = registry.Facts(
  guide=_GUIDE,
  reading=Composite(_PARTS, _CLASSES, _EXCLUDED),
  protocols={
    'megc2019_3class': protocols.Protocol(
      _NAMES,
      {name: name for name in _NAMES},
      {
        'casme2': {'negative': 88, 'positive': 32, 'surprise': 25},
        'samm': {'negative': 92, 'positive': 26, 'surprise': 15},
        'smic': smic.FACTS.expected.emotions,
      },
      {'casme2': 24, 'samm': 28, 'smic': 16},
    ),
  },
  config='configs/megc2019_raw.py',
)
