"""A few records -> what a model reads of them: decode, align, represent."""

from collections.abc import Iterable, Mapping
from concurrent import futures
import os
from typing import Any

import jax
from jaxtyping import Float, Float64, UInt8
import numpy as np

from dianet_jax.clips import faces, images
from dianet_jax.core import config as configuration
from dianet_jax.core import errors
from dianet_jax.motion import registry as motion
from tfds_builders import registry as data_sets

# Clips made in one call; at 224 pixels and 128 frames 150 MB of bytes.
BATCH = 8
# Frames are padded to a multiple, so that few shapes are compiled.
_FRAME_MULTIPLE = 32


def make(
  records: list[dict[str, Any]],
  config: configuration.Data,
  transforms: Mapping[str, Float64[np.ndarray, '2 3']] | None,
  rows: Mapping[str, motion.Representation],
) -> dict[str, Float[np.ndarray, 'variant clip ...']]:
  """What a model reads of a few clips; at most `BATCH`."""
  clips = read_clips(records, config, transforms)
  # A phase that has a motion keeps it: two frames.
  earliest = np.minimum(clips.offset, clips.apex + 1)
  made = {name: [] for name in rows}
  for earlier in range(config.offset_jitter_frames + 1):
    variant = clips.replace(offset=np.maximum(clips.offset - earlier, earliest))
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
    transform = transforms and transforms[record['clip_id'].decode()]
    return decode_clip(record['frames'], config, transform)

  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    clips = list(pool.map(decode, records))
  longest = max(map(len, clips))
  padded_length = -(-longest // _FRAME_MULTIPLE) * _FRAME_MULTIPLE
  frames = np.zeros((BATCH, padded_length, *clips[0].shape[1:]), np.uint8)
  lengths = np.ones(BATCH, np.int32)
  keys = np.zeros((3, BATCH), np.int32)
  for row, (clip, record) in enumerate(zip(clips, records)):
    frames[row, : len(clip)] = clip
    lengths[row] = len(clip)
    keys[:, row] = [record[key] for key in ('onset', 'apex', 'offset')]
  # Flat, as TPUs want them; here it costs nothing.
  flat = jax.device_put(frames.reshape(*frames.shape[:2], -1))
  return motion.ClipBatch(flat, lengths, *keys, frame_shape=frames.shape[2:])


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
