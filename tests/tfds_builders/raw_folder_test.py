"""Messages about folders and clips that cannot be used."""

import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import prepare, registry


def _prepare(root, cache, **kwargs):
  return prepare.prepare('casme2', root, cache, **kwargs)


def _ids(prepared):
  return [record['clip_id'].decode() for record in prepared.source]


# Bad clips.


def _bad_tree(root):
  """Of five clips one has an empty, one a damaged frame, one no folder."""
  names = ['EP01', 'EP02', 'EP03', 'EP04', 'EP05']
  raw_trees.casme2(root, [raw_trees.casme2_row(1, name) for name in names])
  folder = root / 'Cropped/Cropped/sub01'
  (folder / 'EP01' / 'reg_img12.jpg').write_bytes(b'')
  (folder / 'EP02' / 'reg_img13.jpg').write_bytes(b'\xff\xd8 no image')
  (folder / 'EP04').rename(folder / 'EP44')
  return root


def test_bad_clips_are_named_and_counted(tmp_path):
  root = _bad_tree(tmp_path / 'raw')
  with pytest.raises(errors.UserError) as info:
    _prepare(root, tmp_path / 'cache')
  text = str(info.value)
  folder = 'Cropped/Cropped/sub01'
  assert '3 of 5 clips cannot be used' in text
  assert str(root) in text
  assert f'sub01/EP01: {folder}/EP01/reg_img12.jpg is empty (0 bytes)' in text
  assert f'sub01/EP02: {folder}/EP02/reg_img13.jpg is ' in text
  assert 'sub01/EP04: no folder of this name with images' in text
  assert '--config.data.skip_bad_clips=true' in text
  (left,) = (tmp_path / 'cache' / 'casme2').iterdir()
  assert left.suffix == '.lock'


def test_bad_clips_left_out_are_remembered(tmp_path):
  root = _bad_tree(tmp_path / 'raw')
  first = _prepare(root, tmp_path / 'cache', skip_bad_clips=True)
  second = _prepare(root, tmp_path / 'cache', skip_bad_clips=True)
  assert (first.from_cache, second.from_cache) == (False, True)
  assert _ids(second) == ['sub01/EP03', 'sub01/EP05']
  assert [i for i, _ in first.left_out] == [f'sub01/EP0{i}' for i in (1, 2, 4)]
  assert second.left_out == first.left_out


def test_many_bad_clips_fit_on_a_screen(tmp_path):
  rows = [raw_trees.casme2_row(i, 'EP01') for i in range(1, 31)]
  root = raw_trees.casme2(tmp_path / 'raw', rows)
  for path in list(root.rglob('reg_img14.jpg'))[:29]:
    path.write_bytes(b'')
  with pytest.raises(errors.UserError, match='29 of 30 clips') as info:
    _prepare(root, tmp_path / 'cache')
  assert len(str(info.value).splitlines()) < 20
  assert 'and 21 more' in str(info.value)


def test_no_good_clip_is_an_error_even_when_skipping(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw', [raw_trees.casme2_row(1, 'EP01')])
  next(root.rglob('reg_img12.jpg')).write_bytes(b'')
  with pytest.raises(errors.UserError, match='1 of 1 clips cannot be used'):
    _prepare(root, tmp_path / 'cache', skip_bad_clips=True)


# Wrong folders.


def _check_guidance(error, root):
  text = str(error)
  assert 'Chinese Academy of Sciences' in text
  assert 'Cropped/sub01/EP02_01f/reg_img46.jpg' in text
  assert f'Looked in: {root}' in text
  assert '--config.data.manual_dir=' in text
  assert len(text.splitlines()) < 20


@pytest.mark.parametrize(
  ('kind', 'problem', 'there'),
  [
    ('missing', 'the folder does not exist', 'nothing'),
    ('file', 'this is a file, not a folder', 'nothing'),
    ('empty', 'the folder is empty', 'nothing'),
    ('empty_folders', 'the folder is empty', 'Cropped/'),
    ('no_sheet', 'no spreadsheet', 'Cropped/; 45 images in all'),
    ('other_sheet', 'no table of clips', 'b.xlsx; 45 images in all'),
    ('no_match', 'none of the 1 clips', 'Cropped/'),
  ],
)
def test_wrong_folder(tmp_path, kind, problem, there):
  root = tmp_path / 'raw'
  if kind == 'file':
    root.write_text('')
  elif kind != 'missing':
    root.mkdir()
  if kind == 'empty_folders':
    (root / 'Cropped').mkdir()
  if kind in ('no_sheet', 'other_sheet', 'no_match'):
    raw_trees.casme2(root)
    (root / 'CASME2-coding-20140508.xlsx').unlink()
  if kind == 'other_sheet':
    raw_trees.write_sheet(root / 'b.xlsx', [], ['name', 'age'])
  if kind == 'no_match':
    raw_trees.write_sheet(root / 'b.xlsx', [raw_trees.casme2_row(9, 'EP01')])
  with pytest.raises(errors.UserError) as info:
    _prepare(root, tmp_path / 'cache')
  assert problem in str(info.value)
  assert there in str(info.value).split('Found there: ')[1].splitlines()[0]
  _check_guidance(info.value, root)


@pytest.mark.parametrize('dataset', registry.names())
def test_no_folder_given(tmp_path, dataset):
  with pytest.raises(errors.UserError) as info:
    prepare.prepare(dataset, '', tmp_path)
  assert 'no folder with the raw data was given' in str(info.value)
  assert 'Expected layout' in str(info.value)
  assert '--config.data.manual_dir=' in str(info.value)


def test_relative_folder_is_shown_absolute(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(errors.UserError) as info:
    _prepare('nowhere', tmp_path / 'cache')
  _check_guidance(info.value, tmp_path / 'nowhere')
