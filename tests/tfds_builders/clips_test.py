"""Tests of finding and reading clips, on the layout of CASME II."""

import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import clip_finder, clips, raw_folder
from tfds_builders.casme2 import facts as casme2


def _read(data_set, root, variant=''):
  """Records by clip id, and the notes."""
  found = clip_finder.find(data_set, root, variant)
  checked = raw_folder.check(data_set.guide, found)
  return {record['clip_id']: record for record in checked.records}, found.notes


def _bad_clips(data_set, root):
  found = clip_finder.find(data_set, root)
  checked = raw_folder.check(data_set.guide, found, skip_bad_clips=True)
  return dict(checked.left_out), [r['clip_id'] for r in checked.records]


def _one_clip(root, row, numbers, apex=14, skip=()):
  """The record of a tree of CASME II with a single clip."""
  raw_trees.write_sheet(root / 'CASME2-coding-20140508.xlsx', [row])
  folder = root / 'Cropped' / 'sub01' / 'EP01'
  kept = [number for number in numbers if number not in skip]
  raw_trees.write_clip(folder, kept, apex=apex)
  records, _ = _read(casme2.DATA_SET, root)
  return records['sub01/EP01']


def test_casme2_record(tmp_path):
  records, notes = _read(casme2.DATA_SET, raw_trees.casme2(tmp_path))
  assert list(records) == ['sub01/EP02_01f', 'sub01/EP03_02', 'sub02/EP02_01f']
  record = records['sub01/EP03_02']
  folder = tmp_path / 'Cropped/Cropped/sub01/EP03_02'
  assert record == {
    'clip_id': 'sub01/EP03_02',
    'subject': 'sub01',
    'dataset': 'casme2',
    'emotion': 'disgust',
    'action_units': '4+7+L10',
    'au_unit': [4, 7, 10],
    'au_side': ['', '', 'L'],
    'au_intensity': ['', '', ''],
    'frames_per_second': 200.0,
    'frames': [str(folder / f'reg_img{n}.jpg') for n in range(10, 20)],
    'frame_numbers': list(range(10, 20)),
    'onset': 0,
    'apex': 4,
    'offset': 9,
    'apex_source': 'annotated',
    'notes': '',
  }
  assert notes == [
    'annotations from CASME2-coding-20140508.xlsx',
    'variant cropped',
  ]


@pytest.mark.parametrize(
  ('folder', 'name', 'variant'),
  [
    ('Cropped', 'reg_img{}.jpg', 'cropped'),
    ('Cropped/Cropped', 'reg_img{}.jpg', 'cropped'),
    ('CASME2_RAW_selected', 'img{}.jpg', 'raw_selected'),
    ('CASME2_RAW/CASME2-RAW', 'img{}.jpg', 'raw'),
  ],
)
def test_casme2_variants_by_path(tmp_path, folder, name, variant):
  root = raw_trees.casme2(tmp_path, frames_folder=folder, name=name)
  assert len(_read(casme2.DATA_SET, root, variant)[0]) == 3
  other = {'cropped': 'raw', 'raw': 'raw_selected', 'raw_selected': 'cropped'}
  with pytest.raises(errors.UserError, match=f'only of: {variant}'):
    _read(casme2.DATA_SET, root, other[variant])


def test_casme2_variants_side_by_side(tmp_path):
  raw_trees.casme2(tmp_path, frames_folder='Cropped')
  raw_trees.casme2(tmp_path, frames_folder='CASME2-RAW', name='img{}.jpg')
  for variant, folder in (('raw', 'CASME2-RAW'), ('', 'Cropped')):
    records, notes = _read(casme2.DATA_SET, tmp_path, variant)
    paths = [path for record in records.values() for path in record['frames']]
    assert all(f'/{folder}/' in path for path in paths)
  assert notes[1] == "variant cropped (also there: 'raw')"


def test_folders_of_unknown_variant_are_used_for_any(tmp_path):
  root = raw_trees.casme2(tmp_path / 'mine', frames_folder='faces')
  assert len(_read(casme2.DATA_SET, root, 'raw')[0]) == 3
  assert len(_read(casme2.DATA_SET, root)[0]) == 3


def test_same_clip_name_of_two_subjects_is_not_mixed_up(tmp_path):
  records, _ = _read(casme2.DATA_SET, raw_trees.casme2(tmp_path))
  for record in records.values():
    assert all(f'/{record["subject"]}/' in path for path in record['frames'])


def test_clip_copied_twice_is_noted(tmp_path):
  raw_trees.casme2(tmp_path, frames_folder='Cropped')
  raw_trees.casme2(tmp_path, frames_folder='Cropped/Cropped')
  records, notes = _read(casme2.DATA_SET, tmp_path)
  assert len(records) == 3
  assert (
    'sub01/EP02_01f: 2 folders, the one read is Cropped/sub01/EP02_01f' in notes
  )


def test_two_spreadsheets_the_commonest_is_read(tmp_path):
  raw_trees.casme2(tmp_path)
  raw_trees.write_sheet(
    tmp_path / 'CASME2-coding-20190701.xlsx', [raw_trees.casme2_row(9, 'EP01')]
  )
  raw_trees.write_sheet(tmp_path / '~$CASME2-coding-20140508.xlsx', [])
  _, notes = _read(casme2.DATA_SET, tmp_path)
  assert notes[0] == (
    'annotations from CASME2-coding-20140508.xlsx, '
    'not from CASME2-coding-20190701.xlsx'
  )


def test_equal_rows_are_noted_and_different_ones_are_bad(tmp_path):
  row = raw_trees.casme2_row('01', 'EP01')
  other = raw_trees.casme2_row(1, 'EP01', apex=15)
  raw_trees.casme2(tmp_path, [row, row])
  _, notes = _read(casme2.DATA_SET, tmp_path)
  assert notes[-1] == 'sub01/EP01: row 3 repeats row 2'
  raw_trees.casme2(tmp_path, [row, other, raw_trees.casme2_row(2, 'EP01')])
  left_out, kept = _bad_clips(casme2.DATA_SET, tmp_path)
  # Nobody knows which of the two is right.
  assert left_out == {'sub01/EP01': 'annotated differently in the rows 2, 3'}
  assert kept == ['sub02/EP01']


def test_path_in_a_cell_matches_nothing(tmp_path):
  secret = tmp_path / 'secret' / 'sub01' / 'EP01'
  raw_trees.write_clip(secret, range(8, 23))
  names = ['../secret/sub01/EP01', str(secret), '../EP02', 'EP02/../EP02', '..']
  rows = [raw_trees.casme2_row(1, name) for name in names]
  root = raw_trees.casme2(tmp_path / 'root', [raw_trees.casme2_row(1, 'EP02')])
  raw_trees.write_sheet(
    root / 'CASME2-coding-20140508.xlsx',
    [*rows, raw_trees.casme2_row(1, 'EP02')],
  )
  left_out, kept = _bad_clips(casme2.DATA_SET, root)
  assert kept == ['sub01/EP02']
  assert sorted(left_out) == sorted(f'sub01/{name}' for name in names)


@pytest.mark.parametrize('apex', ['/', None, 9, 20, 300])
def test_apex_missing_or_outside_is_spotted(tmp_path, apex):
  row = raw_trees.casme2_row(1, 'EP01', apex=apex)
  record = _one_clip(tmp_path, row, range(8, 23), apex=13)
  assert record['apex_source'] == 'spotted'
  assert record['frame_numbers'][record['apex']] == 13
  was = f'{apex}, outside the clip' if isinstance(apex, int) else 'none'
  assert record['notes'] == f'apex {was}: spotted at frame 13'


def test_offset_beyond_the_frames_is_clipped(tmp_path):
  row = raw_trees.casme2_row(1, 'EP01', offset=25)
  record = _one_clip(tmp_path, row, range(8, 23))
  assert record['frame_numbers'] == list(range(10, 23))
  assert record['offset'] == 12
  assert record['notes'] == 'offset 25 is not on disk: clipped to 22'


def test_apex_beyond_the_frames_is_spotted(tmp_path):
  row = raw_trees.casme2_row(1, 'EP01', apex=24, offset=25)
  record = _one_clip(tmp_path, row, range(8, 23), apex=16)
  assert record['frame_numbers'][record['apex']] == 16
  assert 'apex 24, outside the clip: spotted at frame 16' in record['notes']


def test_missing_frames_are_counted_and_key_frames_still_correct(tmp_path):
  row = raw_trees.casme2_row(1, 'EP01')
  record = _one_clip(tmp_path, row, range(8, 23), skip={10, 13, 16})
  assert record['frame_numbers'] == [11, 12, 14, 15, 17, 18, 19]
  assert record['apex'] == 2
  assert record['notes'] == (
    'onset 10 is not on disk: moved to 11; 2 frames missing inside the clip: '
    'skipped'
  )


def test_missing_apex_frame_moves_to_the_nearest(tmp_path):
  row = raw_trees.casme2_row(1, 'EP01')
  record = _one_clip(tmp_path, row, range(8, 23), skip={14, 13})
  assert record['frame_numbers'][record['apex']] == 15
  assert record['apex_source'] == 'repaired'
  assert 'apex 14 is not on disk: moved to frame 15' in record['notes']


def test_surplus_images_are_noted(tmp_path):
  folder = tmp_path / 'Cropped' / 'sub01' / 'EP01'
  raw_trees.write_clip(folder, [11], 'zz_copy{}.jpg')
  (folder / 'cover.jpg').touch()
  row = raw_trees.casme2_row(1, 'EP01')
  record = _one_clip(tmp_path, row, range(8, 23))
  assert record['frame_numbers'] == list(range(10, 20))
  assert record['frames'][1].endswith('/img11.jpg')
  assert record['notes'] == (
    '2 images skipped, not named like the frames: cover.jpg, zz_copy11.jpg'
  )


@pytest.mark.parametrize(
  ('onset', 'offset', 'reason'),
  [
    (18, 60, 'has 5 of the annotated frames 18 to 60 (there: 8 to 22)'),
    (100, 120, 'has 0 of the annotated frames 100 to 120'),
    (19, 10, 'row 2 annotates frames 19 to 10, which is not a clip'),
  ],
)
def test_clip_of_other_frames_is_bad(tmp_path, onset, offset, reason):
  row = raw_trees.casme2_row(1, 'EP01', onset=onset, offset=offset)
  with pytest.raises(errors.UserError) as info:
    _one_clip(tmp_path, row, range(8, 23))
  assert reason in str(info.value)


def test_a_clip_of_endless_frames_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(clips, '_MOST_FRAMES', 12)
  both = [
    raw_trees.Clip('01', 'EP01', 10, 14, 21, frames=(10, 21)),
    raw_trees.Clip('01', 'EP02', 10, 14, 22, frames=(10, 22)),
  ]
  raw_trees.write_tree(tmp_path, 'casme2', both)
  bad, good = _bad_clips(casme2.DATA_SET, tmp_path)
  assert good == ['sub01/EP01']
  assert '13 frames' in bad['sub01/EP02'] and '12 at most' in bad['sub01/EP02']
