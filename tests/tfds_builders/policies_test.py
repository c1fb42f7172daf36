"""Policies for doubtful annotations."""

import dataclasses

import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import clip_finder, clips, prepare, raw_folder
from tfds_builders.casme2 import facts as casme2

# The clip's row, the frames on disk (10 to 19 are annotated, the motion is
# greatest at 13), what the doubt is called, and the apex frame of the record
# with its source under `repair` and under `spot`; None where the clip is bad.
_DOUBTS = {
  'no apex': (
    {'apex': '/'}, range(8, 23), 'apex none', (13, 'spotted'), (13, 'spotted')
  ),
  'apex before the onset': (
    {'apex': 9}, range(8, 23), 'apex 9, outside',
    (13, 'spotted'), (13, 'spotted'),
  ),
  'apex after the offset': (
    {'apex': 20}, range(8, 23), 'apex 20, outside',
    (13, 'spotted'), (13, 'spotted'),
  ),
  'apex at the onset': (
    {'apex': 10}, range(8, 23), 'apex 10 is the onset',
    (10, 'annotated'), (13, 'spotted'),
  ),
  'apex at the offset': (
    {'apex': 19}, range(8, 23), 'apex 19 is the offset',
    (19, 'annotated'), (13, 'spotted'),
  ),
  'offset beyond the frames': (
    {}, range(8, 18), 'offset 19 is not on disk',
    (14, 'annotated'), (14, 'annotated'),
  ),
  'onset before the frames': (
    {}, range(11, 23), 'onset 10 is not on disk',
    (14, 'annotated'), (14, 'annotated'),
  ),
  'frames missing inside': (
    {}, [*range(8, 12), *range(13, 23)], '1 frames missing',
    (14, 'annotated'), (14, 'annotated'),
  ),
  'apex frame missing': (
    {}, [*range(8, 14), *range(15, 23)], 'apex 14 is not on disk',
    (13, 'repaired'), (13, 'repaired'),
  ),
  'known mistake': (
    {'apex': 11}, range(8, 23), 'apex 11 (a slip)',
    (12, 'repaired'), (12, 'repaired'),
  ),
  'known mistake, unknown apex': (
    {'apex': 17}, range(8, 23), 'apex 17 (a guess)',
    (13, 'spotted'), (13, 'spotted'),
  ),
  'offset before the onset': (
    {'offset': 5}, range(8, 23), 'which is not a clip', None, None
  ),
  'most frames missing': ({}, range(8, 13), 'has 3 of the', None, None),
  'no frames': ({}, (), 'no folder of this name', None, None),
}  # fmt: skip

_REPAIRS = {
  'known mistake': clips.Repair('apex', 11, 12, 'a slip'),
  'known mistake, unknown apex': clips.Repair('apex', 17, None, 'a guess'),
}


def _tree(root, rows, numbers):
  """A clip with a doubtful annotation and a good one."""
  good = raw_trees.casme2_row(2, 'EP01')
  sheet = root / 'CASME2-coding-20140508.xlsx'
  raw_trees.write_sheet(sheet, [*rows, good])
  folder = root / 'Cropped'
  if numbers:
    raw_trees.write_clip(folder / 'sub01' / 'EP01', numbers, apex=13)
  raw_trees.write_clip(folder / 'sub02' / 'EP01', range(8, 23), apex=13)
  return root


def _read(root, policy, repair=None):
  """Records by clip id, those dropped, and those that are an error."""
  data_set = dataclasses.replace(
    casme2.DATA_SET, repairs={('sub01', 'EP01'): repair} if repair else {}
  )
  found = clip_finder.find(data_set, root, policy=policy)
  bad = {}
  try:
    checked = raw_folder.check(casme2.DATA_SET.guide, found)
  except errors.UserError as error:
    bad = {'sub01/EP01': str(error)}
    checked = raw_folder.check(casme2.DATA_SET.guide, found, True)
  records = {record['clip_id']: record for record in checked.records}
  assert 'sub02/EP01' in records
  assert records['sub02/EP01']['notes'] == ''
  return records, {} if bad else dict(checked.left_out), bad


@pytest.mark.parametrize('policy', raw_folder.POLICIES)
@pytest.mark.parametrize('doubt', _DOUBTS)
def test_policy(tmp_path, doubt, policy):
  cells, numbers, problem, repaired, spotted = _DOUBTS[doubt]
  root = _tree(tmp_path, [raw_trees.casme2_row(1, 'EP01', **cells)], numbers)
  records, dropped, bad = _read(root, policy, _REPAIRS.get(doubt))
  if policy == 'drop':
    assert problem in dropped['sub01/EP01']
    assert not bad
  expected = {'repair': repaired, 'spot': spotted}.get(policy)
  if expected is None:
    assert 'sub01/EP01' not in records
    if policy != 'drop':
      assert problem in bad['sub01/EP01']
  else:
    record = records['sub01/EP01']
    apex_frame = record['frame_numbers'][record['apex']]
    assert (apex_frame, record['apex_source']) == expected
    assert problem in record['notes']


@pytest.mark.parametrize('policy', raw_folder.POLICIES)
def test_rows_that_contradict_each_other(tmp_path, policy):
  rows = [raw_trees.casme2_row(1, 'EP01', apex=apex) for apex in (13, 14)]
  records, dropped, bad = _read(_tree(tmp_path, rows, range(8, 23)), policy)
  assert list(records) == ['sub02/EP01']
  problems = dropped if policy == 'drop' else bad
  assert 'annotated differently in the rows 2, 3' in problems['sub01/EP01']


@pytest.mark.parametrize('policy', raw_folder.POLICIES)
@pytest.mark.parametrize('what', ['row', 'folder'])
def test_repetition_is_an_error_for_strict_alone(tmp_path, what, policy):
  rows = [raw_trees.casme2_row(1, 'EP01')] * (2 if what == 'row' else 1)
  root = _tree(tmp_path, rows, range(8, 23))
  if what == 'folder':
    copy = root / 'Cropped/Cropped/sub01/EP01'
    raw_trees.write_clip(copy, range(8, 23), apex=13)
  records, dropped, bad = _read(root, policy)
  problem = {'row': 'row 3 repeats row 2', 'folder': '2 folders'}[what]
  assert not dropped
  if policy == 'strict':
    assert problem in bad['sub01/EP01']
  else:
    assert len(records) == 2
    found = clip_finder.find(casme2.DATA_SET, root, policy=policy)
    assert any(problem in note for note in found.notes)


def test_a_broken_image_is_not_an_annotation_problem(tmp_path):
  """`drop` does not hide that a download is damaged."""
  row = raw_trees.casme2_row(1, 'EP01')
  root = _tree(tmp_path, [row], range(8, 23))
  (root / 'Cropped/sub01/EP01/img12.jpg').write_bytes(b'')
  _, dropped, bad = _read(root, 'drop')
  assert not dropped
  assert 'img12.jpg is empty' in bad['sub01/EP01']


def test_prepare_passes_the_policy_on_and_keys_the_cache_by_it(tmp_path):
  row = raw_trees.casme2_row(1, 'EP01', apex=10)
  root = _tree(tmp_path / 'raw', [row], range(8, 23))

  def run(policy):
    return prepare.prepare(
      'casme2', root, tmp_path / 'cache', annotation_policy=policy
    )

  apexes = {p: run(p).source[0]['apex'] for p in ('repair', 'spot')}
  assert apexes == {'repair': 0, 'spot': 3}
  for from_cache in (False, True):
    dropped = run('drop')
    assert (len(dropped.source), dropped.from_cache) == (1, from_cache)
    assert dropped.left_out == [
      ('sub01/EP01', 'apex 10 is the onset, a phase without motion')
    ]
  with pytest.raises(errors.UserError, match='apex 10 is the onset'):
    run('strict')


def test_default_policy_is_repair(tmp_path):
  row = raw_trees.casme2_row(1, 'EP01', apex='/')
  root = _tree(tmp_path / 'raw', [row], range(8, 23))
  prints = {
    prepare.prepare('casme2', root, tmp_path / 'cache', **options).fingerprint
    for options in ({}, {'annotation_policy': 'repair'})
  }
  assert len(prints) == 1


def test_everything_dropped_is_an_error(tmp_path):
  row = raw_trees.casme2_row(1, 'EP01', apex='/')
  root = raw_trees.casme2(tmp_path / 'raw', [row])
  with pytest.raises(errors.UserError, match='1 of 1 clips') as info:
    prepare.prepare(
      'casme2', root, tmp_path / 'cache', annotation_policy='drop'
    )
  assert 'sub01/EP01: apex none' in str(info.value)


def test_unknown_and_contradictory_options(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw')
  with pytest.raises(errors.UserError, match='repair, spot, drop, strict'):
    prepare.prepare('casme2', root, tmp_path, annotation_policy='mend')
  with pytest.raises(errors.UserError, match='annotation_policy=drop'):
    prepare.prepare(
      'casme2', root, tmp_path, annotation_policy='strict', skip_bad_clips=True
    )
