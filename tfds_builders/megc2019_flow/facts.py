"""MEGC 2019 composite as images of optical flow, one for each phase."""

from collections.abc import Mapping
import dataclasses

from tfds_builders import identity, raw_folder, registry
from tfds_builders.megc2019 import facts as megc2019

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


@dataclasses.dataclass(frozen=True)
class FlowImages:
  """How to read the list and the names of the images.

  Attributes:
    emotions: label in the list -> emotion.
    subject_formats: data set -> how to write a subject's number; lists differ
      ('6' and '006', 's9' and 's09').
    subject_names: data set -> subjects in the names of its clips.
    phase_suffixes: phase -> what follows '<subject>_<clip>' in the image's file
      name.
    position_suffixes: the same of the position images, which may be missing.
  """

  emotions: Mapping[str, str]
  subject_formats: Mapping[str, str]
  subject_names: Mapping[str, identity.SubjectNames]
  phase_suffixes: dict[str, str]
  position_suffixes: dict[str, str]


FACTS = registry.Facts(
  guide=_GUIDE,
  reading=FlowImages(
    emotions={'0': 'negative', '1': 'positive', '2': 'surprise'},
    subject_formats={
      'casme2': 'sub{:02d}', 'samm': '{:03d}', 'smic': 's{:02d}',
    },
    subject_names={
      part.name: part.subject_names for part in megc2019.FACTS.reading.parts
    },
    phase_suffixes={'onset_apex': '', 'apex_offset': '_1'},
    position_suffixes={'onset_apex': '_2', 'apex_offset': '_3'},
  ),
  protocols=megc2019.FACTS.protocols,
  expected=registry.Expected(
    (442,), 68, {'negative': 250, 'positive': 109, 'surprise': 83}
  ),
  config='configs/megc2019.py',
  stored='phase_flow',
)  # fmt: skip
