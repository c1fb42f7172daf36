"""Contents of records, and their order in shards."""

import hashlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from dianet_jax.core import errors
from tests.support import raw_trees
from tfds_builders import prepare, records, registry


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


def test_clip_too_large_for_a_record_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(records, '_MOST_RECORD_BYTES', 1000)
  root = _six_clips(tmp_path / 'raw')
  with pytest.raises(errors.UserError, match='10 images of sub01/EP00') as info:
    prepare.prepare('casme2', root, tmp_path / 'cache')
  assert 'reg_img10.jpg' in str(info.value)
  (left,) = (tmp_path / 'cache' / 'casme2').iterdir()
  assert left.suffix == '.lock'


_SMIC_CLIP = 'HS/s1/micro/negative/s1_ne_01'


def test_frames_numbered_by_the_time_of_day(tmp_path):
  numbers = range(20131224153000, 20131224153006)
  raw_trees.write_clip(tmp_path / 'raw' / _SMIC_CLIP, numbers, '{}.bmp')
  prepared = prepare.prepare('smic', tmp_path / 'raw', tmp_path / 'cache')
  assert list(prepared.source[0]['frame_numbers']) == list(numbers)


def test_frame_number_too_large_for_a_record(tmp_path):
  numbers = range(10**18, 10**18 + 6)
  raw_trees.write_clip(tmp_path / 'raw' / _SMIC_CLIP, numbers, '{}.bmp')
  with pytest.raises(errors.UserError, match='18 digits') as info:
    prepare.prepare('smic', tmp_path / 'raw', tmp_path / 'cache')
  assert f'{_SMIC_CLIP} holds 1000000000000000005.bmp' in str(info.value)


# What records hold.

# Version of the records -> hash of their features: of the shared record, and
# of the data sets whose records differ from it. Another hash asks for another
# version, or records of the old kind would be taken from users' caches.
_SCHEMAS = {
  '1.1.0': {
    'shared': '58c56c1b5cf0faf6',
    'megc2019': 'eabd92d4878b9bc8',
    'megc2019_flow': '6639e61e7868f39d',
  },
  '1.2.0': {
    'shared': 'a5f4c13684741d05',
    'megc2019': '558451e30769444f',
    'megc2019_flow': '6639e61e7868f39d',
  },
  # Of this data set alone.
  '1.3.0': {'megc2019_flow': '7221cd7160eff648'},
}


def _shapes(info):
  return f'{info.shape} {np.dtype(info.np_dtype)}'


def _schema(features):
  """Hash of names, types and storage; texts that explain them do not count."""
  rows = [
    f'{name}: {type(feature).__name__}'
    f' {_shapes(feature.get_tensor_info())}'
    f' {_shapes(feature.get_serialized_info())}'
    for name, feature in sorted(tfds.features.FeaturesDict(features).items())
  ]
  return hashlib.sha256('\n'.join(rows).encode()).hexdigest()[:16]


@pytest.mark.parametrize('name', registry.names())
def test_other_features_need_another_version(tmp_path, name):
  builder = registry.builder(name)(data_dir=tmp_path)
  kept = _SCHEMAS[str(builder.VERSION)]
  assert _schema(builder.features()) == (kept.get(name) or kept['shared']), (
    'the record has changed: give records.VERSION a new number, say in '
    'RELEASE_NOTES what changed, and keep the new hash here'
  )
  # Of all builders: a composite's record changes with its parts'.
  assert builder.version == builder.VERSION >= records.VERSION
  assert str(builder.VERSION) in builder.RELEASE_NOTES


@pytest.mark.parametrize(
  'change',
  [{'head_pose': np.float32}, {'onset': np.int64}, {'notes': np.int32}],
)
def test_the_schema_depends_on_all_features(tmp_path, change):
  builder = registry.builder('casme2')(data_dir=tmp_path)
  features = builder.features()
  assert _schema(features | change) != _schema(features)
  fewer = {name: f for name, f in features.items() if name not in change}
  assert _schema(fewer | change) != _schema(features)
