"""Frames are decoded while the devices work, a few batches ahead at most."""

import threading
import weakref

import numpy as np
import pytest

from dianet_jax.core import errors
from dianet_jax.data import inputs
from dianet_jax.motion.dynamic_images import DYNAMIC_IMAGES
from tests.support import moving

CHOSEN, ROWS = {'x': 'dynamic_images'}, {'x': DYNAMIC_IMAGES}
SIDE = 32


class Record(dict):
  """A dict that can be watched."""


@pytest.fixture(scope='module')
def records():
  """Three full batches and a part of a fourth; clips of several lengths."""
  rng = np.random.default_rng(0)
  found = []
  for number in range(3 * inputs.BATCH + 3):
    length = 3 + number % 4
    frames = rng.integers(0, 256, (length, SIDE, SIDE, 3)).astype(np.uint8)
    found.append(moving.record(frames, 1, f'clip {number}'))
  return found


@pytest.fixture
def settings(tmp_path):
  return moving.settings(
    frame_size=SIDE, image_size=8, cache_dir=str(tmp_path / 'cache')
  )


@pytest.fixture
def events(monkeypatch):
  """Events of each batch: started on the devices, fetched from them."""
  found = []

  def spied(name, original):
    def spy(*args):
      found.append((name, sum(event[0] == name for event in found)))
      return original(*args)

    return spy

  for place, name in (
    (inputs._Reader, 'begin'),
    (inputs, '_represent'),
    (inputs, '_fetch'),
  ):
    monkeypatch.setattr(place, name, spied(name, getattr(place, name)))
  return found


def test_overlapped_batches_are_bit_identical_to_sequential_ones(
  records, settings
):
  together, _ = inputs.make_all(records, settings, None, CHOSEN)
  batches = [
    inputs.make(records[start : start + inputs.BATCH], settings, None, ROWS)
    for start in range(0, len(records), inputs.BATCH)
  ]
  expected = np.concatenate([batch['x'] for batch in batches], axis=1)
  np.testing.assert_array_equal(together['x'], expected)
  assert len(np.unique(expected[0, :, 0, 0, 0, 0])) == len(records)


def test_memory_is_used_again_and_padding_is_black(
  records, settings, monkeypatch
):
  blocks, allocate, put = [], inputs._aligned, inputs._on_device

  def aligned(size):
    blocks.append(allocate(size))
    # As if it had been used before.
    blocks[-1].fill(7)
    return blocks[-1]

  def on_device(frames, lengths, keys):
    for row, clip in enumerate(frames):
      assert not clip[lengths[row] if row < len(lengths) else 0 :].any()
    clips = put(frames, lengths, keys)
    assert np.shares_memory(np.asarray(clips.frames), frames)
    return clips

  monkeypatch.setattr(inputs, '_aligned', aligned)
  monkeypatch.setattr(inputs, '_on_device', on_device)
  inputs.make_all(records, settings, None, CHOSEN)
  assert len(blocks) == 3 < len(records) / inputs.BATCH


def test_the_next_batch_starts_before_a_result_is_fetched(
  records, settings, events
):
  inputs.make_all(records, settings, None, CHOSEN)
  last = len(records) // inputs.BATCH
  for number in range(last):
    fetched = events.index(('_fetch', number))
    assert events.index(('_represent', number + 1)) < fetched
    decoding = ('begin', min(number + 2, last))
    assert events.index(decoding) < fetched


def test_one_batch_is_decoded_while_another_is_on_the_devices(
  records, settings, monkeypatch
):
  second = threading.Event()
  decode, represent = inputs.decode_clip, inputs._represent
  first_of_second = records[inputs.BATCH]['frames']

  def decode_clip(encoded, *args):
    if encoded is first_of_second:
      second.set()
    return decode(encoded, *args)

  def wait(*args):
    assert second.wait(60), 'the next batch is not decoded meanwhile'
    return represent(*args)

  monkeypatch.setattr(inputs, 'decode_clip', decode_clip)
  monkeypatch.setattr(inputs, '_represent', wait)
  inputs.make_all(records, settings, None, CHOSEN)


def test_three_batches_are_in_memory_at_most(records, settings):
  alive, most = weakref.WeakSet(), []

  def watched():
    for record in records:
      copy = Record(record)
      alive.add(copy)
      yield copy
      del copy
      most.append(len(alive))

  # Sets keep what is equal once; records have no hash.
  Record.__hash__, Record.__eq__ = object.__hash__, object.__eq__
  inputs.make_all(watched(), settings, None, CHOSEN)
  assert inputs.BATCH < max(most) <= 3 * inputs.BATCH


@pytest.mark.parametrize('number', [1, inputs.BATCH + 2])
def test_a_damaged_frame_has_the_same_error_as_without_overlap(
  records, settings, number
):
  broken = dict(records[number])
  broken['frames'] = [broken['frames'][0][:40], *broken['frames'][1:]]
  damaged = [*records[:number], broken, *records[number + 1 :]]
  threads = threading.active_count()
  with pytest.raises(ValueError, match='is truncated') as alone:
    inputs.make([broken], settings, None, ROWS)
  with pytest.raises(ValueError) as found:
    inputs.make_all(damaged, settings, None, CHOSEN)
  assert str(found.value) == str(alone.value)
  assert threading.active_count() <= threads


def test_waiting_clips_are_not_decoded_after_an_error(
  records, settings, monkeypatch
):
  decoded = []

  def refuse(encoded, *args):
    decoded.append(encoded)
    raise errors.UserError('no face in it')

  monkeypatch.setattr(inputs, 'decode_clip', refuse)
  monkeypatch.setattr(inputs.limits, 'cores', lambda: 1)
  with pytest.raises(errors.UserError, match='no face in it'):
    inputs.make_all(records, settings, None, CHOSEN)
  assert len(decoded) < 2 * inputs.BATCH
