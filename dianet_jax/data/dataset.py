"""Records -> the named inputs and labels of a protocol's clips, once."""

import collections
from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import math
import os
import pathlib
from typing import Any

from jaxtyping import Float, Float64, Int
import numpy as np

from dianet_jax.clips import faces
from dianet_jax.core import config as configuration
from dianet_jax.core import errors, escape, progress, runtime
from dianet_jax.data import inputs as inputs_lib
from dianet_jax.data import raw_files
from dianet_jax.motion import registry as motion
from tfds_builders import prepare, protocols, simulate
from tfds_builders import registry as data_sets


@dataclasses.dataclass(frozen=True)
class Clip:
  """The metadata of a clip."""

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
    inputs: name of each input of the model -> float32 [variant, clip, ...];
      images are raw and signed. With `data.offset_jitter_frames` = j there are
      1 + j variants, variant v with an offset v frames earlier, and with
      `data.key_frame_search` one more. Only variant 0 is used for prediction.
    representations: name of each input -> its representation.
    channels: name of each input -> its channels; () if it is not an image.
    views: name of each input -> titles of its views; () if it is not an image.
    labels: int32 [clip], class indices (shuffled for the control).
    classes: class names.
    simulated: whether the raw data were simulated.
    control: whether the labels were shuffled.
    fingerprint: of the clips' records, including file contents; a copy in
      another folder or on another machine has the same.
    notes: repairs, omissions and anomalies, one sentence each.
    listing: `raw_files.listing` before anything was read.
  """

  clips: tuple[Clip, ...]
  inputs: Mapping[str, Float[np.ndarray, 'variant clip ...']]
  representations: Mapping[str, str]
  channels: Mapping[str, tuple[motion.Channel, ...]]
  views: Mapping[str, tuple[str, ...]]
  labels: Int[np.ndarray, ' clip']
  classes: tuple[str, ...]
  simulated: bool
  control: bool
  fingerprint: str
  notes: tuple[str, ...]
  listing: str = ''

  @property
  def subjects(self) -> list[str]:
    """The subject of each clip."""
    return [clip.subject for clip in self.clips]


def open_records(config: configuration.Data) -> prepare.PreparedRecords:
  """Opens the records of the raw data, and prepares them if needed.

  Args:
    config: the `data` section.

  Returns:
    The records.

  Raises:
    UserError: see `prepare.prepare`.
  """
  cache = runtime.cache_dir(config.cache_dir)
  return prepare.prepare(
    config.dataset,
    _raw_folder(config, cache),
    cache / 'records',
    variant=config.variant,
    skip_bad_clips=config.skip_bad_clips,
    annotation_policy=config.annotation_policy,
    track=progress.track,
  )


def load(
  config: configuration.Data,
  seed: int,
  reads: Sequence[str] = ('dynamic_images',),
) -> Dataset:
  """Loads the clips of a protocol and computes the inputs of a model.

  Args:
    config: the `data` section.
    seed: for shuffling labels with `permute_labels`.
    reads: the model's inputs, see `models.registry`.

  Returns:
    The clips of the protocol.

  Raises:
    UserError: no raw data, unreadable clips, no clip of the protocol, or a data
      set that does not support the model.
  """
  representations = motion.feed(reads, config.inputs)
  stored = data_sets.facts(config.dataset).stored
  if unsupported := motion.unsupported(representations, config, stored):
    raise errors.UserError(
      f'--config.data.dataset={config.dataset} does not support this model:'
      f' {unsupported}. Change --config.data.inputs or --config.data.phases, or'
      ' choose another model.'
    )
  protocol = _protocol(config)
  # Before reading, so that later changes are detected.
  listing = raw_files.listing(config)
  records = open_records(config)
  clips, unusual = [], {}
  for index in range(len(records.source)):
    record = records.source[index]
    if not stored:
      found = tuple(motion.notes(representations, record, config))
      unusual[record['clip_id'].decode()] = found
    clips.append(_clip(record, records.simulated))
  chosen = _choose(clips, protocol, config)
  transforms, faceless = find_transforms(
    records.source, [c.index for c in chosen], config
  )
  if transforms is not None:
    chosen = [c for c in chosen if c.clip.clip_id in transforms]
  left_out = [*records.left_out, *faceless]
  notes = _notes(records, left_out, clips, chosen, protocol, unusual)
  _check_memory(len(chosen), config, representations)
  taken = _Subset(records.source, [c.index for c in chosen])
  inputs, fingerprint = inputs_lib.make_all(
    progress.track(taken, 'Inputs', len(taken)),
    config,
    transforms,
    representations,
  )
  labels = np.array([c.label for c in chosen], np.int32)
  if config.permute_labels:
    labels = np.random.default_rng(seed).permutation(labels)
    notes.insert(0, 'labels shuffled over all clips: a control, not a result')
  return Dataset(
    clips=tuple(
      _noted(c.clip, unusual.get(c.clip.clip_id, ())) for c in chosen
    ),
    inputs=inputs,
    representations=representations,
    channels=motion.channels(representations, config, stored),
    views=motion.views(representations, config),
    labels=labels,
    classes=protocol.classes,
    simulated=records.simulated,
    control=config.permute_labels,
    fingerprint=fingerprint,
    notes=tuple(notes),
    listing=listing,
  )


def find_transforms(
  source: Sequence[dict[str, Any]],
  indices: Sequence[int],
  config: configuration.Data,
) -> tuple[dict[str, Float64[np.ndarray, '2 3']] | None, list]:
  """Finds the transforms that align the clips' faces.

  Args:
    source: all records.
    indices: indices of the records to align.
    config: the `data` section.

  Returns:
    Clip id -> transform, or None without `align`; and (clip id, reason) of the
    clips that are left out because they have none.
  """
  if not config.align:
    return None, []
  return faces.find_transforms(
    _Subset(source, indices),
    config.frame_size,
    config.skip_bad_clips,
    progress.track,
  )


def _check_memory(
  clips: int, config: configuration.Data, representations: Mapping[str, str]
) -> None:
  """Checks that the inputs fit into memory, before they are computed."""
  specs = motion.specs(representations, config).values()
  values = sum(math.prod(spec.shape) for spec in specs)
  # Four bytes per value, and twice that while parts are concatenated.
  needed = 8 * values * clips * (1 + config.offset_jitter_frames)
  there = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  if needed > there:
    raise errors.UserError(
      f'The inputs of {clips} clips need {needed / 1e9:.0f} GB, but this'
      f' machine has {there / 1e9:.0f} GB. Lower'
      f' --config.data.image_size={config.image_size} or'
      f' --config.data.offset_jitter_frames={config.offset_jitter_frames}.'
    )


@dataclasses.dataclass(frozen=True)
class _Chosen:
  """A clip of the protocol: where its record is, and its class."""

  index: int
  clip: Clip
  label: int


class _Subset(Sequence):
  """Some records of a source, read on demand."""

  def __init__(self, source: Sequence[dict[str, Any]], indices: Sequence[int]):
    self._source, self._indices = source, indices

  def __len__(self) -> int:
    return len(self._indices)

  def __getitem__(self, row: int) -> dict[str, Any]:
    return self._source[self._indices[row]]


def _protocol(config: configuration.Data) -> protocols.Protocol:
  """The protocol of the configuration, if it fits the data set."""
  if config.emotions:
    parts = (text.partition('=') for text in config.emotions)
    return protocols.custom([(emotion, class_) for emotion, _, class_ in parts])
  protocol = protocols.get(config.protocol)
  if config.dataset not in protocol.datasets:
    raise errors.UserError(
      f'--config.data.protocol={config.protocol} is for the data set'
      f' {" or ".join(protocol.datasets)}, not for'
      f' --config.data.dataset={config.dataset}.'
    )
  return protocol


def _choose(
  clips: Sequence[Clip],
  protocol: protocols.Protocol,
  config: configuration.Data,
) -> list[_Chosen]:
  """The clips of the protocol, in the order of the records; at least one."""
  chosen = []
  for index, clip in enumerate(clips):
    label = protocol.class_of(clip.clip_id, clip.emotion)
    if label is not None:
      chosen.append(_Chosen(index, clip, label))
  if not chosen:
    key = 'emotions' if config.emotions else 'protocol'
    raise errors.UserError(
      f'No clip of {config.manual_dir or "the simulated data"} belongs to'
      f' --config.data.{key}={getattr(config, key)} (classes'
      f' {", ".join(protocol.classes)}); annotated are the emotions'
      f' {", ".join(sorted({clip.emotion for clip in clips}))}.'
    )
  return chosen


def _clip(record: dict[str, Any], simulated: bool) -> Clip:
  keys = ('clip_id', 'subject', 'dataset', 'emotion', 'notes')
  clip = Clip(*(record[key].decode() for key in keys))
  for name in (clip.clip_id, clip.subject, clip.emotion):
    if not escape.is_plain(name):
      raise errors.UserError(
        f'The clip {clip.clip_id!r} of subject {clip.subject!r}, emotion'
        f' {clip.emotion!r}: a name holds a control character. Rename it.'
      )
  if simulated:
    # Marks the name of the data set, so that no table is taken for a real one.
    clip = dataclasses.replace(clip, dataset=f'simulated {clip.dataset}')
  return clip


def _noted(clip: Clip, unusual: Sequence[str]) -> Clip:
  """Adds anomalies to the notes of a clip's record."""
  notes = '; '.join(filter(None, [clip.notes, *unusual]))
  return dataclasses.replace(clip, notes=notes)


def _raw_folder(config: configuration.Data, cache: pathlib.Path) -> str:
  """`manual_dir`, or a simulated raw data set in its own folder."""
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
      in_cache=True,
    )
  )


def _notes(
  records: prepare.PreparedRecords,
  left_out: Sequence[tuple[str, str]],
  everything: Sequence[Clip],
  chosen: Sequence[_Chosen],
  protocol: protocols.Protocol,
  unusual: Mapping[str, Sequence[str]],
) -> list[str]:
  """Notes on the clips that matter for the result."""
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
  clips_by_note = collections.defaultdict(list)
  for clip in clips:
    for note in unusual.get(clip.clip_id, ()):
      clips_by_note[note].append(clip.clip_id)
  for note, ids in clips_by_note.items():
    more = f' and {len(ids) - 1} more' if len(ids) > 1 else ''
    notes.append(f'{ids[0]}{more} ({len(ids)} of {len(clips)} clips): {note}')
  notes += [f'{clip.clip_id}: {clip.notes}' for clip in clips if clip.notes]
  return notes
