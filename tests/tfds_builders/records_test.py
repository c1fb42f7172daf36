"""Tests of how records are laid out in shards."""

import pytest

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import prepare, records


@pytest.mark.parametrize(
  ('sizes', 'lengths'),
  [
    ([1], [1]),
    ([40, 40, 40, 40], [2, 2]),
    ([64, 64, 1], [1, 1, 1]),
    ([500, 1, 1], [1, 2]),
    ([], []),
  ],
)
def test_shards_are_filled_in_order(monkeypatch, sizes, lengths):
  monkeypatch.setattr(records, '_SHARD_BYTES', 64)
  assert records._shard_lengths(sizes) == lengths


def _six_clips(folder):
  rows = [raw_trees.casme2_row(1, f'EP{i:02d}') for i in range(6)]
  return raw_trees.casme2(folder, rows)


def test_records_keep_their_order_over_several_shards(tmp_path, monkeypatch):
  root = _six_clips(tmp_path / 'raw')
  clip = sum(p.stat().st_size for p in root.rglob('EP00/*.jpg'))
  monkeypatch.setattr(records, '_SHARD_BYTES', clip)
  prepared = prepare.prepare('casme2', root, tmp_path / 'cache')
  shards = list(prepared.records_dir.glob('*.array_record*'))
  assert len(shards) == 3
  ids = [record['clip_id'].decode() for record in prepared.source]
  assert ids == [f'sub01/EP{i:02d}' for i in range(6)]
  assert prepared.source[4]['clip_id'] == b'sub01/EP04'


def test_more_than_tfds_keeps_in_memory(tmp_path, monkeypatch):
  """Its generator-based builder needs TensorFlow for more than 1 GB."""
  from tensorflow_datasets.core import shuffle

  monkeypatch.setattr(shuffle, 'MAX_MEM_BUFFER_SIZE', 1)
  root = _six_clips(tmp_path / 'raw')
  assert len(prepare.prepare('casme2', root, tmp_path / 'cache').source) == 6


def test_clip_that_no_record_can_hold(tmp_path, monkeypatch):
  monkeypatch.setattr(records, '_MOST_RECORD_BYTES', 1000)
  root = _six_clips(tmp_path / 'raw')
  with pytest.raises(errors.UserError, match='10 images of sub01/EP00') as info:
    prepare.prepare('casme2', root, tmp_path / 'cache')
  assert 'reg_img10.jpg' in str(info.value)
  (left,) = (tmp_path / 'cache' / 'casme2').iterdir()
  assert left.suffix == '.lock'
