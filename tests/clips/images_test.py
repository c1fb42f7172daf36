"""Tests of decoding images, and of cropping them to one size."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from dianet_jax.clips import images
from dianet_jax.core import errors
from tests.support import raw_trees


def _encode(suffix: str, image: np.ndarray) -> bytes:
  return cv2.imencode(suffix, image)[1].tobytes()


def _colourful() -> np.ndarray:
  """A random image, uint8 [40, 60, 3], in OpenCV's order BGR."""
  image = np.random.default_rng(0).integers(0, 255, (40, 60, 3))
  return image.astype(np.uint8)


@pytest.mark.parametrize('suffix', ['.png', '.bmp'])
def test_decode_is_lossless_and_rgb(suffix):
  image = _colourful()
  decoded = images.decode(_encode(suffix, image))
  assert decoded.dtype == np.uint8
  np.testing.assert_array_equal(decoded, image[..., ::-1])


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_decode_grey_to_three_channels(suffix):
  grey = raw_trees.frame(2.0)[..., 0]
  decoded = images.decode(_encode(suffix, grey))
  assert decoded.shape == (24, 32, 3)
  np.testing.assert_array_equal(decoded[..., 0], decoded[..., 2])
  np.testing.assert_allclose(decoded[..., 0], grey, atol=3)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp'])
@pytest.mark.parametrize('share', [0.02, 0.5, 0.99])
def test_decode_refuses_truncated_images(suffix, share):
  data = _encode(suffix, _colourful())
  with pytest.raises(ValueError, match='is truncated|is damaged'):
    images.decode(data[: int(share * len(data))])


def test_decode_refuses_other_content():
  with pytest.raises(ValueError, match='is empty'):
    images.decode(b'')
  with pytest.raises(ValueError, match='not a JPEG, PNG or BMP'):
    images.decode(b'GIF89a' + bytes(100))
  with pytest.raises(ValueError, match='is truncated|is damaged'):
    images.decode(b'\xff\xd8' + bytes(100))


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
    images.decode(_bombs()[kind])


def test_decode_refuses_an_image_without_pixels():
  with pytest.raises(ValueError, match='0 x 0 pixels'):
    images.decode(_png_bomb(0))


def test_read_stops_at_what_no_frame_has(tmp_path, monkeypatch):
  path = tmp_path / 'img1.jpg'
  path.write_bytes(b'12345')
  monkeypatch.setattr(images, '_MOST_BYTES', 5)
  assert images.read(path) == b'12345'
  path.write_bytes(b'123456')
  with pytest.raises(ValueError, match='which is no frame'):
    images.read(path)
  with pytest.raises(FileNotFoundError):
    images.read(tmp_path / 'img2.jpg')


def test_load_takes_a_path_or_the_bytes_of_the_file(tmp_path):
  path = tmp_path / 'img1.png'
  path.write_bytes(_encode('.png', _colourful()))
  expected = _colourful()[..., ::-1]
  np.testing.assert_array_equal(images.load(path.read_bytes()), expected)
  np.testing.assert_array_equal(images.load(str(path)), expected)


def test_fit_cuts_shares_of_the_frame():
  image = _colourful()
  cut = images.fit(image, (0.25, 0.5, 0.75, 1.0), 20)
  expected = cv2.resize(
    image[10:30, 30:], (20, 20), interpolation=cv2.INTER_AREA
  )
  np.testing.assert_array_equal(cut, expected)


def test_fit_leaves_a_frame_of_the_size_as_it_is():
  image = _colourful()[:, :40]
  np.testing.assert_array_equal(images.fit(image, (0, 0, 1, 1), 40), image)


def test_fit_averages_over_areas_and_interpolates_where_it_enlarges():
  stripes = np.zeros((64, 64, 1), np.uint8)
  stripes[:, ::2] = 200
  assert images.fit(stripes, (0, 0, 1, 1), 32).std() == 0
  large = images.fit(np.repeat(stripes, 3, axis=2), (0, 0, 0.5, 0.5), 64)
  assert large.shape == (64, 64, 3) and large.dtype == np.uint8
  assert 0 < large[32, 32, 0] < 200


def test_a_crop_that_shows_no_face_is_refused():
  with pytest.raises(errors.UserError) as info:
    images.fit(_colourful(), (0.0, 0.0, 0.3, 1.0), 32)
  assert str(info.value) == (
    '--config.data.crop=(0.0, 0.0, 0.3, 1.0) leaves 60 x 12 pixels of a frame'
    ' of 60 x 40; at least 16 a side are needed.'
  )
