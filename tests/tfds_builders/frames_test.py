"""Tests of finding and decoding frames."""

import os
import struct
import zlib

import cv2
import numpy as np
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


def _encode(suffix: str, image: np.ndarray) -> bytes:
  return cv2.imencode(suffix, image)[1].tobytes()


def _colourful() -> np.ndarray:
  """A random image, uint8 [40, 60, 3], in OpenCV's order BGR."""
  image = np.random.default_rng(0).integers(0, 255, (40, 60, 3))
  return image.astype(np.uint8)


@pytest.mark.parametrize('suffix', ['.png', '.bmp'])
def test_decode_is_lossless_and_rgb(suffix):
  image = _colourful()
  decoded = frames.decode(_encode(suffix, image))
  assert decoded.dtype == np.uint8
  np.testing.assert_array_equal(decoded, image[..., ::-1])


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_decode_grey_to_three_channels(suffix):
  grey = raw_trees.frame(2.0)[..., 0]
  decoded = frames.decode(_encode(suffix, grey))
  assert decoded.shape == (24, 32, 3)
  np.testing.assert_array_equal(decoded[..., 0], decoded[..., 2])
  np.testing.assert_allclose(decoded[..., 0], grey, atol=3)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp'])
@pytest.mark.parametrize('share', [0.02, 0.5, 0.99])
def test_decode_refuses_truncated_images(suffix, share):
  data = _encode(suffix, _colourful())
  with pytest.raises(ValueError, match='is truncated|is damaged'):
    frames.decode(data[: int(share * len(data))])


def test_decode_refuses_other_content():
  with pytest.raises(ValueError, match='is empty'):
    frames.decode(b'')
  with pytest.raises(ValueError, match='not a JPEG, PNG or BMP'):
    frames.decode(b'GIF89a' + bytes(100))
  with pytest.raises(ValueError, match='is truncated|is damaged'):
    frames.decode(b'\xff\xd8' + bytes(100))


def _png_bomb(side: int) -> bytes:
  """A small valid PNG header that claims `side` x `side` pixels."""

  def chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return (
      struct.pack('>I', len(content)) + kind + content + struct.pack('>I', crc)
    )

  header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
  rows = zlib.compress(bytes(1_000_000))
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    [chunk(b'IHDR', header), chunk(b'IDAT', rows), chunk(b'IEND', b'')]
  )


def _bombs() -> dict[str, bytes]:
  jpeg = bytearray(_encode('.jpg', _colourful()))
  start = jpeg.index(b'\xff\xc0')
  jpeg[start + 5 : start + 9] = struct.pack('>HH', 60_000, 60_000)
  bmp = bytearray(_encode('.bmp', _colourful()))
  bmp[18:26] = struct.pack('<ii', 60_000, -60_000)
  return {'png': _png_bomb(60_000), 'jpeg': bytes(jpeg), 'bmp': bytes(bmp)}


@pytest.mark.parametrize('kind', ['png', 'jpeg', 'bmp'])
def test_decode_refuses_image_bombs_by_their_header(kind, monkeypatch):
  def imdecode(*_):
    raise AssertionError('the image was opened')

  monkeypatch.setattr(cv2, 'imdecode', imdecode)
  with pytest.raises(ValueError, match='60000 x 60000 pixels'):
    frames.decode(_bombs()[kind])


def test_decode_refuses_an_image_without_pixels():
  with pytest.raises(ValueError, match='0 x 0 pixels'):
    frames.decode(_png_bomb(0))


def test_read_stops_at_what_no_frame_has(tmp_path, monkeypatch):
  path = tmp_path / 'img1.jpg'
  path.write_bytes(b'12345')
  monkeypatch.setattr(frames, '_MOST_BYTES', 5)
  assert frames.read(path) == b'12345'
  path.write_bytes(b'123456')
  with pytest.raises(ValueError, match='which is no frame'):
    frames.read(path)
  with pytest.raises(FileNotFoundError):
    frames.read(tmp_path / 'img2.jpg')


def test_walk_ends_on_links_to_themselves(tmp_path):
  (tmp_path / 'loop').symlink_to('loop')
  (tmp_path / 'img1.jpg').symlink_to('img1.jpg')
  (tmp_path / 'img2.jpg').touch()
  (folder,) = frames.walk(tmp_path)
  assert folder.file_names == ('img2.jpg',)
