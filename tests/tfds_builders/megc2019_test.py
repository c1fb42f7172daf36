"""Tests of the composite made of the three raw data sets."""

import dataclasses

import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import prepare, protocols, raw_folder
from tfds_builders.megc2019 import megc2019_dataset_builder as megc2019

Clip = raw_trees.Clip
_EMOTIONS = {
  'casme2': {
    'happiness': 32, 'disgust': 63, 'repression': 27, 'surprise': 28,
    'others': 99, 'sadness': 4, 'fear': 2,
  },
  'samm': {
    'Anger': 57, 'Other': 26, 'Happiness': 26, 'Surprise': 15, 'Contempt': 12,
    'Disgust': 9, 'Fear': 8, 'Sadness': 6,
  },
  'smic': {'negative': 70, 'positive': 51, 'surprise': 43},
}  # fmt: skip
# The clips that the list of the challenge does not have, by their emotion.
_NOT_LISTED = {
  'disgust': ['sub04/EP12_01f', 'sub05/EP09_05f'],
  'surprise': ['sub24/EP07_01', 'sub24/EP07_04f', 'sub24/EP10_03'],
}


def _clip(dataset, index, emotion):
  """A clip of its own, in the names of its data set."""
  subject = index % 20 + 1
  name = {
    'casme2': f'EP{index:02d}_01',
    'samm': f'{subject:03d}_1_{index}',
    'smic': f's{subject}_ne_{index:02d}',
  }[dataset]
  cell = f's{subject}' if dataset == 'smic' else f'{subject:03d}'
  folder = f'sub{subject:02d}' if dataset == 'casme2' else cell
  return Clip(cell, name, emotion=emotion, subject_folder=folder)


def _few(root, datasets=('casme2', 'samm', 'smic'), top='{}'):
  """A clip of every emotion; a folder for each data set."""
  for dataset in datasets:
    clips = [_clip(dataset, i, e) for i, e in enumerate(_EMOTIONS[dataset])]
    raw_trees.write_tree(root / top.format(dataset), dataset, clips)
  return root


def _read(root, **options):
  found = megc2019.Builder.find(root, **options)
  checked = raw_folder.check(megc2019.Builder.FACTS.guide, found)
  return checked.records, found


def test_three_sets_in_one_folder(tmp_path):
  records, found = _read(_few(tmp_path))
  described = {
    (r['dataset'], r['emotion_annotated'], r['emotion']) for r in records
  }
  samm = ('Anger', 'Contempt', 'Disgust', 'Fear', 'Sadness')
  assert described == {
    ('casme2', 'happiness', 'positive'),
    ('casme2', 'disgust', 'negative'),
    ('casme2', 'repression', 'negative'),
    ('casme2', 'surprise', 'surprise'),
    *(('samm', emotion, 'negative') for emotion in samm),
    ('samm', 'Happiness', 'positive'),
    ('samm', 'Surprise', 'surprise'),
    *(('smic', name, name) for name in ('negative', 'positive', 'surprise')),
  }
  subjects = {record['subject'] for record in records}
  # The first subject of each is someone else.
  assert {'casme2/sub01', 'samm/001', 'smic/s01'} <= subjects
  for record in records:
    assert record['clip_id'].startswith(record['subject'] + '/')
  assert [r['clip_id'] for r in records] == sorted(
    r['clip_id'] for r in records
  )
  assert len(found.annotation_files) == 2
  assert 'casme2: 4 of 7 clips are in the composite' in found.notes
  rates = {r['dataset']: r['frames_per_second'] for r in records}
  assert rates == {'casme2': 200.0, 'samm': 200.0, 'smic': 100.0}


@pytest.mark.parametrize('top', ['all of {}', '.', 'x/y/{}'])
def test_sets_are_recognised_by_content_not_by_folder(tmp_path, top):
  assert len(_read(_few(tmp_path, top=top))[0]) == 14


def test_sheets_are_recognised_by_content_not_by_name(tmp_path):
  """SAMM's sheet must not be taken for that of CASME II, or the reverse."""
  for dataset, name in (('casme2', 'samm_copy'), ('samm', 'casme2-coding')):
    clips = [_clip(dataset, i, e) for i, e in enumerate(_EMOTIONS[dataset])]
    folder = tmp_path / dataset
    raw_trees.write_tree(folder, dataset, clips, sheet=f'{name}.xlsx')
  records, found = _read(tmp_path)
  assert len(records) == 11
  assert any(note.startswith('absent: SMIC-HS') for note in found.notes)


@pytest.mark.parametrize('there', [('casme2',), ('samm', 'smic'), ('smic',)])
def test_absent_sets_are_named(tmp_path, there):
  records, found = _read(_few(tmp_path, there))
  assert {record['dataset'] for record in records} == set(there)
  absent = [note for note in found.notes if note.startswith('absent')]
  assert len(absent) == 3 - len(there)


def test_a_folder_without_any_of_the_sets(tmp_path):
  raw_trees.write_clip(tmp_path / 'pictures', [1])
  with pytest.raises(errors.UserError, match='none of the three') as info:
    megc2019.Builder.find(tmp_path)
  assert 'SMIC_all_cropped/HS/' in str(info.value)


def test_unknown_emotion_is_a_bad_clip(tmp_path):
  clips = [_clip('samm', 1, 'Anger'), _clip('samm', 2, 'Angre')]
  raw_trees.write_tree(tmp_path, 'samm', clips)
  with pytest.raises(
    errors.UserError, match="'Angre' is not one of those of samm: "
  ):
    _read(tmp_path)


def test_a_contradiction_is_not_left_out_by_its_first_row(tmp_path):
  clip = _clip('samm', 1, 'Other')
  rows = [clip, dataclasses.replace(clip, emotion='Anger')]
  raw_trees.write_tree(tmp_path, 'samm', [clip], rows)
  with pytest.raises(errors.UserError, match='annotated differently'):
    _read(tmp_path)


def test_a_damaged_sheet_of_one_set_is_not_taken_for_its_absence(tmp_path):
  _few(tmp_path)
  (tmp_path / 'samm' / 'SAMM_Micro_FACS_Codes_v2.xlsx').write_bytes(b'PK')
  with pytest.raises(errors.UserError, match='SAMM_Micro_FACS_Codes_v2.xlsx'):
    _read(tmp_path)


def test_a_bad_cell_of_one_set_is_not_taken_for_its_absence(tmp_path):
  _few(tmp_path, ('smic',))
  bad = dataclasses.replace(_clip('samm', 1, 'Anger'), onset='x')
  raw_trees.write_tree(tmp_path / 'samm', 'samm', [bad])
  with pytest.raises(errors.UserError, match="column 'onset': found 'x'"):
    _read(tmp_path)


def test_policy_reaches_the_parts(tmp_path):
  clip = dataclasses.replace(_clip('samm', 1, 'Anger'), apex=10)
  raw_trees.write_tree(tmp_path, 'samm', [clip])
  apexes = {
    policy: _read(tmp_path, policy=policy)[0][0]['apex']
    for policy in ('repair', 'spot')
  }
  assert apexes == {'repair': 0, 'spot': 3}


def test_complete_sets_give_the_published_counts(tmp_path):
  """Sheets with the published numbers of clips; frames are not needed."""
  not_listed = {emotion: list(ids) for emotion, ids in _NOT_LISTED.items()}
  for dataset, emotions in _EMOTIONS.items():
    names = [name for name, n in emotions.items() for _ in range(n)]
    clips = []
    for index, emotion in enumerate(names):
      clip = _clip(dataset, index, emotion)
      if dataset == 'casme2' and not_listed.get(emotion):
        subject, name = not_listed[emotion].pop().split('/')
        clip = Clip(subject[3:], name, emotion=emotion, subject_folder=subject)
      clips.append(dataclasses.replace(clip, frames=(10, 10)))
    raw_trees.write_tree(tmp_path / dataset, dataset, clips)
  found = megc2019.Builder.find(tmp_path)
  protocol = protocols.get('megc2019_3class')
  classes = megc2019.Builder.FACTS.reading.classes
  parts = [clip.clip_id.split('/')[0] for clip in found.clips]
  labels = [
    protocol.classes.index(classes[part][clip.emotion.casefold()])
    for part, clip in zip(parts, found.clips, strict=True)
  ]
  assert len(found.clips) == 442
  differences = protocol.differences(parts, ['x'] * 442, labels, ['x'] * 442)
  # The people are not those of the real sets.
  assert all(' subjects, ' in text for text in differences)


def test_records(tmp_path):
  root = _few(tmp_path / 'raw')
  prepared = prepare.prepare('megc2019', root, tmp_path / 'cache')
  assert len(prepared.source) == 14
  record = prepared.source[13]
  assert record['clip_id'] == b'smic/s03/s3_ne_02'
  assert record['emotion_annotated'] == b'surprise'
  assert len(record['frames']) == 15
  before = prepared.fingerprint
  sheet = root / 'samm' / 'SAMM_Micro_FACS_Codes_v2.xlsx'
  sheet.write_bytes(sheet.read_bytes() + b'\0')
  again = prepare.prepare('megc2019', root, tmp_path / 'cache')
  assert again.fingerprint != before
