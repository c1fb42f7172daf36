"""Tests of preparing records and finding them again."""

import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from dianet_jax.clips import images
from dianet_jax.core import errors, limits
from tests.support import raw_trees
from tfds_builders import prepare

_REPOSITORY = pathlib.Path(__file__).parents[2]


def _prepare(root, cache, **kwargs):
  return prepare.prepare('casme2', root, cache, **kwargs)


def _ids(prepared):
  return [record['clip_id'].decode() for record in prepared.source]


def _content(folder: pathlib.Path) -> list[str]:
  return sorted(str(p.relative_to(folder)) for p in folder.rglob('*'))


def test_records_hold_the_bytes_of_the_files(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw')
  prepared = _prepare(root, tmp_path / 'cache')
  assert len(prepared.source) == 3
  # Random access, in the order of the clip ids.
  record = prepared.source[1]
  folder = root / 'Cropped/Cropped/sub01/EP03_02'
  expected = [(folder / f'reg_img{n}.jpg').read_bytes() for n in range(10, 20)]
  assert list(record['frames']) == expected
  assert images.decode(record['frames'][0]).shape == (24, 32, 3)
  assert list(record.pop('frame_numbers')) == list(range(10, 20))
  del record['frames']
  assert record == {
    'clip_id': b'sub01/EP03_02',
    'subject': b'sub01',
    'dataset': b'casme2',
    'emotion': b'disgust',
    'action_units': b'4+7+L10',
    'au_unit': [4, 7, 10],
    'au_side': [b'', b'', b'L'],
    'au_intensity': [b'', b'', b''],
    'frames_per_second': 200.0,
    'onset': 0,
    'apex': 4,
    'offset': 9,
    'apex_source': b'annotated',
    'notes': b'',
  }


def test_a_clip_may_have_no_action_units(tmp_path):
  rows = [
    raw_trees.casme2_row(1, 'EP01', action_units=None),
    raw_trees.casme2_row(1, 'EP02', action_units='R12B'),
  ]
  root = raw_trees.casme2(tmp_path / 'raw', rows)
  source = _prepare(root, tmp_path / 'cache').source
  names = ('au_unit', 'au_side', 'au_intensity')
  units = [[list(record[name]) for name in names] for record in source]
  assert units == [[[], [], []], [[12], [b'R'], [b'B']]]


def test_prepared_has_its_origin(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw')
  prepared = _prepare(root, tmp_path / 'cache')
  assert not prepared.from_cache
  assert not prepared.simulated
  assert prepared.left_out == []
  assert prepared.notes == [
    'annotations from CASME2-coding-20140508.xlsx',
    'variant cropped',
  ]
  place = tmp_path / 'cache' / 'casme2' / prepared.fingerprint
  assert prepared.records_dir.is_relative_to(place)
  assert list(prepared.records_dir.glob('*.array_record*'))
  assert sorted(path.name for path in place.parent.iterdir()) == [
    prepared.fingerprint,
    f'{prepared.fingerprint}.lock',
  ]
  assert sorted(path.name for path in place.iterdir()) == [
    'MANIFEST.json',
    'casme2',
    'preparation.json',
  ]


def test_source_can_be_read_from_several_threads(tmp_path):
  rows = [raw_trees.casme2_row(i, 'EP01') for i in range(1, 13)]
  root = raw_trees.casme2(tmp_path / 'raw', rows)
  source = _prepare(root, tmp_path / 'cache').source
  order = [i % 12 for i in range(96)]
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    read = list(pool.map(lambda i: source[i]['clip_id'].decode(), order))
  assert read == [f'sub{i + 1:02d}/EP01' for i in order]


def test_two_trees_in_one_process_have_their_own_records(tmp_path):
  """TFDS alone would return the records of the first folder."""
  first = raw_trees.casme2(tmp_path / 'a')
  second = raw_trees.casme2(tmp_path / 'b', [raw_trees.casme2_row(7, 'EP09')])
  cache = tmp_path / 'cache'
  for _ in range(2):
    assert _ids(_prepare(second, cache)) == ['sub07/EP09']
    assert len(_ids(_prepare(first, cache))) == 3


def test_second_time_is_from_cache_and_opens_no_image(tmp_path, monkeypatch):
  root = raw_trees.casme2(tmp_path / 'raw')
  first = _prepare(root, tmp_path / 'cache')

  def decode(_):
    raise AssertionError('an image was opened')

  monkeypatch.setattr(images, 'decode', decode)
  second = _prepare(root, tmp_path / 'cache')
  assert second.from_cache
  assert second.fingerprint == first.fingerprint
  assert second.notes == first.notes
  assert _ids(second) == _ids(first)


@pytest.mark.parametrize('where', ['at', 'above', 'inside', 'linked'])
def test_simulated_data_stay_simulated(tmp_path, where):
  """Whichever folder is given, results on them are marked as simulated."""
  tree = raw_trees.casme2(tmp_path / 'all' / 'tree')
  raw_trees.mark_simulated(tree)
  sheet = tree / 'CASME2-coding-20140508.xlsx'
  root = {'above': tree.parent, 'inside': tree / 'Cropped'}.get(where, tree)
  if where == 'inside':
    shutil.copy(sheet, root)
  if where == 'linked':
    root = tmp_path / 'mine'
    root.mkdir()
    shutil.copy(sheet, root)
    (root / 'Cropped').symlink_to(tree / 'Cropped')
  assert _prepare(root, tmp_path / 'cache').simulated


def test_unknown_data_set_and_variant(tmp_path):
  with pytest.raises(errors.UserError, match="did you mean 'casme2'"):
    prepare.prepare('casme', tmp_path, tmp_path)
  with pytest.raises(errors.UserError, match='cropped, raw_selected, raw'):
    _prepare(tmp_path, tmp_path, variant='crop')
  with pytest.raises(errors.UserError, match='Leave the key empty'):
    prepare.prepare('megc2019_flow', tmp_path, tmp_path, variant='raw')


def test_cache_that_cannot_be_written(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw')
  (tmp_path / 'cache').write_text('a file')
  with pytest.raises(errors.UserError, match='data.cache_dir'):
    _prepare(root, tmp_path / 'cache')


# Interruptions.


class _Interrupted(BaseException):
  pass


@pytest.mark.parametrize('stage', ['Checking', 'Writing'])
def test_interrupted_preparation_leaves_nothing(tmp_path, stage):
  root = raw_trees.casme2(tmp_path / 'raw')
  steps = []

  def track(items, description, total):
    for index, item in enumerate(items):
      steps.append((description, index, total))
      if description.startswith(stage) and index == 1:
        raise _Interrupted
      yield item

  with pytest.raises(_Interrupted):
    _prepare(root, tmp_path / 'cache', track=track)
  assert steps[-1] == (f'{stage} CASME II', 1, 3)
  left = _content(tmp_path / 'cache' / 'casme2')
  assert len(left) == 1 and left[0].endswith('.lock')
  prepared = _prepare(root, tmp_path / 'cache')
  assert (len(prepared.source), prepared.from_cache) == (3, False)


def test_killed_preparation_is_completed_by_the_next(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw')
  cache = tmp_path / 'cache'
  program = textwrap.dedent("""
    import sys, time
    from tfds_builders import prepare
    def track(items, description, total):
      for item in items:
        if description.startswith('Writing'):
          print('writing', flush=True)
          time.sleep(60)
        yield item
    prepare.prepare('casme2', sys.argv[1], sys.argv[2], track=track)
  """)
  process = subprocess.Popen(
    [sys.executable, '-c', program, str(root), str(cache)],
    cwd=_REPOSITORY,
    stdout=subprocess.PIPE,
  )
  assert process.stdout.readline() == b'writing\n'
  process.send_signal(signal.SIGKILL)
  process.wait()
  process.stdout.close()
  half_made = [p.suffix for p in (cache / 'casme2').iterdir()]
  assert sorted(half_made) == ['.incomplete', '.lock']
  prepared = _prepare(root, cache)
  assert (len(prepared.source), prepared.from_cache) == (3, False)
  assert not list(cache.rglob('*incomplete*'))


def test_damaged_cache_is_rebuilt(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw')
  prepared = _prepare(root, tmp_path / 'cache')
  place = tmp_path / 'cache' / 'casme2' / prepared.fingerprint
  (place / 'preparation.json').unlink()
  again = _prepare(root, tmp_path / 'cache')
  assert (len(again.source), again.from_cache) == (3, False)


# Manners.


def test_silent_and_without_tensorflow(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw')
  program = textwrap.dedent("""
    import sys
    import tfds_builders
    assert 'tensorflow_datasets' not in sys.modules
    from tfds_builders import prepare
    assert 'tensorflow_datasets' not in sys.modules
    for _ in range(2):
      prepare.prepare('casme2', sys.argv[1], sys.argv[2]).source[0]
    assert 'tensorflow_datasets' in sys.modules
    assert 'tensorflow' not in sys.modules
    assert 'torch' not in sys.modules
  """)
  result = subprocess.run(
    [sys.executable, '-c', program, str(root), str(tmp_path / 'cache')],
    cwd=_REPOSITORY,
    capture_output=True,
    text=True,
    check=False,
  )
  assert (result.returncode, result.stdout, result.stderr) == (0, '', '')


def test_clips_are_checked_on_several_threads(tmp_path, monkeypatch):
  rows = [raw_trees.casme2_row(i, 'EP01') for i in range(1, 9)]
  root = raw_trees.casme2(tmp_path / 'raw', rows)
  threads = set()

  def decode(_):
    threads.add(threading.get_ident())
    # Lets the other threads begin, as OpenCV does.
    time.sleep(0.002)
    return np.zeros((24, 32, 3), np.uint8)

  monkeypatch.setattr(images, 'decode', decode)
  monkeypatch.setattr(limits, 'cores', lambda: 2)
  _prepare(root, tmp_path / 'cache')
  assert len(threads) == 2
  assert threading.get_ident() not in threads
