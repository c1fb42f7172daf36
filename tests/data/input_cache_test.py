"""What costs seconds a clip is made once, and is what would be made."""

import dataclasses
import hashlib
import os

import numpy as np
import pytest

from dianet_jax.core import errors
from dianet_jax.data import caches, input_cache, inputs
from dianet_jax.motion import flow as flow_lib
from dianet_jax.motion.phase_flow import PHASE_FLOW
from tests.support import moving

CHOSEN = {'flow': 'phase_flow'}
ROWS = {'flow': PHASE_FLOW}


@pytest.fixture(scope='module')
def records():
  clips = [
    moving.clip(moving.translation(right, 0.3), (0.0, 1.0, 0.2), size=32)
    for right in (0.5, 0.8, 1.1, -0.4)
  ]
  return [moving.record(c, 1, f'clip {i}') for i, c in enumerate(clips)]


@pytest.fixture
def settings(tmp_path):
  return moving.settings(
    frame_size=32, image_size=8, cache_dir=str(tmp_path / 'cache')
  )


@pytest.fixture
def computed(monkeypatch):
  """Pairs of frames whose flow was found, call by call."""
  calls = []
  between = flow_lib.between

  def spy(clips, first, last, options):
    calls.append(int((np.asarray(first) != last).sum()))
    return between(clips, first, last, options)

  monkeypatch.setattr(flow_lib, 'between', spy)
  return calls


def make(records, settings, chosen=None):
  return inputs.make_all(records, settings, None, chosen or CHOSEN)


def kept(settings):
  folder = input_cache.InputCache('phase_flow', PHASE_FLOW, settings).folder
  return sorted(folder.glob('*.npz'))


def test_a_second_start_reads_what_the_first_made(records, settings, computed):
  first, fingerprint = make(records, settings)
  assert computed == [8] and len(kept(settings)) == 4
  second, again = make(records, settings)
  assert computed == [8] and fingerprint == again
  np.testing.assert_array_equal(first['flow'], second['flow'])
  direct = inputs.make(records, settings, None, ROWS)
  np.testing.assert_array_equal(first['flow'], direct['flow'])
  # The fingerprint is that of the records alone.
  digest = hashlib.sha256()
  for record in records:
    input_cache.add_record(digest, record)
  assert fingerprint == digest.hexdigest()[:16]


def test_nothing_is_decoded_where_everything_is_kept(
  records, settings, monkeypatch
):
  made, _ = make(records, settings)
  monkeypatch.setattr(inputs, 'decode_clip', None)
  np.testing.assert_array_equal(
    make(records, settings)[0]['flow'], made['flow']
  )


def test_only_what_lacks_is_made(records, settings, computed):
  make(records[:1] + records[2:3], settings)
  found, _ = make(records, settings)
  assert computed == [4, 4]
  expected = inputs.make(records, settings, None, ROWS)['flow']
  np.testing.assert_allclose(found['flow'], expected, atol=1e-6)
  # Cheap representations beside it are made anew each time.
  both, _ = make(records, settings, CHOSEN | {'frames': 'key_frames'})
  assert both['frames'].shape == (1, 4, 3, 8, 8, 3)
  np.testing.assert_array_equal(both['flow'], found['flow'])


@pytest.mark.parametrize(
  'changes, anew',
  [
    ({'image_size': 16}, True),
    ({'flow': {'head_motion': 'median'}}, True),
    ({'crop': (0.0, 0.0, 0.9, 0.9)}, True),
    ({'offset_jitter_frames': 1}, True),
    ({'protocol': 'samm_5class', 'scaling': 'none'}, False),
    ({'permute_labels': True, 'manual_dir': '/elsewhere'}, False),
  ],
  ids=str,
)
def test_what_decides_an_input_decides_where_it_is_kept(
  records, settings, computed, changes, anew
):
  make(records[:1], settings)
  values = {'frame_size': 32, 'image_size': 8, 'cache_dir': settings.cache_dir}
  made, _ = make(records[:1], moving.settings(**values | changes))
  assert (len(computed) > 1) == anew
  assert made['flow'].shape[3] == changes.get('image_size', 8)


def test_another_clip_or_another_place_of_the_face_is_another_key(records):
  key = input_cache.clip_key(records[0], None)
  assert key != input_cache.clip_key(records[1], None)
  there = np.array([[1.0, 0, 0], [0, 1, 0]])
  keys = {input_cache.clip_key(records[0], there + i) for i in (0, 1)}
  assert len(keys | {key}) == 3


def test_changed_code_makes_everything_anew(settings, monkeypatch, tmp_path):
  plain = input_cache.InputCache('phase_flow', PHASE_FLOW, settings).folder

  class Other(type(PHASE_FLOW)):
    pass

  other = tmp_path / 'other.py'
  other.write_text('one')
  monkeypatch.setattr(input_cache.inspect, 'getfile', lambda cls: str(other))
  row = Other()
  one = input_cache.InputCache('phase_flow', row, settings).folder
  other.write_text('two')
  two = input_cache.InputCache('phase_flow', row, settings).folder
  assert len({plain, one, two}) == 3


@pytest.mark.parametrize('damage', ['cut', 'flipped', 'empty'])
def test_a_damaged_file_is_made_again(
  records, settings, computed, damage, capsys
):
  made, _ = make(records[:2], settings)
  path = kept(settings)[0]
  data = bytearray(path.read_bytes())
  if damage == 'flipped':
    # In the middle of the numbers.
    data[len(data) // 2] ^= 1
  path.write_bytes({'cut': data[:-100], 'flipped': data, 'empty': b''}[damage])
  again, _ = make(records[:2], settings)
  assert computed == [4, 2]
  np.testing.assert_allclose(again['flow'], made['flow'], atol=1e-6)
  assert 'damaged: it is computed again' in capsys.readouterr().out.replace(
    '\n', ' '
  )
  make(records[:2], settings)
  assert computed == [4, 2]


def test_a_write_that_fails_leaves_nothing(records, settings, monkeypatch):
  make(records[:1], settings)
  before = sorted(kept(settings)[0].parent.iterdir())

  def full(source, target):
    raise OSError('No space left on device')

  monkeypatch.setattr(input_cache.os, 'replace', full)
  with pytest.raises(errors.UserError, match='No space left.*dianet cache'):
    make(records[:2], settings)
  assert sorted(before[0].parent.iterdir()) == before


def test_stored_images_are_not_kept(settings):
  settings = dataclasses.replace(settings, dataset='megc2019_flow')
  image = np.zeros((28, 28, 3), np.uint8)
  record = {
    'clip_id': b'clip',
    'onset_apex': moving.png(image),
    'apex_offset': moving.png(image),
    'positions': [],
  }
  make([record], settings)
  assert not os.path.exists(settings.cache_dir)


@pytest.fixture
def cache(tmp_path):
  """Entries of every kind; the last number is how many days old they are."""
  root = tmp_path / 'cache'
  for name, size, days in (
    ('records/casme2/aaaa/data', 3_000_000, 40),
    ('records/casme2/bbbb/data', 1_000_000, 1),
    ('inputs/phase_flow-0123/clip.npz', 2_000_000, 3),
    ('simulated/casme2-ffff/img1.jpg', 500_000, 50),
    ('compiled/program', 250_000, 0),
    ('mine/notes.txt', 10, 99),
  ):
    path = root / name
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(size))
    then = path.stat().st_mtime - days * 24 * 3600
    for changed in (path, path.parent):
      os.utime(changed, (then, then))
  return root


def run(cache, capsys, *arguments):
  caches.main([f'--cache_dir={cache}', *arguments])
  return capsys.readouterr().out


def left(cache):
  return {
    str(path.relative_to(cache)) for path in cache.rglob('*') if path.is_file()
  }


def test_the_list(cache, capsys):
  before = left(cache)
  lines = run(cache, capsys).splitlines()
  assert lines[0] == 'records: prepared records, 4.0 MB'
  assert lines[1].split() == [
    '3.0', 'MB', '1', 'files', '40.0', 'days', 'records/casme2/aaaa'
  ]  # fmt: skip
  assert any('3.0 days  inputs/phase_flow-0123' in line for line in lines)
  assert lines[-1].startswith('6.8 MB in ') and left(cache) == before
  assert not any('mine' in line for line in lines)


@pytest.mark.parametrize(
  'arguments, removed, freed',
  [
    (['inputs'], {'inputs/phase_flow-0123/clip.npz'}, '2.0'),
    (
      ['records', 'simulated', '--older-than', '30'],
      {'records/casme2/aaaa/data', 'simulated/casme2-ffff/img1.jpg'},
      '3.5',
    ),
    (['records/casme2/bbbb'], {'records/casme2/bbbb/data'}, '1.0'),
    (['inputs', '--older-than', '30'], set(), '0.0'),
  ],
)
def test_pruning(cache, capsys, arguments, removed, freed):
  before = left(cache)
  text = run(cache, capsys, '--prune', *arguments)
  assert before - left(cache) == removed
  assert text.splitlines()[-1].startswith(f'{freed} MB freed in')
  assert text.count('removed') == len(removed)


def test_all_of_it_is_what_the_project_made(cache, capsys):
  run(cache, capsys, '--prune', 'all')
  assert left(cache) == {'mine/notes.txt'}
  assert run(cache, capsys).splitlines()[-1].startswith('0.0 MB')


def test_a_name_that_is_not_there(cache):
  with pytest.raises(errors.UserError, match='--prune input: .*inputs'):
    caches.main([f'--cache_dir={cache}', '--prune', 'input'])


def test_kept_inputs_say_what_they_are(records, settings, capsys):
  make(records[:2], settings)
  text = run(settings.cache_dir, capsys)
  assert 'inputs/phase_flow-' in text and '3 files' in text
  assert '(phases onset_apex, apex_offset; image_size 8)' in text
