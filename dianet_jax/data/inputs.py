"""Records -> what a model reads of them: decode, align, represent."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent import futures
import dataclasses
import hashlib
from typing import Any, NamedTuple

import jax
from jaxtyping import Float, Float64, UInt8
import numpy as np

from dianet_jax.clips import faces, images
from dianet_jax.core import config as configuration
from dianet_jax.core import errors, limits
from dianet_jax.data import input_cache
from dianet_jax.motion import key_frames
from dianet_jax.motion import registry as motion
from tfds_builders import registry as data_sets

# Clips made in one call; at 224 pixels and 128 frames 150 MB of bytes.
BATCH = 8
# Frames are padded to a multiple, so that few shapes are compiled.
_FRAME_MULTIPLE = 32


def make_all(
  records: Iterable[dict[str, Any]],
  config: configuration.Data,
  transforms: Mapping[str, Float64[np.ndarray, '2 3']] | None,
  representations: Mapping[str, str],
) -> tuple[dict[str, Float[np.ndarray, 'variant clip ...']], str]:
  """Every input of many clips, made or read from where it was kept.

  Args:
    records: one a clip; read once, `BATCH` in memory at most.
    config: the `data` section.
    transforms: of each clip's face, by its name; None to cut and reduce.
    representations: a model's input -> the representation it is fed with.

  Returns:
    Input -> its array; a fingerprint of the records.
  """
  rows = {n: motion.REPRESENTATIONS[r] for n, r in representations.items()}
  caches = {}
  if not data_sets.facts(config.dataset).stored:
    caches = {
      name: input_cache.InputCache(representations[name], row, config)
      for name, row in rows.items()
      if row.kept
    }
  digest = hashlib.sha256()
  found: dict[str, list] = {name: [] for name in rows}
  pending: list[_Pending] = []
  for number, record in enumerate(records):
    input_cache.add_record(digest, record)
    clip = ''
    if caches:
      name = record['clip_id'].decode()
      clip = input_cache.clip_key(
        record, None if transforms is None else transforms[name]
      )
    lacking = []
    for name, values in found.items():
      values.append(caches[name].read(clip) if name in caches else None)
      if values[-1] is None:
        lacking.append(name)
    if lacking:
      pending.append(_Pending(number, record, clip, lacking))
    if len(pending) == BATCH:
      _make_pending(pending, config, transforms, rows, caches, found)
      pending = []
  if pending:
    _make_pending(pending, config, transforms, rows, caches, found)
  inputs = {name: np.stack(values, axis=1) for name, values in found.items()}
  return inputs, digest.hexdigest()[:16]


class _Pending(NamedTuple):
  """A clip that lacks some inputs, which are still to be made."""

  number: int
  record: dict[str, Any]
  key: str
  lacking: Sequence[str]


def _make_pending(pending, config, transforms, rows, caches, found):
  """Makes what a few clips lack, keeps it, and puts it in its place."""
  wanted = {n: row for n, row in rows.items()
            if any(n in clip.lacking for clip in pending)}  # fmt: skip
  records = [clip.record for clip in pending]
  made = make(records, config, transforms, wanted)
  for row, clip in enumerate(pending):
    for name in clip.lacking:
      values = made[name][:, row]
      found[name][clip.number] = values
      if name in caches:
        caches[name].write(clip.key, values)


def make(
  records: list[dict[str, Any]],
  config: configuration.Data,
  transforms: Mapping[str, Float64[np.ndarray, '2 3']] | None,
  rows: Mapping[str, motion.Representation],
) -> dict[str, Float[np.ndarray, 'variant clip ...']]:
  """What a model reads of a few clips; at most `BATCH`.

  Variant 0 is of the annotated key frames; then those of earlier offsets, then
  that of the key frames that differ most.
  """
  clips = read_clips(records, config, transforms)
  # A phase that has a motion keeps it: two frames.
  earliest = np.minimum(clips.offset, clips.apex + 1)
  variants = [
    dataclasses.replace(
      clips, offset=np.maximum(clips.offset - earlier, earliest)
    )
    for earlier in range(config.offset_jitter_frames + 1)
  ]
  if config.key_frame_search:
    variants.append(key_frames.most_different(clips, config.key_frame_search))
  made = {name: [] for name in rows}
  for variant in variants:
    for name, representation in rows.items():
      values = np.asarray(representation(variant, config), np.float32)
      made[name].append(values[: len(records)])
  return {name: np.stack(variants) for name, variants in made.items()}


def read_clips(
  records: list[dict[str, Any]],
  config: configuration.Data,
  transforms: Mapping[str, Float64[np.ndarray, '2 3']] | None,
) -> motion.ClipBatch:
  """Decodes a few records.

  Args:
    records: at most `BATCH`.
    config: the `data` section.
    transforms: of each clip's face, by its name; None to cut and reduce.

  Returns:
    Always `BATCH` clips where there are frames, so that the last batch is no
    other shape to compile; frames on the device.
  """
  if data_sets.facts(config.dataset).stored:
    return _stored(records, config)

  def decode(record):
    name = record['clip_id'].decode()
    transform = None if transforms is None else transforms[name]
    return decode_clip(record['frames'], config, transform)

  with futures.ThreadPoolExecutor(limits.cores()) as pool:
    clips = list(pool.map(decode, records))
  keys = [[r[key] for key in ('onset', 'apex', 'offset')] for r in records]
  return pad(clips, keys, BATCH)


def pad(
  clips: Sequence[UInt8[np.ndarray, 'frame height width channel']],
  keys: Sequence[Sequence[int]],
  rows: int,
) -> motion.ClipBatch:
  """Clips of several lengths as one batch.

  Args:
    clips: frames of one size, onset to offset.
    keys: onset, apex and offset of each clip, indices into its frames.
    rows: of the batch; those without a clip hold one black frame.

  Returns:
    Frames on the device, padded to a multiple of `_FRAME_MULTIPLE`.
  """
  longest = max(map(len, clips))
  padded_length = -(-longest // _FRAME_MULTIPLE) * _FRAME_MULTIPLE
  frames = np.zeros((rows, padded_length, *clips[0].shape[1:]), np.uint8)
  lengths = np.ones(rows, np.int32)
  padded_keys = np.zeros((3, rows), np.int32)
  for row, clip in enumerate(clips):
    frames[row, : len(clip)] = clip
    lengths[row] = len(clip)
    padded_keys[:, row] = keys[row]
  # Flat, as TPUs want them; here it costs nothing.
  flat = jax.device_put(frames.reshape(*frames.shape[:2], -1))
  onset, apex, offset = padded_keys
  return motion.ClipBatch(
    flat, lengths, onset, apex, offset, frame_shape=frames.shape[2:]
  )


def decode_clip(
  encoded: Iterable[bytes],
  config: configuration.Data,
  transform: Float64[np.ndarray, '2 3'] | None = None,
) -> UInt8[np.ndarray, 'frame height width channel']:
  """The frames of a record, `frame_size` squared.

  Args:
    encoded: image files.
    config: the `data` section.
    transform: of the clip's face; None to cut and reduce.

  Returns:
    uint8 [frame, height, width, channel].
  """
  frames, size = map(images.decode, encoded), config.frame_size
  if transform is None:
    return np.stack([images.fit(f, config.crop, size) for f in frames])
  return np.stack([faces.apply(f, transform, size) for f in frames])


def _stored(
  records: list[dict[str, Any]], config: configuration.Data
) -> motion.ClipBatch:
  """Images that the records hold, phase by phase."""
  stored = {
    phase: [images.decode(record[phase]) for record in records]
    for phase in config.phases
  }
  shapes = sorted({i.shape for phase in stored.values() for i in phase})
  if len(shapes) > 1:
    raise errors.UserError(
      f'The phase images in {config.manual_dir} differ in size: {shapes}.'
      ' All must be of one size.'
    )
  none = np.zeros(len(records), np.int32)
  return motion.ClipBatch(
    None,
    none,
    none,
    none,
    none,
    stored={phase: np.array(i) for phase, i in stored.items()},
    frame_shape=shapes[0],
  )
