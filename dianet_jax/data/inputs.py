"""Computes the inputs of a model from records: decode, align, represent."""

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
import contextlib
import dataclasses
import functools
import hashlib
import math
from typing import Any, NamedTuple

import jax
from jaxtyping import Float, Float64, UInt8
import numpy as np

from dianet_jax.clips import faces, images
from dianet_jax.core import config as configuration
from dianet_jax.core import limits
from dianet_jax.data import input_cache, stored_images
from dianet_jax.motion import key_frames
from dianet_jax.motion import registry as motion
from tfds_builders import registry as data_sets

# Clips per batch; with 128 frames of 224 x 224 pixels a batch has 150 MB.
BATCH = 8
# Name of an input -> an array of each variant, float32 [clip, ...], on devices.
Inputs = Mapping[str, Sequence[jax.Array]]
# In bytes; JAX on CPUs uses arrays with this alignment without copying them.
_ALIGNMENT = 64
# The number of frames is padded to a multiple, so that few shapes are compiled.
_FRAME_MULTIPLE = 32


def make_all(
  records: Iterable[dict[str, Any]],
  config: configuration.Data,
  transforms: Mapping[str, Float64[np.ndarray, '2 3']] | None,
  representations: Mapping[str, str],
) -> tuple[dict[str, Float[np.ndarray, 'variant clip ...']], str]:
  """Computes all inputs of many clips, or reads them from the cache.

  Args:
    records: one per clip, iterated once. At most three batches are in memory:
      one is decoded, one processed by the devices, and one fetched.
    config: the `data` section.
    transforms: clip id -> transform of its face; None to crop and resize.
    representations: name of each input -> its representation.

  Returns:
    Name of each input -> float32 array; and a fingerprint of the records, 16
    hexadecimal digits.

  Raises:
    ValueError: an image cannot be decoded.
    UserError: stored images differ in size, or the cache cannot be written.
    MissingInputError: the clips lack what a representation is made of.
  """
  rows = {n: motion.REPRESENTATIONS[r] for n, r in representations.items()}
  if not any(row.positions for row in rows.values()):
    # Nor do they belong to the fingerprint.
    records = map(stored_images.without_positions, records)
  caches = {}
  if not data_sets.facts(config.dataset).stored:
    caches = {
      name: input_cache.InputCache(representations[name], row, config)
      for name, row in rows.items()
      if row.cached
    }
  found: dict[str, list] = {name: [] for name in rows}
  digest = hashlib.sha256()
  pending = _pending(records, digest, transforms, caches, found)
  # Batches that the devices may still be processing.
  started: collections.deque[tuple[Any, Inputs]] = collections.deque()
  with _threads() as pool:
    reader = _Reader(pool, config, transforms)
    for batch, clips in _read_ahead(reader, pending):
      missing = {n: row for n, row in rows.items()
                 if any(n in clip.missing for clip in batch)}  # fmt: skip
      started.append((batch, _represent(clips, config, missing)))
      if len(started) > 1:
        _collect(*started.popleft(), caches, found)
        reader.release()
    for batch, values in started:
      _collect(batch, values, caches, found)
  inputs = {name: np.stack(values, axis=1) for name, values in found.items()}
  return inputs, digest.hexdigest()[:16]


class _Pending(NamedTuple):
  """A clip with inputs that are not in the cache."""

  number: int
  record: dict[str, Any]
  key: str  # In the cache; '' if nothing is cached.
  missing: Sequence[str]  # Names of the inputs that must be computed.


def _pending(
  records, digest, transforms, caches, found
) -> Iterator[list[_Pending]]:
  """Reads all inputs from the cache; yields batches of clips with others."""
  batch = []
  for number, record in enumerate(records):
    input_cache.add_record(digest, record)
    clip = ''
    if caches:
      name = record['clip_id'].decode()
      clip = input_cache.clip_key(
        record, None if transforms is None else transforms[name]
      )
    missing = []
    for name, values in found.items():
      values.append(caches[name].read(clip) if name in caches else None)
      if values[-1] is None:
        missing.append(name)
    if missing:
      batch.append(_Pending(number, record, clip, missing))
    if len(batch) == BATCH:
      yield batch
      batch = []
  if batch:
    yield batch


def _read_ahead(
  reader, pending
) -> Iterator[tuple[list[_Pending], motion.ClipBatch]]:
  """Yields batches with their frames, and decodes the next one meanwhile."""
  reading = collections.deque()
  for batch in pending:
    reading.append((batch, reader.begin([clip.record for clip in batch])))
    if len(reading) > 1:
      batch, finish = reading.popleft()
      yield batch, finish()
  for batch, finish in reading:
    yield batch, finish()


def _collect(batch, computed, caches, found):
  """Waits for the missing inputs of a batch, and stores them."""
  arrays = _fetch(computed, len(batch))
  for row, clip in enumerate(batch):
    for name in clip.missing:
      values = arrays[name][:, row]
      found[name][clip.number] = values
      if name in caches:
        caches[name].write(clip.key, values)


def make(
  records: list[dict[str, Any]],
  config: configuration.Data,
  transforms: Mapping[str, Float64[np.ndarray, '2 3']] | None,
  rows: Mapping[str, motion.Representation],
) -> dict[str, Float[np.ndarray, 'variant clip ...']]:
  """Computes the inputs of one batch, without the cache.

  Args:
    records: at most `BATCH`.
    config: the `data` section.
    transforms: clip id -> transform of its face; None to crop and resize.
    rows: name of each input -> its representation.

  Returns:
    Name of each input -> float32 array. Variant 0 has the annotated key frames,
    the next ones have earlier offsets (`data.offset_jitter_frames`), and the
    last one has the most different key frames (`data.key_frame_search`).
  """
  clips = read_clips(records, config, transforms)
  return _fetch(_represent(clips, config, rows), len(records))


def _represent(
  clips: motion.ClipBatch,
  config: configuration.Data,
  rows: Mapping[str, motion.Representation],
) -> Inputs:
  """Starts the computation of all variants, without waiting for it."""
  # A phase with motion must have at least two frames.
  earliest = np.minimum(clips.offset, clips.apex + 1)
  variants = [
    dataclasses.replace(
      clips, offset=np.maximum(clips.offset - earlier, earliest)
    )
    for earlier in range(config.offset_jitter_frames + 1)
  ]
  if config.key_frame_search:
    variants.append(key_frames.most_different(clips, config.key_frame_search))
  return {
    name: [representation(variant, config) for variant in variants]
    for name, representation in rows.items()
  }


def _fetch(
  computed: Inputs, clips: int
) -> dict[str, Float[np.ndarray, 'variant clip ...']]:
  """Waits for the inputs and copies the first `clips` rows to the host."""
  return {
    name: np.stack([np.asarray(v, np.float32)[:clips] for v in variants])
    for name, variants in computed.items()
  }


def read_clips(
  records: list[dict[str, Any]],
  config: configuration.Data,
  transforms: Mapping[str, Float64[np.ndarray, '2 3']] | None,
) -> motion.ClipBatch:
  """Decodes the frames of one batch.

  Args:
    records: at most `BATCH`.
    config: the `data` section.
    transforms: clip id -> transform of its face; None to crop and resize.

  Returns:
    Frames on the device, padded to `BATCH` clips, so that the last batch needs
    no other compiled program.
  """
  with _threads() as pool:
    return _Reader(pool, config, transforms).begin(records)()


@contextlib.contextmanager
def _threads() -> Iterator[futures.Executor]:
  """One thread per core; after an error, work that waits is cancelled."""
  pool = futures.ThreadPoolExecutor(limits.cores())
  try:
    yield pool
  finally:
    pool.shutdown(cancel_futures=True)


class _Reader:
  """Decodes batches in threads, and reuses their memory.

  Allocating new memory for each batch takes a sixth of the decoding time.
  """

  def __init__(self, pool, config, transforms):
    self._pool, self._config, self._transforms = pool, config, transforms
    self._used: collections.deque[np.ndarray] = collections.deque()
    self._free: list[np.ndarray] = []

  def begin(
    self, records: list[dict[str, Any]]
  ) -> Callable[[], motion.ClipBatch]:
    """Starts decoding; returns a function that waits and returns the clips."""
    config = self._config
    if data_sets.facts(config.dataset).stored:
      self._used.append(np.empty(0, np.uint8))
      return functools.partial(stored_images.read, records, config)
    lengths = [len(record['frames']) for record in records]
    shape = _padded_shape(BATCH, lengths, (config.frame_size,) * 2 + (3,))
    block = self._block(math.prod(shape))
    frames = block[: math.prod(shape)].reshape(shape)
    frames[len(records) :] = 0
    decoding = [
      self._pool.submit(self._decode, record, frames[row])
      for row, record in enumerate(records)
    ]
    keys = [[r[key] for key in ('onset', 'apex', 'offset')] for r in records]

    def finish() -> motion.ClipBatch:
      for clip in decoding:
        clip.result()
      return _on_device(frames, lengths, keys)

    return finish

  def release(self) -> None:
    """Marks the memory of the oldest batch as free; its inputs were fetched."""
    self._free.append(self._used.popleft())

  def _block(self, size: int) -> UInt8[np.ndarray, ' byte']:
    # A block that is too small is replaced, so there is one block per batch.
    block = self._free.pop() if self._free else np.empty(0, np.uint8)
    if block.size < size:
      block = _aligned(size)
    self._used.append(block)
    return block

  def _decode(self, record, out):
    name = record['clip_id'].decode()
    transform = None if self._transforms is None else self._transforms[name]
    decode_clip(record['frames'], self._config, transform, out)
    out[len(record['frames']) :] = 0


def pad(
  clips: Sequence[UInt8[np.ndarray, 'frame height width channel']],
  keys: Sequence[Sequence[int]],
  rows: int,
) -> motion.ClipBatch:
  """Pads clips of different lengths to one batch.

  Args:
    clips: frames of one size, onset to offset.
    keys: onset, apex and offset of each clip, indices into its frames.
    rows: size of the batch; rows without a clip have one black frame.

  Returns:
    Frames on the device, padded to a multiple of `_FRAME_MULTIPLE`.
  """
  lengths = [len(clip) for clip in clips]
  shape = _padded_shape(rows, lengths, clips[0].shape[1:])
  frames = _aligned(math.prod(shape)).reshape(shape)
  for row, clip in enumerate(clips):
    frames[row, : len(clip)] = clip
  return _on_device(frames, lengths, keys)


def _padded_shape(
  rows: int, lengths: Sequence[int], frame_shape: tuple[int, ...]
) -> tuple[int, ...]:
  """Shape of a batch; frames are padded to a multiple of `_FRAME_MULTIPLE`."""
  padded_length = -(-max(lengths) // _FRAME_MULTIPLE) * _FRAME_MULTIPLE
  return rows, padded_length, *frame_shape


def _aligned(size: int) -> UInt8[np.ndarray, ' byte']:
  """Zeros whose address is a multiple of `_ALIGNMENT`."""
  block = np.zeros(size + _ALIGNMENT, np.uint8)
  start = -block.ctypes.data % _ALIGNMENT
  return block[start : start + size]


def _on_device(
  frames: UInt8[np.ndarray, 'row frame height width channel'],
  lengths: Sequence[int],
  keys: Sequence[Sequence[int]],
) -> motion.ClipBatch:
  """Puts frames on the device; rows after the last clip have one frame."""
  padded_lengths = np.ones(len(frames), np.int32)
  padded_keys = np.zeros((3, len(frames)), np.int32)
  padded_lengths[: len(lengths)] = lengths
  padded_keys[:, : len(keys)] = np.transpose(keys)
  # Flattening costs nothing on the host and is faster on TPUs.
  flat = jax.device_put(frames.reshape(*frames.shape[:2], -1))
  onset, apex, offset = padded_keys
  return motion.ClipBatch(
    flat, padded_lengths, onset, apex, offset, frame_shape=frames.shape[2:]
  )


def decode_clip(
  encoded: Sequence[bytes],
  config: configuration.Data,
  transform: Float64[np.ndarray, '2 3'] | None = None,
  out: UInt8[np.ndarray, 'frame height width 3'] | None = None,
) -> UInt8[np.ndarray, 'frame height width 3']:
  """Decodes the frames of a record to `frame_size` x `frame_size` pixels.

  Args:
    encoded: content of the image files.
    config: the `data` section.
    transform: transform of the clip's face; None to crop and resize.
    out: array to write to, which may have more frames; allocated if None.

  Returns:
    `out`; RGB, uint8, 0..255.

  Raises:
    ValueError: an image cannot be decoded.
  """
  size = config.frame_size
  if out is None:
    out = np.empty((len(encoded), size, size, 3), np.uint8)
  for number, file in enumerate(encoded):
    frame = images.decode(file)
    if transform is None:
      out[number] = images.fit(frame, config.crop, size)
    else:
      out[number] = faces.apply(frame, transform, size)
  return out
