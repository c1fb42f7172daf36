"""Tests of finding and numbering frames."""

import os
import pathlib

import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import (
  annotations,
  check,
  clip_folders,
  frames,
  prepare,
  raw_folder,
)


def test_walk_follows_links_and_ends_on_cycles(tmp_path):
  elsewhere = tmp_path / 'disk'
  raw_trees.write_clip(elsewhere / 'sub01' / 'EP01', [1])
  root = tmp_path / 'root'
  root.mkdir()
  (root / 'Cropped').symlink_to(elsewhere)
  (elsewhere / 'sub01' / 'back').symlink_to(root)
  (root / 'broken').symlink_to(tmp_path / 'missing')
  folders = frames.walk(root)
  paths = [str(folder.path.relative_to(root)) for folder in folders]
  assert paths == ['.', 'Cropped', 'Cropped/sub01', 'Cropped/sub01/EP01']
  assert folders[-1].image_names == ('img1.jpg',)


def test_walk_passes_over_hidden_files_and_other_suffixes(tmp_path):
  for name in ('._img1.jpg', 'img2.JPG', 'Thumbs.db', '.hidden/img3.jpg'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
  (folder,) = frames.walk(tmp_path)
  assert folder.file_names == ('Thumbs.db', 'img2.JPG')
  assert folder.image_names == ('img2.JPG',)


def _deny(monkeypatch, *names):
  """Makes folders unreadable, also for root."""
  scandir = os.scandir

  def denying(path):
    if pathlib.Path(path).name in names:
      raise PermissionError(13, 'Permission denied', str(path))
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', denying)


def test_folder_that_cannot_be_read_is_listed_with_its_problem(
  tmp_path, monkeypatch
):
  raw_trees.write_clip(tmp_path / 'locked', [1])
  raw_trees.write_clip(tmp_path / 'open', [1])
  _deny(monkeypatch, 'locked')
  _, locked, open_ = frames.walk(tmp_path)
  assert (locked.problem, locked.file_names) == ('Permission denied', ())
  assert (open_.problem, open_.file_names) == ('', ('img1.jpg',))


def test_folder_whose_files_cannot_be_opened(tmp_path, monkeypatch):
  """Mode 444: names can be listed, and nothing else."""
  raw_trees.write_clip(tmp_path / 'listed', [1])
  access = os.access
  monkeypatch.setattr(
    os,
    'access',
    lambda path, mode: path.name != 'listed' and access(path, mode),
  )
  _, listed = frames.walk(tmp_path)
  assert 'Permission denied' in listed.problem and not listed.file_names


def test_root_that_cannot_be_read(tmp_path, monkeypatch):
  (tmp_path / 'locked').mkdir()
  _deny(monkeypatch, 'locked')
  with pytest.raises(errors.UserError, match='locked cannot be read: Perm'):
    frames.walk(tmp_path / 'locked')


@pytest.mark.parametrize(
  'name', ['lost+found', 'System Volume Information', '$RECYCLE.BIN', '@eaDir']
)
def test_folders_of_the_system_are_not_looked_at(tmp_path, monkeypatch, name):
  (tmp_path / name).mkdir()
  _deny(monkeypatch, name)
  assert [folder.path for folder in frames.walk(tmp_path)] == [tmp_path]


def _find(dataset, root):
  builder_cls = prepare.builder_class(dataset, '')
  return builder_cls.FACTS.guide, builder_cls.find(root)


def test_unreadable_clip_is_a_bad_clip(tmp_path, monkeypatch):
  raw_trees.casme2(tmp_path)
  _deny(monkeypatch, 'EP03_02')
  guide, found = _find('casme2', tmp_path)
  with pytest.raises(errors.UserError) as info:
    raw_folder.check(guide, found)
  folder = 'Cropped/Cropped/sub01/EP03_02'
  assert f'{folder} cannot be read: Permission denied' in str(info.value)
  checked = raw_folder.check(guide, found, skip_bad_clips=True)
  assert [name for name, _ in checked.left_out] == ['sub01/EP03_02']
  assert f'the folder {folder} cannot be read: Permission denied' in found.notes


def test_unreadable_folder_of_a_data_set_without_a_list(tmp_path, monkeypatch):
  """It may hold clips, so it stops the run."""
  clips = [
    raw_trees.Clip(s, f'{s}_ne_01', emotion='negative') for s in ('s1', 's2')
  ]
  raw_trees.write_tree(tmp_path, 'smic', clips)
  _deny(monkeypatch, 's2')
  guide, found = _find('smic', tmp_path)
  with pytest.raises(errors.UserError, match='HS/s2 cannot be read: Permiss'):
    raw_folder.check(guide, found)
  checked = raw_folder.check(guide, found, skip_bad_clips=True)
  assert len(checked.records) == 1
  assert checked.left_out[0][0] == 'SMIC_all_cropped/HS/s2'


@pytest.mark.parametrize(
  'name', ['s1_\x1b[31mevil', 's1_a\nVerdict: ready', 'a\u202egpj', 'a\x85b']
)
@pytest.mark.parametrize('kind', ['folder', 'file'])
def test_names_that_would_forge_output_are_refused(tmp_path, name, kind):
  path = tmp_path / 'HS' / name
  path.parent.mkdir()
  path.mkdir() if kind == 'folder' else path.touch()
  with pytest.raises(errors.UserError) as info:
    frames.walk(tmp_path)
  assert str(info.value).isprintable()
  assert 'Rename it' in str(info.value)


@pytest.mark.parametrize(
  'name', ['Icon\r', 'caf\udce9', '中文 [x]', 'a\xa0b', 'a\u200cb']
)
def test_unusual_names_are_accepted(tmp_path, name):
  (tmp_path / name).touch()
  (folder,) = frames.walk(tmp_path)
  assert folder.file_names == (() if name == 'Icon\r' else (name,))


def test_walk_ends_on_links_to_themselves(tmp_path):
  (tmp_path / 'loop').symlink_to('loop')
  (tmp_path / 'img1.jpg').symlink_to('img1.jpg')
  (tmp_path / 'img2.jpg').touch()
  (folder,) = frames.walk(tmp_path)
  assert folder.file_names == ('img2.jpg',)


def test_longer_numbers_are_a_bad_clip(tmp_path):
  clip = raw_trees.Clip('s1', 's1_ne_01', emotion='negative', frames=(1, 9))
  raw_trees.write_tree(
    tmp_path, 'smic', [clip], file='138789540000000000{number}.bmp'
  )
  guide, found = _find('smic', tmp_path)
  with pytest.raises(errors.UserError, match='such as a time stamp'):
    raw_folder.check(guide, found)
  with pytest.raises(errors.UserError, match='such as a time stamp'):
    check.check('smic', tmp_path)


def test_copies_do_not_replace_frames(tmp_path):
  clip = raw_trees.Clip('S01', 'S01-01-001', 1, 4, 9, frames=(1, 12))
  raw_trees.write_tree(tmp_path, 'mmew', [clip])
  folder = next(tmp_path.rglob('S01-01-001'))
  for number in (2, 3, 5):
    raw_trees.write_clip(folder, [number], '1 ({}).jpg', apex=4)
  (record,) = raw_folder.check(*_find('mmew', tmp_path)).records
  assert [pathlib.Path(path).name for path in record['frames']] == [
    f'{number}.jpg' for number in range(1, 10)
  ]
  assert record['notes'] == (
    '3 images skipped, not named like the frames: 1 (2).jpg, 1 (3).jpg,'
    ' 1 (5).jpg'
  )


def test_images_at_the_top_of_a_short_path():
  """A folder that a container mounts at '/data' has few folders above."""
  folder = frames.Folder(pathlib.Path('/data'), ('preview.jpg',))
  data_set = prepare.builder_class('casme3', '').FACTS.reading
  clip = frames.Folder(pathlib.Path('/data/spNO.1/a/color'), ('1.jpg',))
  row = annotations.Annotation('spNO.1', 'a', 1, 2, 3, 'fear', '', 2)
  sheet = annotations.Sheet(pathlib.Path('x.xlsx'), 'label', [row], [])
  places, unlisted = clip_folders.match(
    data_set, sheet, pathlib.Path('/data'), [folder, clip]
  )
  assert list(places.values()) == [[('', clip)]] and not unlisted
