"""Damaged records are detected, reported, set aside and rebuilt."""

from collections.abc import Callable
import json
import os
import pathlib
import re
import shutil

import hypothesis
from hypothesis import strategies as st
import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import manifest, prepare, records

# A test takes one folder for all the examples that it tries.
_settings = hypothesis.settings(
  max_examples=60,
  deadline=None,
  derandomize=True,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


class _Cache:
  """A raw tree, and a cache with its records in two shards."""

  def __init__(self, folder: pathlib.Path):
    rows = [raw_trees.casme2_row(1, f'EP{i:02d}') for i in range(3)]
    self.root = raw_trees.casme2(folder / 'raw', rows)
    self.whole, self.used = folder / 'whole', folder / 'used'
    self.records = list(self.open(self.whole).source)
    (self.fingerprint,) = (
      path.name for path in (self.whole / 'casme2').iterdir() if path.is_dir()
    )

  def open(self, cache: pathlib.Path) -> prepare.PreparedRecords:
    return prepare.prepare('casme2', self.root, cache)

  def copy(self) -> pathlib.Path:
    """A fresh copy of the records, at `used`."""
    shutil.rmtree(self.used, ignore_errors=True)
    shutil.copytree(self.whole, self.used, symlinks=True)
    return self.used / 'casme2' / self.fingerprint

  def check(self, prepared: prepare.PreparedRecords) -> None:
    """The records are those that were written before anything was damaged."""
    read = list(prepared.source)
    assert len(read) == len(self.records)
    for one, other in zip(read, self.records, strict=True):
      assert one.keys() == other.keys()
      assert all(list_of(one[key]) == list_of(other[key]) for key in one)


def list_of(value):
  return list(value) if hasattr(value, '__len__') else value


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(records, '_SHARD_BYTES', 12_000)
    yield _Cache(tmp_path_factory.mktemp('damage'))


def _version(place):
  return place / 'casme2' / 'any' / str(records.VERSION)


def _shards(place):
  found = sorted(_version(place).glob('*.array_record*'))
  assert len(found) == 2
  return found


def _flip(path, position=0.5, mask=4):
  data = bytearray(path.read_bytes())
  data[int(position * (len(data) - 1))] ^= mask
  path.write_bytes(data)


def _zero_a_part(path):
  data = path.read_bytes()
  path.write_bytes(data[:200] + bytes(300) + data[500:])


def _swap(first, second):
  one, other = first.read_bytes(), second.read_bytes()
  first.write_bytes(other)
  second.write_bytes(one)


def _replace(path, make):
  if path.is_dir():
    shutil.rmtree(path)
  else:
    path.unlink()
  make(path)


def _edit(path, old, new):
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new))


_SHARD_DAMAGE = {
  'a bit flipped': _flip,
  'cut': lambda path: os.truncate(path, path.stat().st_size // 2),
  'without its last byte': (
    lambda path: os.truncate(path, path.stat().st_size - 1)
  ),
  'with bytes added': lambda path: path.write_bytes(path.read_bytes() + b'xx'),
  'empty': lambda path: path.write_bytes(b''),
  'deleted': pathlib.Path.unlink,
  'zeroed': lambda path: path.write_bytes(bytes(path.stat().st_size)),
  'partly zeroed': _zero_a_part,
  'a web page': lambda path: path.write_text('<html>404</html>'),
  'a folder': lambda path: _replace(path, pathlib.Path.mkdir),
  'a pipe': lambda path: _replace(path, os.mkfifo),
  'a broken link': (
    lambda path: _replace(path, lambda path: path.symlink_to('nowhere'))
  ),
}
_TEXT_DAMAGE = {
  'deleted': pathlib.Path.unlink,
  'empty': lambda path: path.write_text(''),
  'cut': lambda path: os.truncate(path, path.stat().st_size // 2),
  'zeroed': lambda path: path.write_bytes(bytes(path.stat().st_size)),
  'not UTF-8': lambda path: path.write_bytes(b'\xff\xfe' + path.read_bytes()),
  'nested without end': lambda path: path.write_text('[' * 100_000),
  'null': lambda path: path.write_text('null'),
  'a folder': lambda path: _replace(path, pathlib.Path.mkdir),
}
_DAMAGE: dict[str, Callable[[pathlib.Path], None]] = {
  **{
    f'a shard {name}': lambda place, act=act: act(_shards(place)[0])
    for name, act in _SHARD_DAMAGE.items()
  },
  'two shards swapped': lambda place: _swap(*_shards(place)),
  **{
    f'{file.name} {name}': lambda place, file=file, act=act: act(place / file)
    for file in (
      pathlib.Path(manifest.NAME),
      pathlib.Path('preparation.json'),
      _version(pathlib.Path()) / 'dataset_info.json',
      _version(pathlib.Path()) / 'features.json',
    )
    for name, act in _TEXT_DAMAGE.items()
  },
  'another number of clips': lambda place: _edit(
    _version(place) / 'dataset_info.json', '"2"', '"1"'
  ),
  'passes for real': lambda place: _edit(
    place / 'preparation.json', '"simulated": false', '"simulated": true'
  ),
  'version gone': lambda place: shutil.rmtree(_version(place)),
  'another version': lambda place: _version(place).rename(
    _version(place).with_name('9.9.9')
  ),
  'all but the summary gone': lambda place: shutil.rmtree(place / 'casme2'),
  'emptied': lambda place: _replace(place, pathlib.Path.mkdir),
  'a file': lambda place: _replace(place, pathlib.Path.touch),
  'a link to nowhere': lambda place: _replace(
    place, lambda place: place.symlink_to('nowhere')
  ),
}


def _said(text, place):
  """The single line about the damage."""
  (line,) = text.splitlines()
  match = re.fullmatch(
    re.escape(f'{place} is damaged (')
    + r'(.+)\)\. It is made again; the damaged folder is kept as (\S+)\.',
    line,
  )
  assert match and os.path.lexists(place.with_name(match[2]))
  return match[1]


@pytest.mark.parametrize('kind', _DAMAGE)
def test_damaged_records_are_reported_set_aside_and_rebuilt(
  cache, capsys, kind
):
  place = cache.copy()
  _DAMAGE[kind](place)
  prepared = cache.open(cache.used)
  assert not prepared.from_cache
  _said(capsys.readouterr().out, place)
  cache.check(prepared)
  # And that is that.
  assert cache.open(cache.used).from_cache
  assert capsys.readouterr().out == ''


def _files(place):
  return sorted(path for path in place.rglob('*') if path.is_file())


@st.composite
def _bytes_changed(draw):
  """Draws (file, change of its bytes)."""
  act = draw(st.sampled_from(['flip', 'cut', 'insert', 'zero', 'delete']))
  return (
    draw(st.floats(0, 0.999)),
    act,
    draw(st.floats(0, 1)),
    draw(st.integers(1, 255)),
  )


def _change(place, change):
  which, act, position, value = change
  files = _files(place)
  path = files[int(which * len(files))]
  data = path.read_bytes()
  at = int(position * (len(data) - 1))
  if act == 'flip':
    _flip(path, position, value)
  elif act == 'cut':
    path.write_bytes(data[:at])
  elif act == 'insert':
    path.write_bytes(data[:at] + bytes([value]) + data[at:])
  elif act == 'zero':
    path.write_bytes(
      data[:at] + bytes(len(data[at : at + value])) + data[at + value :]
    )
  else:
    path.unlink()


@_settings
@hypothesis.given(changes=st.lists(_bytes_changed(), min_size=1, max_size=3))
@pytest.mark.slow
def test_any_changed_byte_rebuilds_the_records(cache, changes):
  place = cache.copy()
  before = {path: path.read_bytes() for path in _files(place)}
  for change in changes:
    _change(place, change)
  # Zeros may have been zeros before.
  same = {path: path.read_bytes() for path in _files(place)} == before
  prepared = cache.open(cache.used)
  assert prepared.from_cache == same
  cache.check(prepared)


def _hide(place, shard):
  """Restores the times of a damaged shard, so that the manifest trusts it."""
  files = manifest._load(place)
  name = shard.relative_to(place).as_posix()
  files[name]['times'] = manifest._times(shard.stat())
  manifest._store(place, files)


@_settings
@hypothesis.given(st.floats(0, 1), st.integers(1, 255))
def test_damage_with_unchanged_times_is_found_on_reading(cache, position, mask):
  """Large files are compared only by size and times."""
  place = cache.copy()
  shard = _shards(place)[0]
  _flip(shard, position, mask)
  _hide(place, shard)
  with pytest.MonkeyPatch.context() as patch:
    # Less than the shards take.
    patch.setattr(manifest, '_READ_BYTES', 4000)
    prepared = cache.open(cache.used)
    assert prepared.from_cache
    cache.check(prepared)


def test_damage_while_records_are_read(cache, capsys):
  place = cache.copy()
  prepared = cache.open(cache.used)
  shards = _shards(place)
  cache.check(prepared)
  # Open files are read on; new readers see the damage.
  again = cache.open(cache.used)
  for shard in shards:
    os.truncate(shard, 100)
  cache.check(again)
  assert 'has 100 bytes, not' in _said(capsys.readouterr().out, place)
  assert cache.open(cache.used).from_cache


def test_damaged_records_cannot_be_rebuilt_from_changed_raw_data(
  cache, tmp_path
):
  """The raw data have changed in the meantime."""
  root = tmp_path / 'raw'
  shutil.copytree(cache.root, root)
  prepared = prepare.prepare('casme2', root, tmp_path / 'cache')
  for path in prepared.records_dir.glob('*.array_record*'):
    os.truncate(path, 100)
  frame = root / 'Cropped/Cropped/sub01/EP00/reg_img12.jpg'
  os.utime(frame, ns=(0, 0))
  with pytest.raises(errors.UserError, match='have changed since') as info:
    prepared.source[0]
  assert str(prepared.records_dir) in str(info.value)
  shutil.rmtree(root)
  with pytest.raises(errors.UserError, match='does not exist'):
    prepared.source[0]


def test_intact_records_that_cannot_be_read_are_not_rebuilt(cache, monkeypatch):
  """With faulty memory, say, rebuilding would never end."""
  prepared = cache.open(cache.whole)
  source = type(prepared.source._prepared.source)

  def fail(self, index):
    raise RuntimeError('Corrupted')

  monkeypatch.setattr(source, '__getitem__', fail)
  with pytest.raises(errors.UserError, match='are as written') as info:
    prepared.source[1]
  assert str(prepared.records_dir) in str(info.value)
  monkeypatch.undo()
  cache.check(prepared)


def test_there_is_no_record_beyond_the_last(cache):
  source = cache.open(cache.whole).source
  with pytest.raises(IndexError):
    source[len(source)]
  assert source[-1]['clip_id'] == source[len(source) - 1]['clip_id']


# Places that cannot be written.


def _content(folder):
  return {
    path: (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns)
    for path in [folder, *folder.rglob('*')]
  }


def test_intact_records_are_used_without_writing(cache):
  place = cache.copy()
  # Takes over the times of the copy.
  cache.open(cache.used)
  place.with_name(f'{cache.fingerprint}.lock').unlink()
  before = _content(cache.used)
  prepared = cache.open(cache.used)
  assert prepared.from_cache
  cache.check(prepared)
  assert _content(cache.used) == before


def _refuse(*arguments, **options):
  raise OSError(30, 'Read-only file system')


def test_a_copy_that_cannot_be_written_is_used(cache, monkeypatch):
  cache.copy()
  monkeypatch.setattr(manifest.tempfile, 'mkstemp', _refuse)
  for _ in range(2):
    assert cache.open(cache.used).from_cache


def test_damaged_records_on_a_read_only_disk_are_refused(cache, monkeypatch):
  place = cache.copy()
  _flip(_shards(place)[0])
  monkeypatch.setattr(pathlib.Path, 'rename', _refuse)
  with pytest.raises(errors.UserError, match='cannot be replaced') as info:
    cache.open(cache.used)
  text = str(info.value)
  assert str(place) in text and 'Read-only' in text
  assert '--config.data.cache_dir' in text


def test_records_of_another_user(cache, monkeypatch):
  """A folder without read permission is not taken for a damaged one."""

  def refuse(folder):
    raise PermissionError(13, 'Permission denied', str(folder))

  monkeypatch.setattr(manifest, '_load', refuse)
  with pytest.raises(errors.UserError, match='Permission denied.*cache_dir'):
    cache.open(cache.whole)


def test_the_last_two_damaged_copies_are_kept(cache):
  place = cache.copy()
  for number in range(1, 5):
    (place / 'preparation.json').write_text(json.dumps(number))
    cache.open(cache.used)
  kept = sorted(path for path in place.parent.iterdir() if path != place)
  assert [path.name.rpartition('.')[2] for path in kept] == [
    'damaged-3',
    'damaged-4',
    'lock',
  ]
  assert [(p / 'preparation.json').read_text() for p in kept[:2]] == ['3', '4']
