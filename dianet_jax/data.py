"""Shards -> phase images, once, before training."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent import futures
import dataclasses
import hashlib
import itertools
import os
import pathlib
from typing import Any

import cv2
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float64, Int32, UInt8
import numpy as np

from dianet_jax import config as configuration
from dianet_jax import errors, platform, progress, protocols, rank_pooling
from tfds_builders import align, prepare, simulate
from tfds_builders import frames as frames_lib

# Clips pooled in one call; at 224 pixels and 128 frames 150 MB of bytes.
_BATCH = 8
# Frames are padded to a multiple, so that few shapes are compiled.
_FRAME_MULTIPLE = 32

# A crop smaller than this shows no face.
_LEAST_PIXELS = 16


@dataclasses.dataclass(frozen=True)
class Clip:
  """What is known of a clip besides its images."""

  clip_id: str
  subject: str
  dataset: str
  emotion: str
  notes: str


@dataclasses.dataclass(frozen=True)
class Dataset:
  """The clips of a protocol, ready to train on.

  Attributes:
    clips: in the order of the records.
    images: float32 [clip, phase, height, width, channel], raw and signed.
    labels: int32 [clip], class indices (shuffled where the control asks it).
    classes: class names.
    simulated: whether the raw data were simulated.
    control: whether the labels were shuffled.
    fingerprint: of the raw data and the builder's options.
    notes: what was repaired, left out or differs, a sentence each.
  """

  clips: tuple[Clip, ...]
  images: Float[np.ndarray, 'clip phase height width channel']
  labels: Int32[np.ndarray, ' clip']
  classes: tuple[str, ...]
  simulated: bool
  control: bool
  fingerprint: str
  notes: tuple[str, ...]

  @property
  def subjects(self) -> list[str]:
    """The subject of each clip."""
    return [clip.subject for clip in self.clips]


def open_records(config: configuration.Data) -> prepare.PreparedRecords:
  """The records of the raw data, prepared if need be; see `prepare`."""
  cache = platform.cache_dir(config.cache_dir)
  return prepare.prepare(
    config.dataset,
    _raw_folder(config, cache),
    cache / 'records',
    variant=config.variant,
    skip_bad_clips=config.skip_bad_clips,
    annotation_policy=config.annotation_policy,
    track=progress.track,
  )


def load(config: configuration.Data, seed: int) -> Dataset:
  """Prepares the records if need be and makes the phase images.

  Args:
    config: the `data` section.
    seed: for the shuffling of labels, where `permute_labels` asks for it.

  Returns:
    The clips of the protocol.

  Raises:
    UserError: no raw data, bad clips, or no clip of the protocol.
  """
  protocol = _protocol(config)
  records = open_records(config)
  clips = [
    _clip(records.source[index], config.phases, records.simulated)
    for index in range(len(records.source))
  ]
  chosen = _choose(clips, protocol)
  if not chosen:
    raise errors.UserError(
      f'No clip of {config.manual_dir or "the simulated data"} belongs to'
      f' --config.data.protocol={config.protocol} (classes'
      f' {", ".join(protocol.classes)}).'
    )
  transforms, faceless = None, []
  if config.align:
    transforms, faceless = align.find_transforms(
      _Subset(records.source, [c.index for c in chosen]),
      config.frame_size,
      config.skip_bad_clips,
      progress.track,
    )
    chosen = [c for c in chosen if c.clip.clip_id in transforms]
  left_out = [*records.left_out, *faceless]
  notes = _notes(records, left_out, clips, chosen, protocol)
  bar = progress.track(chosen, 'Phase images', len(chosen))
  images = [
    _phase_images([records.source[c.index] for c in batch], config, transforms)
    for batch in _batches(bar, _BATCH)
  ]
  labels = np.array([c.label for c in chosen], np.int32)
  if config.permute_labels:
    labels = np.random.default_rng(seed).permutation(labels)
    notes.insert(0, 'labels shuffled over all clips: a control, not a result')
  return Dataset(
    clips=tuple(c.clip for c in chosen),
    images=np.concatenate(images),
    labels=labels,
    classes=protocol.classes,
    simulated=records.simulated,
    control=config.permute_labels,
    fingerprint=records.fingerprint,
    notes=tuple(notes),
  )


@dataclasses.dataclass(frozen=True)
class _Chosen:
  """A clip of the protocol: where its record is, and its class."""

  index: int
  clip: Clip
  label: int


class _Subset(Sequence):
  """Some records of a source, read when they are asked for."""

  def __init__(self, source: Sequence[dict[str, Any]], indices: list[int]):
    self._source, self._indices = source, indices

  def __len__(self) -> int:
    return len(self._indices)

  def __getitem__(self, row: int) -> dict[str, Any]:
    return self._source[self._indices[row]]


def _protocol(config: configuration.Data) -> protocols.Protocol:
  """The protocol of the configuration, if it fits the data set."""
  if config.emotions:
    pairs = [text.partition('=')[::2] for text in config.emotions]
    return protocols.custom(dict(pairs))
  protocol = protocols.get(config.protocol)
  if config.dataset not in protocol.datasets:
    raise errors.UserError(
      f'--config.data.protocol={config.protocol} is for the data set'
      f' {" or ".join(protocol.datasets)}, not for'
      f' --config.data.dataset={config.dataset}.'
    )
  return protocol


def _choose(
  clips: Sequence[Clip], protocol: protocols.Protocol
) -> list[_Chosen]:
  """The clips of the protocol, in the order of the records."""
  chosen = []
  for index, clip in enumerate(clips):
    label = protocol.class_of(clip.clip_id, clip.emotion)
    if label is not None:
      chosen.append(_Chosen(index, clip, label))
  return chosen


def _clip(
  record: dict[str, Any], phases: Sequence[str], simulated: bool
) -> Clip:
  keys = ('clip_id', 'subject', 'dataset', 'emotion', 'notes')
  clip = Clip(*(record[key].decode() for key in keys))
  if simulated:
    # Wherever the data set is named, so that no table passes as a real one.
    clip = dataclasses.replace(clip, dataset=f'simulated {clip.dataset}')
  empty = [
    phase
    for phase in phases
    if 'frames' in record
    and len({record[key] for key in rank_pooling.PHASES[phase]}) == 1
  ]
  if not empty:
    return clip
  # One frame has no motion: its dynamic image is 0, and stays in the data.
  note = f'{" and ".join(empty)} is a single frame: no motion'
  notes = '; '.join(filter(None, [clip.notes, note]))
  return dataclasses.replace(clip, notes=notes)


def _raw_folder(config: configuration.Data, cache: pathlib.Path) -> str:
  """`manual_dir`, or a simulated tree in a root of its own."""
  simulation = config.simulation
  if not simulation.enabled:
    return config.manual_dir
  if config.manual_dir:
    raise errors.UserError(
      '--config.data.manual_dir and --config.data.simulation.enabled=true'
      ' exclude each other: the first is for real data. Leave one out.'
    )
  key = hashlib.sha256(repr((config.dataset, simulation)).encode()).hexdigest()
  root = cache / 'simulated' / f'{config.dataset}-{key[:12]}'
  return str(
    simulate.write(
      config.dataset,
      root,
      subjects=simulation.subjects,
      clips_per_subject=simulation.clips_per_subject,
      seed=simulation.seed,
      track=progress.track,
    )
  )


def _notes(
  records: prepare.PreparedRecords,
  left_out: Sequence[tuple[str, str]],
  everything: Sequence[Clip],
  chosen: Sequence[_Chosen],
  protocol: protocols.Protocol,
) -> list[str]:
  """What a reader of the result must know about its clips."""
  notes = [f'{name} left out: {reason}' for name, reason in left_out]
  clips = [c.clip for c in chosen]
  without_clip = {clip.subject for clip in everything}
  without_clip -= {clip.subject for clip in clips}
  for subject in sorted(without_clip):
    notes.append(f'subject {subject} has no clip of the protocol: no fold')
  if not records.simulated:
    notes += protocol.differences(
      [clip.dataset for clip in clips],
      [clip.subject for clip in clips],
      [c.label for c in chosen],
      [clip.clip_id for clip in clips],
    )
    notes += protocol.unexpected(
      [clip.clip_id for clip in everything],
      [clip.emotion for clip in everything],
    )
  notes += records.notes
  notes += [f'{clip.clip_id}: {clip.notes}' for clip in clips if clip.notes]
  return notes


def _batches(
  items: Iterable[dict[str, Any]], size: int
) -> Iterator[list[dict[str, Any]]]:
  items = iter(items)
  while batch := list(itertools.islice(items, size)):
    yield batch


def _phase_images(
  records: list[dict[str, Any]],
  config: configuration.Data,
  transforms: Mapping[str, np.ndarray] | None,
) -> Float[np.ndarray, 'clip phase height width channel']:
  """Phase images of a few records, pooled or as they come."""
  if 'frames' not in records[0]:
    return _stored_phase_images(records, config)

  def decode(record):
    transform = transforms and transforms[record['clip_id'].decode()]
    return decode_clip(record['frames'], config, transform)

  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    clips = list(pool.map(decode, records))
  longest = max(map(len, clips))
  padded_length = -(-longest // _FRAME_MULTIPLE) * _FRAME_MULTIPLE
  # Always a full batch: the last one would be another shape to compile.
  frames = np.zeros((_BATCH, padded_length, *clips[0].shape[1:]), np.uint8)
  lengths = np.ones(_BATCH, np.int32)
  keys = np.zeros((3, _BATCH), np.int32)
  for row, (clip, record) in enumerate(zip(clips, records)):
    frames[row, : len(clip)] = clip
    lengths[row] = len(clip)
    keys[:, row] = [record[key] for key in ('onset', 'apex', 'offset')]
  pooled = rank_pooling.dynamic_images(
    frames,
    lengths,
    *keys,
    phases=config.phases,
    kind=config.coefficients,
    order=config.frame_order,
  )
  return np.asarray(reduce(pooled, config.image_size))[: len(records)]


def decode_clip(
  encoded: Iterable[bytes],
  config: configuration.Data,
  transform: Float64[np.ndarray, '2 3'] | None = None,
) -> UInt8[np.ndarray, 'frame height width channel']:
  """The frames of a record, `frame_size` squared.

  Args:
    encoded: image files.
    config: the `data` section.
    transform: of the clip's face, from `align`; None to cut and reduce.
  """
  frames = map(frames_lib.decode, encoded)
  if transform is None:
    return np.stack([_fit(frame, config) for frame in frames])
  return np.stack(
    [align.apply(frame, transform, config.frame_size) for frame in frames]
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


def _stored_phase_images(
  records: list[dict[str, Any]], config: configuration.Data
) -> Float[np.ndarray, 'clip phase height width channel']:
  """Phase images that the record holds, centred on mid-grey."""
  missing = [phase for phase in config.phases if phase not in records[0]]
  if missing:
    raise errors.UserError(
      f'--config.data.dataset={config.dataset} holds precomputed phase images'
      f' and none of {missing[0]}; leave it out of --config.data.phases.'
    )
  images = [
    [frames_lib.decode(record[phase]) for phase in config.phases]
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
