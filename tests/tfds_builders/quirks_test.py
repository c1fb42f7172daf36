"""Every quirk of the data sets: how it looks on disk, and what must come out.

A row of the table is a tree with the quirk and the record fields that show that
it was understood. Key frames are frame numbers here, not indices.
"""

from collections.abc import Callable
import dataclasses
import pathlib
from typing import Any

import pytest

from tests.support import raw_trees
from tfds_builders import prepare, protocols, raw_folder

Clip = raw_trees.Clip


@dataclasses.dataclass(frozen=True)
class Quirk:
  """A tree and what its only, or its last, record must hold.

  Attributes:
    dataset: which one has the quirk.
    clips: what lies on disk and, without `rows`, in the sheet.
    expected: field of the record -> value; `apex` and `offset` as frame
      numbers, `notes` a part of the text, `class` by the protocol.
    layout: fields of `raw_trees.Layout`.
    rows: what the sheet says, if something else.
    protocol: for `class`.
    also: writes more into the folder.
    clips_there: how many records there must be.
  """

  dataset: str
  clips: tuple[Clip, ...]
  expected: dict[str, Any]
  layout: dict[str, Any] = dataclasses.field(default_factory=dict)
  rows: tuple[Clip, ...] | None = None
  protocol: str = ''
  also: Callable[[pathlib.Path], Any] = lambda root: None
  clips_there: int = 1


def _casme2(clip, expected, layout=None, **more):
  clip = dataclasses.replace(clip, subject_folder=f'sub{int(clip.subject):02d}')
  return Quirk('casme2', (clip,), expected, layout or {}, **more)


def _samm(clip, expected, layout=None, **more):
  return Quirk('samm', (clip,), expected, layout or {}, **more)


def _mmew(clip, expected, layout=None, **more):
  return Quirk('mmew', (clip,), expected, layout or {}, **more)


_FIRST = {'clip_id': 'sub01/EP02_01f', 'apex': 14, 'notes': ''}
_RAW = {'file': 'img{number}.jpg'}

CASME2 = {
  # Layouts.
  'cropped, doubled': _casme2(
    Clip('01', 'EP02_01f'), _FIRST,
    {'folder': 'Cropped/Cropped/{subject_folder}/{name}'},
  ),
  'raw, selected': _casme2(
    Clip('01', 'EP02_01f'), _FIRST,
    _RAW | {'folder': 'CASME2_RAW_selected/{subject_folder}/{name}'},
  ),
  'raw, doubled, whole clip from 1': _casme2(
    Clip('01', 'EP02_01f', frames=(1, 30)),
    _FIRST | {'frame_numbers': list(range(10, 20))},
    _RAW | {'folder': 'CASME2_RAW/CASME2-RAW/{subject_folder}/{name}'},
  ),
  'numbers without padding, 9 before 10': _casme2(
    Clip('01', 'EP02_01f', 8, 9, 12),
    {'frame_numbers': [8, 9, 10, 11, 12], 'apex': 9},
  ),
  # The spreadsheet.
  **{
    f'version {name}': _casme2(Clip('01', 'EP02_01f'), _FIRST, {'sheet': name})
    for name in (
      'CASME2-coding-20190701.xlsx', 'CASME2-coding-updated.xlsx',
      'CASME2-coding.xlsx', 'mine.xlsx',
    )
  },
  'subject a number': _casme2(Clip(1, 'EP02_01f'), _FIRST),
  'frames as texts and floats': _casme2(
    Clip('01', 'EP02_01f', '10', 14.0, ' 19.0 '), _FIRST
  ),
  'action units a number': _casme2(
    Clip('01', 'EP02_01f', units=12),
    {'action_units': '12', 'au_unit': [12], 'au_side': ['']},
  ),
  'action units a float': _casme2(
    Clip('01', 'EP02_01f', units=12.0), {'action_units': '12', 'au_unit': [12]}
  ),
  'action units with a side': _casme2(
    Clip('01', 'EP02_01f', units='4+7+L10'),
    {'au_unit': [4, 7, 10], 'au_side': ['', '', 'L']},
  ),
  **{
    f'clip name {name}': _casme2(
      Clip('01', name), {'clip_id': f'sub01/{name}', 'apex': 14}
    )
    for name in ('EP09f', 'EP06_02_01', 'EP01_2')
  },
  'plural of other': _casme2(
    Clip('01', 'EP02_01f', emotion='other'),
    {'class': 'others'}, protocol='casme2_5class',
  ),
  'a row twice, 256 in all': Quirk(
    'casme2', (Clip('01', 'EP02_01f', subject_folder='sub01'),), _FIRST,
    rows=(Clip('01', 'EP02_01f'), Clip(1, 'EP02_01f ')),
  ),
  # Key frames.
  'apex /': _casme2(
    Clip('04', 'EP12_01f', 261, '/', 321, frames=(261, 321), moves_at=290),
    {'apex': 290, 'apex_source': 'spotted', 'notes': '303, 279'},
  ),
  'apex / filled in': _casme2(
    Clip('04', 'EP12_01f', 261, 279, 321, frames=(261, 321), moves_at=290),
    {'apex': 279, 'apex_source': 'annotated', 'notes': ''},
  ),
  'apex at the onset': _casme2(
    Clip('05', 'EP09_05f', apex=10),
    {'apex': 10, 'apex_source': 'annotated', 'notes': '10 is the onset'},
  ),
  **{
    f'apex at the offset, {subject}/{name}': _casme2(
      Clip(subject, name, apex=19),
      {'apex': 19, 'apex_source': 'annotated', 'notes': '19 is the offset'},
    )
    for subject, name in (
      ('05', 'EP16_04f'), ('12', 'EP09_06'), ('20', 'EP16_01'),
      ('25', 'EP18_04f'),
    )
  },
  'offset 110 where frames end at 96': _casme2(
    Clip(16, 'EP01_08', 40, 65, 110, frames=(40, 96)),
    {'offset': 96, 'apex': 65, 'notes': 'offset 110 is not on disk'},
  ),
  'offset 96 in the other version': _casme2(
    Clip(16, 'EP01_08', 40, 65, 96, frames=(40, 110)),
    {'offset': 96, 'apex': 65, 'notes': ''},
  ),
}  # fmt: skip

_006 = Clip('006', '006_1_2', emotion='Anger')


def _units(text, *expected):
  unit, side, intensity = map(list, zip(*expected)) if expected else ([],) * 3
  return _samm(
    dataclasses.replace(_006, units=text),
    {
      'action_units': text,
      'au_unit': unit,
      'au_side': side,
      'au_intensity': intensity,
    },
  )


SAMM = {
  'header in row 14, duration a formula': _samm(
    _006, {'clip_id': '006/006_1_2', 'subject': '006', 'apex': 14}
  ),
  'header in row 1 of a trimmed copy': _samm(
    _006, {'apex': 14},
    {'header_row': 1, 'title': 'Sheet1', 'sheet': 'trimmed.xlsx'},
  ),
  'dated file name': _samm(
    _006, {'apex': 14}, {'sheet': 'SAMM_20181215_Micro_FACS_Codes_v2.xlsx'}
  ),
  'numbers padded to four': _samm(
    Clip('009', '009_2_1', 120, 123, 130, 'Anger', frames=(118, 132)),
    {'apex': 123, 'frame_numbers': list(range(120, 131))},
    {'file': '{subject_folder}_{number:04d}.jpg'},
  ),
  **{
    f'folder {name}': _samm(
      _006, {'apex': 14}, {'folder': name + '/{subject_folder}/{name}'}
    )
    for name in ('SAMM_CROP', 'SAMM_cropped')
  },
  'subject a number': _samm(
    dataclasses.replace(_006, subject=6, subject_folder='006'),
    {'subject': '006', 'clip_id': '006/006_1_2'},
  ),
  **{
    f'label {label!r}': _samm(
      dataclasses.replace(_006, emotion=label),
      {'class': 'other', 'emotion': label.strip()},
      protocol='samm_5class',
    )
    for label in ('Other', 'Others', 'other ')
  },
  'apex after the offset': _samm(
    Clip('028', '028_4_1', 1071, 1143, 1134, 'Anger', frames=(1071, 1134),
         moves_at=1090),
    {'apex': 1090, 'apex_source': 'spotted', 'notes': 'after the offset 1134'},
  ),
  'apex with a slip of one digit': _samm(
    Clip('032', '032_3_1', 4896, 1930, 4970, 'Anger', frames=(4896, 4970)),
    {'apex': 4930, 'apex_source': 'repaired', 'notes': 'slip of one digit'},
  ),
  'apex outside a clip that is on no list': _samm(
    dataclasses.replace(_006, apex=1930),
    {'apex': 13, 'apex_source': 'spotted', 'notes': '1930, outside the clip'},
  ),
  'units with or': _units(
    '(R6 or R12)+R15', (6, 'R', ''), (12, 'R', ''), (15, 'R', '')
  ),
  'units with ref': _units('ref(7B)+43', (7, '', 'B'), (43, '', '')),
  'units in doubt': _units('10A/B', (10, '', 'A/B')),
  'units of the top': _units('T23', (23, 'T', '')),
  'no units': _units('+soft focus'),
}  # fmt: skip

_S03 = Clip('S03', 'S03-01-002', 1, 4, 9, frames=(1, 15))
_TOP = 'MMEW_Final/Micro_Expression'

MMEW = {
  'emotion above the clip': _mmew(
    _S03, {'clip_id': 'S03/S03-01-002', 'apex': 4, 'offset': 9}
  ),
  'subject above the emotion': _mmew(
    _S03, {'apex': 4}, {'folder': '{subject_folder}/{emotion_folder}/{name}'}
  ),
  **{
    f'others in {folder}': _mmew(
      Clip('S01', 'S01-07-001', 1, 4, 9, 'others', frames=(1, 15),
           emotion_folder=folder),
      {'class': 'others', 'emotion': 'others'}, protocol='mmew_4class',
    )
    for folder in ('others', 'repression', 'neutral')
  },
  'second version of the sheet': _mmew(
    _S03, {'apex': 4}, {'sheet': 'MMEW_Micro_Exp_v2.xlsx'}
  ),
  'blanks around name and emotion': _mmew(
    dataclasses.replace(_S03, name=' S03-01-002 ', emotion=' happiness '),
    {'clip_id': 'S03/S03-01-002', 'emotion': 'happiness'},
  ),
  'apex 19 after offset 15': _mmew(
    Clip('S04', 'S04-04-002', 1, 19, 15, 'disgust', frames=(1, 25),
         moves_at=8),
    {'apex': 8, 'offset': 15, 'apex_source': 'spotted',
     'notes': 'apex 19 lies after the offset 15'},
  ),
  'apex 18 after offset 17': _mmew(
    Clip('S21', 'S21-04-003', 1, 18, 17, 'disgust', frames=(1, 20),
         moves_at=9),
    {'apex': 9, 'offset': 17, 'apex_source': 'spotted',
     'notes': 'apex 18 lies after the offset 17'},
  ),
  'frames after the offset': _mmew(
    Clip('S13', 'S13-01-001', 1, 4, 9, frames=(1, 60)),
    {'frame_numbers': list(range(1, 10)), 'notes': ''},
  ),
}  # fmt: skip

_S1 = Clip('s1', 's1_ne_01', emotion='negative', frames=(1, 12), moves_at=7)
_HS = 'SMIC_all_cropped/HS/{subject_folder}/micro/{emotion_folder}/{name}'


def _beside(clip, folder):
  """The clip, and another of its name in a folder that must not be read."""
  other = dataclasses.replace(clip, frames=(1, 30), emotion='surprise')
  return lambda root: raw_trees.write_tree(
    root, 'smic', [other], folder=_HS.replace('HS', folder)
  )


SMIC = {
  'no sheet, no apex': Quirk(
    'smic', (_S1,),
    {
      'clip_id': 's01/s1_ne_01', 'subject': 's01', 'emotion': 'negative',
      'frame_numbers': list(range(1, 13)), 'apex': 7, 'offset': 12,
      'apex_source': 'spotted', 'notes': '', 'au_unit': [],
    },
  ),
  'raw': Quirk(
    'smic', (_S1,), {'clip_id': 's01/s1_ne_01', 'apex': 7},
    {'folder': _HS.replace('cropped', 'raw'), 'file': 'image{number}.bmp'},
  ),
  'subject padded': Quirk(
    'smic', (dataclasses.replace(_S1, subject='s01'),), {'subject': 's01'}
  ),
  **{
    f'slow camera {folder}': Quirk(
      'smic', (_S1,), {'offset': 12, 'emotion': 'negative'},
      also=_beside(_S1, folder),
    )
    for folder in ('VIS', 'NIR')
  },
  'frames without an expression': Quirk(
    'smic', (_S1,), {'offset': 12, 'emotion': 'negative'},
    also=_beside(_S1, 'HS/non_micro'),
  ),
}  # fmt: skip

_SP1 = Clip('spNO.1', 'a', 166, 170, 180, 'disgust', frames=(150, 400),
            moves_at=172)  # fmt: skip

CASME3 = {
  'subject with a point, frames below the camera': Quirk(
    'casme3', (_SP1,),
    {
      'clip_id': 'spNO.1/a/166', 'subject': 'spNO.1', 'apex': 170,
      'frame_numbers': list(range(166, 181)), 'emotion': 'disgust',
    },
  ),
  'apex at the onset': Quirk(
    'casme3', (dataclasses.replace(_SP1, apex=166),),
    {'apex': 166, 'notes': '166 is the onset'},
  ),
  'several clips of a video': Quirk(
    'casme3', (_SP1,), {'clip_id': 'spNO.1/a/300', 'apex': 310}, clips_there=2,
    rows=(_SP1, dataclasses.replace(_SP1, onset=300, apex=310, offset=330)),
  ),
  'depth beside color': Quirk(
    'casme3', (_SP1,), {'apex': 170},
    also=lambda root: raw_trees.write_tree(
      root, 'casme3', [_SP1], file='{number}.png',
      folder='{subject_folder}/{name}/depth',
    ),
  ),
}  # fmt: skip

_TABLE = {
  f'{quirk.dataset}: {name}': quirk
  for table in (CASME2, SAMM, MMEW, SMIC, CASME3)
  for name, quirk in table.items()
}


@pytest.mark.parametrize('name', _TABLE)
def test_quirk(tmp_path, name):
  quirk = _TABLE[name]
  root = raw_trees.write_tree(
    tmp_path, quirk.dataset, quirk.clips, quirk.rows, **quirk.layout
  )
  quirk.also(root)
  builder_cls = prepare.builder_class(quirk.dataset, '')
  checked = raw_folder.check(builder_cls.FACTS.guide, builder_cls.find(root))
  assert len(checked.records) == quirk.clips_there
  record = dict(checked.records[-1])
  for key_frame in ('apex', 'offset'):
    record[key_frame] = record['frame_numbers'][record[key_frame]]
  if quirk.protocol:
    protocol = protocols.get(quirk.protocol)
    class_ = protocol.class_of(record['clip_id'], record['emotion'])
    record['class'] = protocol.classes[class_]
  notes = quirk.expected.get('notes')
  if notes:
    assert notes in record['notes']
    record['notes'] = notes
  assert {key: record[key] for key in quirk.expected} == quirk.expected
