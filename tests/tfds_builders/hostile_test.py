"""Hostile folders and images: named, survived, and nothing written elsewhere.

Single images are in `frames_test.py`; spreadsheets in `annotations_test.py`.
"""

import os
import pathlib
import shutil
import struct
import subprocess
import sys
import textwrap
import zlib

import cv2
import pytest

from dianet_jax.clips import images
from dianet_jax.core import errors, limits
from tests.support import raw_trees
from tfds_builders import check, prepare

_REPOSITORY = pathlib.Path(__file__).parents[2]
_CLIP = 'Cropped/Cropped/sub01/EP03_02'


def _jpeg() -> bytes:
  return cv2.imencode('.jpg', raw_trees.frame(0.0))[1].tobytes()


def _png(side: int, rows: bytes) -> bytes:
  """A PNG file that claims `side` squared pixels; `rows` are compressed."""

  def chunk(kind: bytes, content: bytes) -> bytes:
    crc = struct.pack('>I', zlib.crc32(kind + content))
    return struct.pack('>I', len(content)) + kind + content + crc

  header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    [chunk(b'IHDR', header), chunk(b'IDAT', rows), chunk(b'IEND', b'')]
  )


def _jpeg_bomb() -> bytes:
  data = bytearray(_jpeg())
  start = data.index(b'\xff\xc0')
  data[start + 5 : start + 9] = struct.pack('>HH', 65_000, 65_000)
  return bytes(data)


def _sparse(path: pathlib.Path) -> None:
  """100 GB that take no space on disk."""
  with path.open('wb') as file:
    file.truncate(100 * 10**9)


# Name -> content of a frame, and what is said of it.
_CONTENTS = {
  'empty': (b'', 'is empty (0 bytes)'),
  'cut_jpeg': (_jpeg()[:300], 'is truncated'),
  'text': (b'<html>404</html>', 'is not a JPEG, PNG or BMP image'),
  'jpeg_bomb': (_jpeg_bomb(), 'claims 65000 x 65000 pixels'),
  'png_bomb': (
    _png(50_000, zlib.compress(bytes(10**6))),
    'claims 50000 x 50000 pixels',
  ),
  'large': (
    _png(4097, zlib.compress(bytes(10**6))),
    'claims 4097 x 4097 pixels; at most 16 megapixels are read',
  ),
}


def _tree(tmp_path):
  """A raw tree, one of whose frames is to be replaced, and that frame."""
  root = raw_trees.casme2(tmp_path / 'raw')
  path = root / _CLIP / 'reg_img12.jpg'
  path.unlink()
  return root, path


def _files(folder: pathlib.Path) -> dict[str, tuple[int, int]]:
  """Everything below `folder`, links not followed, with size and time."""
  found = {}
  for path in [folder, *folder.rglob('*')]:
    status = path.lstat()
    found[str(path)] = (status.st_size, status.st_mtime_ns)
  return found


def _check_refused(root, tmp_path, message):
  """The clip is named, nothing is left behind, and skipping it works."""
  before = _files(root)
  cache = tmp_path / 'cache'
  with pytest.raises(errors.UserError) as info:
    prepare.prepare('casme2', root, cache)
  text = str(info.value)
  assert '1 of 3 clips cannot be used' in text
  assert f'sub01/EP03_02: {_CLIP}/reg_img12.jpg {message}' in text
  assert len(text.splitlines()) < 10
  (left,) = (cache / 'casme2').iterdir()
  assert left.suffix == '.lock'
  prepared = prepare.prepare('casme2', root, cache, skip_bad_clips=True)
  assert [clip_id for clip_id, _ in prepared.left_out] == ['sub01/EP03_02']
  assert len(prepared.source) == 2
  # Neither beside the cache nor among the raw data.
  assert _files(root) == before
  assert sorted(path.name for path in tmp_path.iterdir()) == ['cache', 'raw']


@pytest.mark.parametrize('kind', _CONTENTS)
def test_hostile_frame(tmp_path, kind):
  root, path = _tree(tmp_path)
  content, message = _CONTENTS[kind]
  path.write_bytes(content)
  _check_refused(root, tmp_path, message)


def test_file_without_end(tmp_path):
  root, path = _tree(tmp_path)
  _sparse(path)
  _check_refused(root, tmp_path, 'has more than 72 MB, which is no frame')


def _endless_link(path):
  path.symlink_to(path.name)


def _dangling_link(path):
  path.symlink_to('/nowhere/reg_img12.jpg')


def _link_to_a_device(path):
  path.symlink_to('/dev/zero')


def _pipe(path):
  os.mkfifo(path)


@pytest.mark.parametrize(
  'make',
  [_endless_link, _dangling_link, _link_to_a_device, _pipe, pathlib.Path.mkdir],
)
def test_what_is_no_file_is_a_missing_frame(tmp_path, make):
  root, path = _tree(tmp_path)
  make(path)
  report = check.check('casme2', root)
  assert report.missing_frames == {'sub01/EP03_02': 1}
  record = prepare.prepare('casme2', root, tmp_path / 'cache').source[1]
  assert b'1 frames missing inside the clip' in record['notes']
  assert 12 not in record['frame_numbers']


def test_circular_links_end_and_linked_disks_work(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw')
  disk = tmp_path / 'disk'
  shutil.move(root / 'Cropped', disk)
  (root / 'Cropped').symlink_to(disk)
  (root / 'loop').symlink_to('loop')
  (disk / 'Cropped' / 'sub01' / 'up').symlink_to(root)
  (disk / 'Cropped' / 'here').symlink_to('.')
  prepared = prepare.prepare('casme2', root, tmp_path / 'cache')
  assert len(prepared.source) == 3
  assert prepared.left_out == []
  assert check.check('casme2', root).clips == 3


@pytest.mark.skipif(
  sys.platform == 'darwin', reason='macOS has no such file names'
)
def test_names_that_are_not_utf8(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw')
  below = os.fsencode(root) + b'/caf\xe9'
  os.mkdir(below)
  for path in list(root.iterdir()):
    if os.fsencode(path) != below:
      os.rename(path, below + b'/caf\xe9 ' + os.fsencode(path.name))
  prepared = prepare.prepare('casme2', root, tmp_path / 'cache')
  assert len(prepared.source) == 3
  again = prepare.prepare('casme2', root, tmp_path / 'cache')
  assert again.from_cache
  result = subprocess.run(
    [sys.executable, '-m', 'dianet_jax', 'check', '--dataset=casme2',
     f'--manual_dir={root}'],
    cwd=_REPOSITORY, env=os.environ | {'PYTHONIOENCODING': 'utf-8:strict'},
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert result.stderr == ''
  assert r'caf\udce9' in result.stdout


def test_clip_replaced_while_it_is_read(tmp_path, monkeypatch):
  root = raw_trees.casme2(tmp_path / 'raw')
  decode = images.decode

  def remove(data):
    shutil.rmtree(root / _CLIP, ignore_errors=True)
    return decode(data)

  monkeypatch.setattr(images, 'decode', remove)
  monkeypatch.setattr(limits, 'cores', lambda: 1)
  with pytest.raises(errors.UserError, match='No such file') as info:
    prepare.prepare('casme2', root, tmp_path / 'cache')
  assert 'sub01/EP03_02' in str(info.value)


@pytest.mark.parametrize('dataset', ['casme2', 'megc2019_flow'])
def test_memory_stays_bounded(tmp_path, dataset):
  """Bombs of every kind at once add less than one frame of the most pixels."""
  root = tmp_path / 'raw'
  if dataset == 'casme2':
    raw_trees.casme2(root)
    targets = sorted((root / _CLIP).iterdir())
  else:
    root.mkdir()
    (root / 'list.csv').write_text(
      'dataset,sub,filename_o,label\n'
      + ''.join(f'casme2,sub01,EP{i},0\n' for i in range(10))
    )
    targets = [root / f'sub01_EP{i} .png' for i in range(10)]
    for i in range(10):
      cv2.imwrite(str(root / f'sub01_EP{i}_1 .png'), raw_trees.frame(0.0))
  # 300 MB of rows for an image of 8 x 8.
  inflating = _png(8, zlib.compress(bytes(3 * 10**8), 1))
  bombs = [content for content, _ in _CONTENTS.values()] + [inflating]
  for path, content in zip(targets, bombs, strict=False):
    path.write_bytes(content)
  _sparse(targets[len(bombs)])
  program = textwrap.dedent("""
    import resource, sys
    from dianet_jax.core import errors
    from tfds_builders import prepare
    builder = prepare.builder_class(sys.argv[1], '')
    def peak():
      return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    before = peak()
    try:
      prepare.prepare(sys.argv[1], sys.argv[2], sys.argv[3])
    except errors.UserError:
      print(peak() - before)
  """)
  result = subprocess.run(
    [sys.executable, '-c', program, dataset, str(root),
     str(tmp_path / 'cache')],
    cwd=_REPOSITORY, capture_output=True, text=True, check=True,
  )  # fmt: skip
  # Kilobytes on Linux; bytes on macOS.
  unit = 1 if sys.platform == 'darwin' else 1024
  assert int(result.stdout) * unit < 200e6
