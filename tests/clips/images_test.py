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


def test_read_refuses_files_larger_than_any_frame(tmp_path, monkeypatch):
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
    ' of 60 x 40; at least 16 per side are needed.'
  )


# Headers.


def _exif(orientation: int, order: str) -> bytes:
  mark = {'<': b'II*\0', '>': b'MM\0*'}[order]
  entry = struct.pack(f'{order}HHIHH', 0x0112, 3, 1, orientation, 0)
  return mark + struct.pack(f'{order}IH', 8, 1) + entry + bytes(4)


def _with_exif(suffix: str, exif: bytes) -> bytes:
  data = _encode(suffix, _colourful())
  if suffix == '.jpg':
    block = b'Exif\0\0' + exif
    start = b'\xff\xe1' + struct.pack('>H', len(block) + 2)
    return data[:2] + start + block + data[2:]
  chunk = b'eXIf' + exif
  length = struct.pack('>I', len(exif))
  crc = struct.pack('>I', zlib.crc32(chunk))
  return data[:33] + length + chunk + crc + data[33:]


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_header_has_the_exif_orientation(suffix, orientation, order):
  data = _with_exif(suffix, _exif(orientation, order))
  header = images.header(data)
  assert header.orientation == orientation
  decoded = images.decode(data)
  assert decoded.shape[:2] == header.size
  upright = images.decode(_encode(suffix, _colourful()))
  if orientation == 1:
    np.testing.assert_array_equal(decoded, upright)
  if orientation == 3:
    np.testing.assert_array_equal(decoded, upright[::-1, ::-1])
  if orientation == 6:
    np.testing.assert_array_equal(decoded, np.rot90(upright, -1))


@pytest.mark.parametrize('exif', [b'', b'II*\0', _exif(99, '<'), bytes(30)])
def test_damaged_exif_is_ignored(exif):
  data = _with_exif('.jpg', exif)
  assert images.header(data).orientation == 1
  assert images.decode(data).shape == (40, 60, 3)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp'])
def test_header_is_read_from_the_beginning(tmp_path, suffix):
  path = tmp_path / f'img1{suffix}'
  path.write_bytes(_encode(suffix, _colourful()))
  assert images.read_header(path) == images.Header(40, 60)
  thumbnail = _exif(1, '<') + bytes(20_000)
  path.write_bytes(_with_exif('.jpg', thumbnail))
  assert images.read_header(path) == images.Header(40, 60)
  path.write_bytes(b'')
  with pytest.raises(ValueError, match='is empty'):
    images.read_header(path)


def _depth(suffix: str, bits: int, header_at: int) -> bytes:
  """A file that claims another depth in the byte at `header_at`."""
  data = bytearray(_encode(suffix, _colourful()))
  data[header_at] = bits
  return bytes(data)


@pytest.mark.parametrize(
  ('data', 'bits'),
  [
    (_encode('.png', _colourful().astype(np.uint16)), 16),
    (_encode('.png', _colourful()[..., 0].astype(np.uint16)), 16),
    (_depth('.png', 1, 24), 1),
    (_depth('.png', 4, 24), 4),
    (_depth('.bmp', 16, 28), 5),
    (
      _depth('.jpg', 12, _encode('.jpg', _colourful()).index(b'\xff\xc0') + 4),
      12,
    ),
  ],
)
def test_decode_refuses_another_depth(data, bits):
  """OpenCV would drop the lower bits: 8-bit values in 16 bits are all 0."""
  with pytest.raises(ValueError, match=f'has {bits} bits per channel'):
    images.decode(data)


def test_a_palette_has_eight_bits():
  def chunk(kind: bytes, content: bytes) -> bytes:
    crc = struct.pack('>I', zlib.crc32(kind + content))
    return struct.pack('>I', len(content)) + kind + content + crc

  rows = zlib.compress(b'\0\x80\0\x40')
  data = b'\x89PNG\r\n\x1a\n' + b''.join([
    chunk(b'IHDR', struct.pack('>IIBBBBB', 2, 2, 1, 3, 0, 0, 0)),
    chunk(b'PLTE', bytes([1, 2, 3, 200, 100, 50])),
    chunk(b'IDAT', rows),
    chunk(b'IEND', b''),
  ])  # fmt: skip
  decoded = images.decode(data)
  assert decoded[0, 0].tolist() == [200, 100, 50]
  assert decoded[0, 1].tolist() == [1, 2, 3]
