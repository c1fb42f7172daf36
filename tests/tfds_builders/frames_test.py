"""Tests of finding and numbering frames."""

import os

import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import frames


@pytest.mark.parametrize(
  ('name', 'number'),
  [
    ('img46.jpg', 46),
    ('reg_img46.jpg', 46),
    ('006_05562.jpg', 5562),
    ('009_0123.jpg', 123),
    ('1.jpg', 1),
    ('reg_image000001.bmp', 1),
    ('clip2.v3.png', 3),
    ('cover.jpg', None),
  ],
)
def test_frame_number_is_the_last_run_of_digits(name, number):
  assert frames.frame_number(name) == number


def test_frames_are_ordered_by_number_not_name():
  names = ['img10.jpg', 'img9.jpg', 'img100.jpg', 'cover.jpg', 'img9.png']
  assert frames.number_frames(names) == {
    9: 'img9.jpg',
    10: 'img10.jpg',
    100: 'img100.jpg',
  }


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


@pytest.mark.skipif(
  not hasattr(os, 'geteuid') or os.geteuid() == 0, reason='root reads all'
)
def test_folder_that_cannot_be_read(tmp_path):
  (tmp_path / 'locked').mkdir(mode=0)
  with pytest.raises(errors.UserError, match='locked cannot be read'):
    frames.walk(tmp_path)


def test_walk_ends_on_links_to_themselves(tmp_path):
  (tmp_path / 'loop').symlink_to('loop')
  (tmp_path / 'img1.jpg').symlink_to('img1.jpg')
  (tmp_path / 'img2.jpg').touch()
  (folder,) = frames.walk(tmp_path)
  assert folder.file_names == ('img2.jpg',)
