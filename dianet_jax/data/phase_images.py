"""Frames of a clip, or stored images, -> its phase images."""

from collections.abc import Iterable, Mapping
from concurrent import futures
import os
from typing import Any

import cv2
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float64, UInt8
import numpy as np

from dianet_jax.clips import faces
from dianet_jax.clips import images as images_lib
from dianet_jax.core import config as configuration
from dianet_jax.core import errors
from dianet_jax.motion import rank_pooling

# Clips pooled in one call; at 224 pixels and 128 frames 150 MB of bytes.
BATCH = 8
# Frames are padded to a multiple, so that few shapes are compiled.
_FRAME_MULTIPLE = 32

# A crop smaller than this shows no face.
_LEAST_PIXELS = 16


def make(
  records: list[dict[str, Any]],
  config: configuration.Data,
  transforms: Mapping[str, Float64[np.ndarray, '2 3']] | None,
) -> Float[np.ndarray, 'variant clip phase height width channel']:
  """Phase images of a few records, pooled or as they come.

  Args:
    records: at most `BATCH`.
    config: the `data` section.
    transforms: of each clip's face, by its name, from `faces`; None to cut and
      reduce.

  Returns:
    float32, signed. Variant v is that of an offset v frames earlier, where
    `offset_jitter_frames` asks for it.
  """
  if 'frames' not in records[0]:
    return _stored(records, config)[None]

  frames, lengths, (onset, apex, offset) = _batch(records, config, transforms)
  # Flat, as TPUs want them; here it costs nothing.
  flat = jax.device_put(frames.reshape(*frames.shape[:2], -1))
  # A phase that has a motion keeps it: two frames.
  earliest = np.minimum(offset, apex + 1)
  variants = []
  for earlier in range(config.offset_jitter_frames + 1):
    pooled = rank_pooling.dynamic_images(
      flat,
      lengths,
      onset,
      apex,
      np.maximum(offset - earlier, earliest),
      phases=config.phases,
      kind=config.coefficients,
      order=config.frame_order,
    )
    pooled = pooled.reshape(*pooled.shape[:2], *frames.shape[2:])
    variants.append(np.asarray(reduce(pooled, config.image_size)))
  return np.stack(variants)[:, : len(records)]


def _batch(records, config, transforms):
  """Frames, padded; lengths; onset, apex and offset. Always `BATCH` clips."""

  def decode(record):
    transform = transforms and transforms[record['clip_id'].decode()]
    return decode_clip(record['frames'], config, transform)

  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    clips = list(pool.map(decode, records))
  longest = max(map(len, clips))
  padded_length = -(-longest // _FRAME_MULTIPLE) * _FRAME_MULTIPLE
  # A full batch: the last one would be another shape to compile.
  frames = np.zeros((BATCH, padded_length, *clips[0].shape[1:]), np.uint8)
  lengths = np.ones(BATCH, np.int32)
  keys = np.zeros((3, BATCH), np.int32)
  for row, (clip, record) in enumerate(zip(clips, records)):
    frames[row, : len(clip)] = clip
    lengths[row] = len(clip)
    keys[:, row] = [record[key] for key in ('onset', 'apex', 'offset')]
  return frames, lengths, keys


def decode_clip(
  encoded: Iterable[bytes],
  config: configuration.Data,
  transform: Float64[np.ndarray, '2 3'] | None = None,
) -> UInt8[np.ndarray, 'frame height width channel']:
  """The frames of a record, `frame_size` squared.

  Args:
    encoded: image files.
    config: the `data` section.
    transform: of the clip's face, from `clips.faces`; None to cut and reduce.
  """
  frames = map(images_lib.decode, encoded)
  if transform is None:
    return np.stack([_fit(frame, config) for frame in frames])
  return np.stack(
    [faces.apply(frame, transform, config.frame_size) for frame in frames]
  )


def _fit(
  image: UInt8[np.ndarray, 'height width channel'], config: configuration.Data
) -> UInt8[np.ndarray, 'height width channel']:
  """The crop of a frame, reduced to `frame_size` squared."""
  height, width = image.shape[:2]
  top, left, bottom, right = config.crop
  image = image[
    round(top * height) : round(bottom * height),
    round(left * width) : round(right * width),
  ]
  if min(image.shape[:2]) < _LEAST_PIXELS:
    raise errors.UserError(
      f'--config.data.crop={config.crop} leaves {image.shape[1]} x'
      f' {image.shape[0]} pixels of a frame of {width} x {height}; at least'
      f' {_LEAST_PIXELS} a side are needed.'
    )
  size = (config.frame_size, config.frame_size)
  if image.shape[:2] == size:
    return image
  # Averages over areas where the frame is larger: no aliasing.
  smaller = min(image.shape[:2]) >= config.frame_size
  return cv2.resize(
    image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
  )


def reduce(
  images: Float[Array, 'clip phase height width channel'], size: int
) -> Float[Array, 'clip phase height width channel']:
  """Phase images reduced to `size` squared, with anti-aliasing."""
  shape = (*images.shape[:2], size, size, images.shape[-1])
  if images.shape == shape:
    return images
  return jax.image.resize(images, shape, 'linear')


def _stored(
  records: list[dict[str, Any]], config: configuration.Data
) -> Float[np.ndarray, 'clip phase height width channel']:
  """Images that the records hold, centred on mid-grey."""
  missing = [phase for phase in config.phases if phase not in records[0]]
  if missing:
    raise errors.UserError(
      f'--config.data.dataset={config.dataset} holds precomputed phase images'
      f' and none of {missing[0]}; leave it out of --config.data.phases.'
    )
  images = [
    [images_lib.decode(record[phase]) for phase in config.phases]
    for record in records
  ]
  shapes = sorted({image.shape for clip in images for image in clip})
  if len(shapes) > 1:
    raise errors.UserError(
      f'The phase images in {config.manual_dir} differ in size: {shapes}.'
      ' All must be of one size.'
    )
  centred = jnp.asarray(np.array(images), jnp.float32) - 127.5
  return np.asarray(reduce(centred, config.image_size))
