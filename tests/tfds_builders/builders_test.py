"""Special rules of data sets, and conventions of TFDS."""

import pathlib

import pytest
import tensorflow_datasets as tfds

from tests.support import raw_trees
from tfds_builders import clip_finder, raw_folder, registry
from tfds_builders.casme2 import casme2_dataset_builder as casme2
from tfds_builders.casme2 import facts as casme2_facts
from tfds_builders.mmew import facts as mmew
from tfds_builders.samm import facts as samm

_SAMM_HEADER = (
  'Subject', 'Filename', 'Inducement Code', 'Onset Frame', 'Apex Frame',
  'Offset Frame', 'Duration', 'Micro', 'Action Units', 'Estimated Emotion',
  'Objective Classes', 'Notes',
)  # fmt: skip
_MMEW_HEADER = (
  'Subject', 'Filename', 'OnsetFrame', 'ApexFrame', 'OffsetFrame',
  'Action Units', 'Estimated Emotion', 'remarks',
)  # fmt: skip


def _samm_row(subject, clip, onset, apex, offset, emotion='Anger'):
  return (
    subject, clip, 1, onset, apex, offset, '=F15-D15', 'Micro',
    '(R6 or R12)+R15', emotion, 'Class I', None,
  )  # fmt: skip


def _read(data_set, root, variant=''):
  """Records by clip id, and the notes."""
  found = clip_finder.find(data_set, root, variant)
  checked = raw_folder.check(data_set.guide, found)
  return {record['clip_id']: record for record in checked.records}, found.notes


def test_casme2_apex_that_copies_fill_in_differently(tmp_path):
  def read(root, apex):
    row = raw_trees.casme2_row('04', 'EP12_01f', 261, apex, 321)
    raw_trees.write_sheet(root / 'CASME2-coding-20140508.xlsx', [row])
    raw_trees.write_clip(
      root / 'Cropped/sub04/EP12_01f', range(261, 322), apex=290
    )
    return _read(casme2_facts.DATA_SET, root)[0]['sub04/EP12_01f']

  record = read(tmp_path / 'a', '/')
  assert record['apex_source'] == 'spotted'
  assert record['apex'] == 290 - 261
  assert '303, 279' in record['notes']
  record = read(tmp_path / 'b', 303)
  assert (record['apex_source'], record['apex']) == ('annotated', 303 - 261)
  assert record['notes'] == ''


def test_samm_layout_and_repairs(tmp_path):
  rows = [
    _samm_row('006', '006_1_2', 5562, 5564, 5570, 'Other '),
    _samm_row('028', '028_4_1', 1071, 1143, 1134),
    _samm_row('032', '032_3_1', 4896, 1930, 4970),
    _samm_row('9', '009_2_1', 120, 123, 130),
  ]
  raw_trees.write_sheet(
    tmp_path / 'SAMM_Micro_FACS_Codes_v2.xlsx', rows, _SAMM_HEADER, 14
  )
  for subject, clip, _, onset, _, offset, *_ in rows:
    subject = f'{int(subject):03d}'
    numbers, pattern = range(onset, offset + 1), subject + '_{:05d}.jpg'
    if subject == '009':
      pattern = subject + '_{:04d}.jpg'
    raw_trees.write_clip(
      tmp_path / 'SAMM' / subject / clip, numbers, pattern, apex=onset + 7
    )
  records, notes = _read(samm.DATA_SET, tmp_path)
  assert 'variant raw' in notes
  first = records['006/006_1_2']
  assert first['emotion'] == 'Other'
  assert first['action_units'] == '(R6 or R12)+R15'
  assert pathlib.Path(first['frames'][0]).name == '006_05562.jpg'
  assert records['009/009_2_1']['frame_numbers'][0] == 120

  spotted = records['028/028_4_1']
  assert (spotted['apex_source'], spotted['apex']) == ('spotted', 7)
  assert '1143 lies after the offset 1134' in spotted['notes']
  typo = records['032/032_3_1']
  assert (typo['apex_source'], typo['apex']) == ('repaired', 4930 - 4896)
  assert typo['notes'].startswith('apex 1930 (a slip of one digit')
  assert typo['notes'].endswith('repaired to 4930')


@pytest.mark.parametrize('others', ['others', 'repression', 'neutral'])
def test_mmew_both_layouts(tmp_path, others):
  rows = [
    ('S01', ' S01-07-001 ', 1, 4, 9, '4', ' others '),
    (3, 'S03-01-002', 1, 4, 9, 'AU12', 'happiness'),
    ('S04', 'S04-04-002', 1, 19, 15, '4', 'disgust'),
  ]
  raw_trees.write_sheet(tmp_path / 'MMEW_Micro_Exp.xlsx', rows, _MMEW_HEADER)
  micro = tmp_path / 'MMEW_Final' / 'Micro_Expression'
  raw_trees.write_clip(micro / others / 'S01-07-001', range(1, 10), '{}.jpg')
  raw_trees.write_clip(
    micro / 'S03' / 'happiness' / 'S03-01-002', range(1, 12), '{}.jpg'
  )
  raw_trees.write_clip(
    micro / 'disgust' / 'S04-04-002', range(1, 21), '{}.jpg', apex=8
  )
  # Never to be taken for the micro-expression of the same name.
  raw_trees.write_clip(
    tmp_path / 'Macro_Expression' / 'S01-07-001', range(1, 10), '{}.jpg'
  )
  records, _ = _read(mmew.DATA_SET, tmp_path)
  assert records['S01/S01-07-001']['emotion'] == 'others'
  assert records['S01/S01-07-001']['frames'][0].startswith(str(micro))
  assert records['S03/S03-01-002']['frame_numbers'] == list(range(1, 10))
  assert records['S03/S03-01-002']['frames_per_second'] == 90.0
  spotted = records['S04/S04-04-002']
  assert spotted['frame_numbers'] == list(range(1, 16))
  assert (spotted['apex_source'], spotted['apex']) == ('spotted', 7)


@pytest.mark.parametrize('name', registry.names())
def test_builder_follows_tfds_conventions(name, tmp_path):
  builder_cls = registry.builder(name)
  builder = builder_cls(data_dir=tmp_path)
  assert builder.name == name
  assert builder.info.citation.startswith('@')
  assert str(builder.version) in builder_cls.RELEASE_NOTES
  assert 'layout' in builder_cls.MANUAL_DOWNLOAD_INSTRUCTIONS
  metadata = builder_cls.get_metadata()
  assert metadata.description
  assert 'ml.task.image-classification' in metadata.tags


def test_builder_works_by_tfds_alone(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw')
  tfds.disable_progress_bar()
  builder = casme2.Builder(data_dir=tmp_path / 'data', config='cropped')
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=root),
    file_format='array_record',
  )
  source = builder.as_data_source(split='train')
  assert len(source) == 3
  assert source[1]['clip_id'] == b'sub01/EP03_02'
  assert source[1]['frames'][0].shape == (24, 32, 3)
