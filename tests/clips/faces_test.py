"""Tests of face alignment, on drawn faces and on a photograph."""

import sys
import threading

import cv2
import numpy as np
import pytest

from dianet_jax.clips import faces, images
from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import raw_folder, simulate
from tfds_builders.casme2 import casme2_dataset_builder as casme2

_SIZE = 128


@pytest.fixture
def dlib():
  return pytest.importorskip(
    'dlib', reason=f'faces are found by dlib: {faces.INSTALL}'
  )


@pytest.fixture
def photograph(dlib):
  """A portrait in the public domain that a package ships, RGB."""
  data = pytest.importorskip(
    'skimage.data', reason='the photograph is in scikit-image'
  )
  return data.astronaut()


@pytest.fixture(scope='module')
def records(tmp_path_factory):
  """Records of a simulated tree with drawn faces, frames as paths."""
  root = simulate.write(
    'casme2', tmp_path_factory.mktemp('align') / 'raw',
    subjects=2, clips_per_subject=2,
  )  # fmt: skip
  found = casme2.Builder.find(root)
  return raw_folder.check(casme2.Builder.FACTS.guide, found).records


def _onset(record):
  return images.load(record['frames'][0])


def _warp(image, degrees, scale, shift, shape):
  """The image turned and scaled about the face and moved to `shape`."""
  matrix = cv2.getRotationMatrix2D((220, 120), degrees, scale)
  height, width = shape
  matrix[:, 2] += np.array([width / 2 - 220, height / 2 - 120]) + shift
  warped = cv2.warpAffine(
    image, matrix, (width, height), flags=cv2.INTER_CUBIC,
    borderMode=cv2.BORDER_REPLICATE,
  )  # fmt: skip
  return warped, matrix


@pytest.mark.parametrize(
  ('degrees', 'scale', 'shift', 'shape'),
  [
    (0, 1.0, (40, -30), (480, 640)),
    (20, 1.2, (60, 40), (480, 640)),
    (-35, 1.0, (0, 20), (480, 640)),
    (-15, 3.5, (-100, 0), (1088, 2040)),
    (5, 0.7, (0, 60), (480, 640)),
  ],
)
def test_the_same_face_lands_at_the_same_place(
  photograph, degrees, scale, shift, shape
):
  original = faces.find_transform(photograph, _SIZE)
  warped, matrix = _warp(photograph, degrees, scale, shift, shape)
  transform = faces.find_transform(warped, _SIZE)
  assert transform.shape == (2, 3) and transform.dtype == np.float64
  # Where brows, mouth and cheeks of the photograph go, both ways.
  points = np.array([[[200, 90], [240, 90], [205, 150], [240, 150]]], float)
  moved = cv2.transform(cv2.transform(points, matrix), transform)
  expected = cv2.transform(points, original)
  np.testing.assert_allclose(moved, expected, atol=0.025 * _SIZE)
  before = faces.apply(photograph, original, _SIZE).astype(float)
  after = faces.apply(warped, transform, _SIZE).astype(float)
  assert np.abs(after - before).mean() < 0.3 * before.std()


def test_eyes_are_level_and_the_scale_is_a_similarity(photograph):
  warped, matrix = _warp(photograph, 25, 1.1, (0, 0), (480, 640))
  transform = faces.find_transform(warped, _SIZE)
  turn = transform[:, :2]
  scale = np.sqrt(np.linalg.det(turn))
  np.testing.assert_allclose(turn @ turn.T, scale**2 * np.eye(2), atol=1e-9)
  eyes = np.array([[[203.5, 102], [246, 104.5]]])
  left, right = cv2.transform(cv2.transform(eyes, matrix), transform)[0]
  np.testing.assert_allclose(left / _SIZE, [0.32, 0.35], atol=0.02)
  np.testing.assert_allclose(right / _SIZE, [0.68, 0.35], atol=0.02)


def test_a_face_on_its_side_is_not_found(photograph):
  warped, _ = _warp(photograph, 90, 1.0, (0, 0), (480, 640))
  with pytest.raises(faces.NoFaceError, match='640 x 480 pixels'):
    faces.find_transform(warped, _SIZE)


def test_the_largest_of_several_faces_counts(photograph):
  small, _ = _warp(photograph, 0, 0.8, (0, 0), (480, 400))
  large, _ = _warp(photograph, 0, 1.3, (0, 0), (480, 400))
  both = np.concatenate([small, large], axis=1)
  transform = faces.find_transform(both, _SIZE)
  assert transform[0, 0] == pytest.approx(
    faces.find_transform(large, _SIZE)[0, 0], rel=0.1
  )


# Drawing.


def test_apply_without_change_returns_the_frame():
  frame = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
  identity = np.eye(2, 3)
  np.testing.assert_array_equal(faces.apply(frame, identity, 16), frame)
  shifted = identity + np.array([[0, 0, -3], [0, 0, 2]])
  moved = faces.apply(frame, shifted, 16)
  np.testing.assert_array_equal(moved[2:, :-3], frame[:-2, 3:])
  assert not moved[:2].any()


def test_apply_averages_over_the_area_of_a_pixel():
  frame = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
  third = np.array([[1 / 3, 0, -1 / 3], [0, 1 / 3, -1 / 3]])
  blocks = frame.reshape(8, 3, 8, 3, 3).mean(axis=(1, 3))
  drawn = faces.apply(frame, third, 8)
  np.testing.assert_allclose(drawn, blocks, atol=0.51)


def test_apply_does_not_alias():
  stripes = np.zeros((400, 400, 3), np.uint8)
  stripes[:, ::2] = 200
  transform = np.array([[0.23, 0.01, 0], [-0.01, 0.23, 2]])
  aliased = cv2.warpAffine(stripes, transform, (90, 90))[10:70, 10:70]
  inside = faces.apply(stripes, transform, 90)[10:70, 10:70]
  assert aliased.std() > 50
  assert inside.std() < 8
  assert inside.mean() == pytest.approx(100, abs=1)


# Clips.


def test_alignment_adds_no_motion(dlib, records):
  frame = _onset(records[0])
  transforms, left_out = faces.find_transforms(records, _SIZE)
  assert left_out == []
  # One transform a clip, so equal frames stay equal, bit for bit ...
  transform = transforms[records[0]['clip_id']]
  first = faces.apply(frame, transform, _SIZE)
  np.testing.assert_array_equal(first, faces.apply(frame, transform, _SIZE))
  # ... though the frames of a moving clip would each get another one.
  each = [
    faces.find_transform(images.load(records[0]['frames'][i]), _SIZE)
    for i in (0, 20)
  ]
  assert not np.array_equal(each[0], each[1])
  np.testing.assert_array_equal(each[0], transform)


def test_motion_stays_where_it_was(dlib, records):
  frame = _onset(records[0])
  transform = faces.find_transform(frame, _SIZE)
  mouth = frame.copy()
  mouth[200:215, 90:140] //= 2
  changed = faces.apply(mouth, transform, _SIZE) != faces.apply(
    frame, transform, _SIZE
  )
  rows, columns, _ = np.nonzero(changed)
  corners = cv2.transform(
    np.array([[[90, 200], [139, 214]]], float), transform
  )[0]
  low, high = corners.min(axis=0) - 2, corners.max(axis=0) + 2
  assert changed.any()
  assert rows.min() > low[1] and rows.max() < high[1]
  assert columns.min() > low[0] and columns.max() < high[0]


def _without_face(records, tmp_path):
  """The records, the second with a blob in the place of its onset frame."""
  blob = tmp_path / 'blob.png'
  cv2.imwrite(str(blob), raw_trees.frame(0.0))
  bad = records[1] | {'frames': [str(blob), *records[1]['frames'][1:]]}
  return [records[0], bad, *records[2:]]


def test_clip_without_a_face_is_named(dlib, records, tmp_path):
  with pytest.raises(errors.UserError) as info:
    faces.find_transforms(_without_face(records, tmp_path), _SIZE)
  text = str(info.value)
  assert '1 of 4 clips cannot be aligned' in text
  assert f'{records[1]["clip_id"]}: no face was found (32 x 24' in text
  assert '--config.data.skip_bad_clips=true' in text
  assert records[0]['clip_id'] not in text


def test_clip_without_a_face_is_left_out_on_request(dlib, records, tmp_path):
  bad = _without_face(records, tmp_path)
  transforms, left_out = faces.find_transforms(bad, _SIZE, True)
  assert [clip_id for clip_id, _ in left_out] == [records[1]['clip_id']]
  assert list(transforms) == [records[i]['clip_id'] for i in (0, 2, 3)]
  with pytest.raises(errors.UserError, match='1 of 1 clips'):
    faces.find_transforms(bad[1:2], _SIZE, True)


def test_clips_are_searched_on_several_threads(dlib, records, monkeypatch):
  threads = set()
  find = faces.find_transform

  def note(frame, size):
    threads.add(threading.get_ident())
    return find(frame, size)

  serial = {
    record['clip_id']: find(_onset(record), _SIZE) for record in records
  }
  monkeypatch.setattr(faces, 'find_transform', note)
  monkeypatch.setattr(faces.limits, 'cores', lambda: 2)
  together, _ = faces.find_transforms(records * 2, _SIZE)
  assert len(threads) == 2
  for clip_id, transform in serial.items():
    np.testing.assert_array_equal(together[clip_id], transform)


def test_frames_may_be_encoded_bytes(dlib, records):
  record = records[0]
  with open(record['frames'][0], 'rb') as file:
    read = record | {'clip_id': b'sub01/EP', 'frames': [file.read()]}
  transforms, _ = faces.find_transforms([read], _SIZE)
  expected, _ = faces.find_transforms([record], _SIZE)
  np.testing.assert_array_equal(
    transforms['sub01/EP'], expected[record['clip_id']]
  )


# What is not installed.


@pytest.fixture
def fresh(monkeypatch):
  """Resets the detector, as in a process that has not used it yet."""
  monkeypatch.setattr(faces, '_thread', threading.local())


def test_without_dlib_the_error_names_the_pip_command(fresh, monkeypatch):
  monkeypatch.setitem(sys.modules, 'dlib', None)
  with pytest.raises(errors.UserError, match='needs dlib') as info:
    faces.find_transform(raw_trees.frame(0.0), _SIZE)
  assert 'pip install dlib-bin face-recognition-models==0.3.0' in str(
    info.value
  )


def test_without_the_landmarks_the_error_names_the_file(
  fresh, monkeypatch, dlib
):
  monkeypatch.setattr(faces.importlib.util, 'find_spec', lambda _: None)
  with pytest.raises(errors.UserError, match='needs the landmark file'):
    faces.find_transforms([], _SIZE)


def test_the_package_of_the_landmarks_is_not_imported(dlib, fresh):
  faces._models()
  assert 'face_recognition_models' not in sys.modules


def test_a_part_of_a_larger_image_shows_its_face(photograph):
  """A crop in NumPy, or a frame that a decoder padded, is not contiguous."""
  whole = cv2.resize(photograph[:300, 80:380], (600, 600))
  part = np.zeros((600, 608, 3), np.uint8)[:, :600]
  part[:] = whole
  assert not part.flags.c_contiguous
  found, expected = (faces.find(image, _SIZE) for image in (part, whole))
  np.testing.assert_array_equal(found.transform, expected.transform)
