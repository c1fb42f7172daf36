"""Unusual pixels are reported by `check` and in a run's notes."""

import struct

import cv2
import numpy as np
import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import check, pixels, prepare, raw_folder

_CLIP = 'Cropped/Cropped/sub01/EP03_02'


def _tree(root, change):
  """Three clips, the frames of one changed: `change(path, image)`."""
  raw_trees.casme2(root)
  for path in sorted((root / _CLIP).iterdir()):
    image = change(path, cv2.imread(str(path)))
    if image is not None:
      cv2.imwrite(str(path), image)
  return root


def exif_jpeg(image: np.ndarray, orientation: int) -> bytes:
  """A JPEG file with an EXIF orientation."""
  data = cv2.imencode('.jpg', image)[1].tobytes()
  entry = struct.pack('<HHIHHI', 0x0112, 3, 1, orientation, 0, 0)
  exif = b'Exif\0\0II*\0' + struct.pack('<IH', 8, 1) + entry
  return data[:2] + b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif + (
    data[2:]
  )  # fmt: skip


def _even(path):
  return int(path.stem.removeprefix('reg_img')) % 2 == 0


def _turn_half(path, image):
  if _even(path):
    path.write_bytes(exif_jpeg(image, 6))


def _turn_around(path, image):
  path.write_bytes(exif_jpeg(image, 3))


# Name -> change of a frame, and what is said of the clip.
_ODD = {
  'sizes': (
    lambda path, image: cv2.resize(image, (64, 30)) if _even(path) else None,
    ['1 of 3 clips with frames of several sizes: sub01/EP03_02 (64 x 30 and'
     ' 32 x 24)'],
  ),
  'black': (
    lambda path, image: image * 0,
    ['1 of 3 clips with black frames: sub01/EP03_02 (10 of 10)',
     '1 of 3 clips with a phase without motion: sub01/EP03_02 (onset to apex'
     ' and apex to offset)'],
  ),
  'one colour': (
    lambda path, image: image * 0 + 90 if _even(path) else None,
    ['1 of 3 clips with frames of one colour: sub01/EP03_02 (5 of 10)'],
  ),
  'half white': (
    lambda path, image: np.where(np.arange(32)[:, None] < 20, 255, image),
    ['1 of 3 clips with frames that are half white: sub01/EP03_02 (10 of 10)'],
  ),
  'still': (
    lambda path, image: raw_trees.frame(0.0),
    ['1 of 3 clips with a phase without motion: sub01/EP03_02 (onset to apex'
     ' and apex to offset)'],
  ),
  'still to the apex': (
    lambda path, image: (
      raw_trees.frame(0.0) if path.stem <= 'reg_img14' and len(path.stem) == 9
      else None
    ),
    ['1 of 3 clips with a phase without motion: sub01/EP03_02 (onset to apex)'],
  ),
  'half turned': (
    _turn_half,
    ['1 of 3 clips with frames of several sizes: sub01/EP03_02 (24 x 32 and'
     ' 32 x 24)',
     '1 of 3 clips with frames rotated as their EXIF orientation says:'
     ' sub01/EP03_02 (5 of 10)'],
  ),
  'all turned': (
    _turn_around,
    ['1 of 3 clips with frames rotated as their EXIF orientation says:'
     ' sub01/EP03_02 (10 of 10)'],
  ),
}  # fmt: skip


@pytest.mark.parametrize('kind', _ODD)
def test_odd_clip_is_in_the_notes_of_a_run(tmp_path, kind):
  change, expected = _ODD[kind]
  root = _tree(tmp_path / 'raw', change)
  for from_cache in (False, True):
    prepared = prepare.prepare('casme2', root, tmp_path / 'cache')
    assert prepared.from_cache == from_cache
    assert prepared.notes[2:] == expected


# `check` decodes key frames alone, and of the others it reads the header.
@pytest.mark.parametrize('kind', sorted(_ODD))
def test_check_names_the_same_clips(tmp_path, kind):
  change, expected = _ODD[kind]
  report = check.check('casme2', _tree(tmp_path, change))
  whats = [text.split(': ')[0] for text in expected]
  assert [note.split(': ')[0] for note in report.notes[2:]] == whats


def test_most_clips_without_motion_are_a_problem(tmp_path):
  root = raw_trees.casme2(tmp_path)
  for path in root.rglob('sub01/*/*.jpg'):
    cv2.imwrite(str(path), raw_trees.frame(0.0, len(path.parent.name) / 9))
  report = check.check('casme2', root)
  assert any('2 of 3 clips with a phase' in text for text in report.problems)
  assert not any('a phase' in text for text in report.notes)


@pytest.mark.parametrize('shift', [0, 4, 8])
def test_sixteen_bits_are_refused(tmp_path, shift):
  """Files do not say whether their values have 8, 12 or 16 bits."""
  root = raw_trees.casme2(tmp_path)
  for path in list(root.rglob('*.jpg')):
    image = cv2.imread(str(path)).astype(np.uint16) << shift
    cv2.imwrite(str(path.with_suffix('.png')), image)
    path.unlink()
  guide = prepare.builder_class('casme2', '').FACTS.guide
  found = prepare.builder_class('casme2', '').find(root)
  with pytest.raises(errors.UserError, match='has 16 bits per channel') as info:
    raw_folder.check(guide, found)
  assert '3 of 3 clips cannot be used' in str(info.value)
  with pytest.raises(errors.UserError, match='has 16 bits per channel'):
    check.check('casme2', root)


def test_a_clip_as_it_should_be_has_no_finding(tmp_path):
  root = raw_trees.casme2(tmp_path)
  found = prepare.builder_class('casme2', '').find(root)
  checked = raw_folder.check(
    prepare.builder_class('casme2', '').FACTS.guide, found
  )
  assert checked.findings == [] and checked.notes == []


def test_a_frame_twice_is_no_phase_without_motion(tmp_path):
  """Cameras repeat a frame now and then."""
  root = raw_trees.casme2(tmp_path)
  for number in (12, 17):
    image = (root / _CLIP / f'reg_img{number}.jpg').read_bytes()
    (root / _CLIP / f'reg_img{number + 1}.jpg').write_bytes(image)
  found = prepare.builder_class('casme2', '').find(root)
  guide = prepare.builder_class('casme2', '').FACTS.guide
  assert raw_folder.check(guide, found).notes == []


def test_long_lists_of_clips_are_shortened():
  finding = pixels.Finding(
    'black frames', {f'c{i}': '1 of 9' for i in range(99)}
  )
  text = finding.text(200)
  assert text.startswith('99 of 200 clips with black frames: c0 (1 of 9), c1')
  assert text.endswith('c9 (1 of 9) and 89 more')


def test_a_phase_of_one_frame_is_not_called_still(tmp_path):
  """The note of the annotation already says that the apex is the onset."""
  raw_trees.casme2(tmp_path, [raw_trees.casme2_row(1, 'EP01', apex=10)])
  found = prepare.builder_class('casme2', '').find(tmp_path)
  guide = prepare.builder_class('casme2', '').FACTS.guide
  assert raw_folder.check(guide, found).notes == []
