"""Clips that are not found: similar folders are named but not read."""

import shutil

import cv2
import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import prepare, raw_folder


def _tree(root):
  """Two clips; returns the folder of the first, which is to be changed."""
  rows = [raw_trees.casme2_row(i, 'EP02_01f') for i in (1, 2)]
  raw_trees.casme2(root, rows, frames_folder='Cropped')
  return root / 'Cropped/sub01/EP02_01f'


def _rename(folder, name):
  folder.rename(folder.with_name(name))


def _video(folder):
  shutil.rmtree(folder)
  (folder.parent / 'EP02_01f.avi').touch()


def _video_inside(folder):
  for path in folder.iterdir():
    path.unlink()
  (folder / 'EP02_01f.avi').touch()


def _tif(folder):
  for path in list(folder.iterdir()):
    image = cv2.imread(str(path))
    path.unlink()
    cv2.imwrite(str(path.with_suffix('.tif')), image)


def _deeper(folder):
  shutil.move(folder, folder.with_name('x'))
  shutil.move(folder.with_name('x'), folder / 'frames')


# Change of the folder -> what is said.
_CHANGES = {
  'trailing blank': (
    lambda folder: _rename(folder, 'EP02_01f '),
    "there is 'Cropped/sub01/EP02_01f ': one of the folders",
  ),
  'subject with a remark': (
    lambda folder: _rename(folder.parent, 'sub01 (cropped)'),
    'there is Cropped/sub01 (cropped)/EP02_01f: one of the folders',
  ),
  'copy': (
    lambda folder: _rename(folder, 'EP02_01f - Copy'),
    'there is Cropped/sub01/EP02_01f - Copy: one of the folders',
  ),
  'other sign': (
    lambda folder: _rename(folder, 'EP02-01f'),
    'there is Cropped/sub01/EP02-01f: one of the folders',
  ),
  'video': (
    _video, 'there is the video Cropped/sub01/EP02_01f.avi: extract its frames'
  ),
  'video inside': (
    _video_inside, 'EP02_01f holds no JPEG, PNG or BMP images, but EP02_01f.avi'
  ),
  'tif': (_tif, 'holds no JPEG, PNG or BMP images, but reg_img10.tif'),
  'deeper': (
    _deeper, 'one folder deeper, in Cropped/sub01/EP02_01f/frames: move them'
  ),
  'empty': (
    lambda folder: [path.unlink() for path in folder.iterdir()],
    'Cropped/sub01/EP02_01f is empty',
  ),
}  # fmt: skip


def _check(root):
  builder_cls = prepare.builder_class('casme2', '')
  return raw_folder.check(builder_cls.FACTS.guide, builder_cls.find(root))


@pytest.mark.parametrize('name', _CHANGES)
def test_near_miss_is_named(tmp_path, name):
  change, message = _CHANGES[name]
  change(_tree(tmp_path))
  with pytest.raises(errors.UserError, match='1 of 2 clips') as info:
    _check(tmp_path)
  (line,) = [x for x in str(info.value).splitlines() if 'sub01/EP02_01f: ' in x]
  assert 'no folder of this name with images (' in line
  assert message in line


def test_another_subject_is_no_near_miss(tmp_path):
  """In CASME II, clips of different subjects have equal names."""
  shutil.rmtree(_tree(tmp_path))
  with pytest.raises(errors.UserError) as info:
    _check(tmp_path)
  assert 'sub01/EP02_01f: no folder of this name with images\n' in str(
    info.value
  )


def test_near_miss_of_a_whole_data_set(tmp_path):
  clips = [raw_trees.Clip('006', f'006_1_{i}') for i in (1, 2)]
  raw_trees.write_tree(tmp_path, 'samm', clips, folder='SAMM/{name}/frames')
  with pytest.raises(errors.UserError) as info:
    prepare.builder_class('samm', '').find(tmp_path)
  assert 'none of the 2 clips' in str(info.value)
  assert 'deeper, in SAMM/006_1_1/frames: move them up' in str(info.value)


@pytest.mark.parametrize('all_of_them', [False, True])
def test_folders_that_are_called_like_clips_and_hold_no_images(
  tmp_path, all_of_them
):
  """Without a list of the clips, none is skipped."""
  clips = [
    raw_trees.Clip('s1', f's1_ne_0{i}', emotion='negative') for i in (1, 2)
  ]
  raw_trees.write_tree(tmp_path, 'smic', clips)
  for folder in tmp_path.rglob('s1_ne_0*'):
    if all_of_them or folder.name == 's1_ne_02':
      _tif(folder)
  with pytest.raises(errors.UserError) as info:
    builder_cls = prepare.builder_class('smic', '')
    found = builder_cls.find(tmp_path)
    raw_folder.check(builder_cls.FACTS.guide, found)
  place = 'SMIC_all_cropped/HS/s1/micro/negative/s1_ne_0'
  clip = 1 if all_of_them else 2
  message = f'{place}{clip} holds no JPEG, PNG or BMP images, but reg_image0000'
  assert message in str(info.value)
