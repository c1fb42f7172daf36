"""The base classes of TFDS builders: features, shards, examples."""

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
import functools
import itertools
import os
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

# Not exported by `tfds.core` in all the versions that have it.
from tensorflow_datasets.core import dataset_builder

from dianet_jax.core import errors, progress
from tfds_builders import clip_finder, clips, raw_folder, registry

# The version of every builder but those with a later one of their own: one that
# did not follow a change of the shared record would take old records from the
# cache. 1.3.0 is megc2019_flow's, so the next is 1.4.0, for all.
VERSION = tfds.core.Version('1.2.0')
RELEASE_NOTES = {
  '1.0.0': 'First version.',
  '1.1.0': 'Action units as lists; policies for doubtful annotations.',
  '1.2.0': 'Frame numbers of up to 18 digits, such as times.',
}

# Size of a shard: small enough that a data set has several, to be read at the
# same time, and large enough that it does not have thousands.
_SHARD_BYTES = 64 * 2**20
# A record is one protocol buffer, limited to 2 GiB, and is read as a whole.
_MOST_RECORD_BYTES = 2**30


class RawFolderBuilder(
  dataset_builder.ShardBasedBuilder, abc.ABC, skip_registration=True
):
  """Writes the checked clips of a raw folder as records.

  It writes shard by shard. TFDS's usual builder first collects all records, up
  to 1 GB in memory, and more in files for which it needs TensorFlow.

  Attributes:
    FACTS: what the data set's folder declares.
    IMAGE_FEATURES: names of the features that hold images. They are given as
      paths, so that TFDS stores the bytes of the files without loss.
  """

  VERSION = VERSION
  RELEASE_NOTES = RELEASE_NOTES
  FACTS: ClassVar[registry.Facts]
  IMAGE_FEATURES: ClassVar[tuple[str, ...]]

  def __init__(
    self,
    *,
    checked: raw_folder.Checked | None = None,
    track: progress.Track = progress.silent,
    **kwargs: Any,
  ):
    """Constructs the builder.

    Args:
      checked: the records to write; None to search and check TFDS's
        manual_dir, where a bad clip is an error.
      track: called as `track(items, description=..., total=...)`, for progress.
      **kwargs: for TFDS: data_dir, config, version.
    """
    self._checked = checked
    self._track = track
    super().__init__(**kwargs)

  @classmethod
  @abc.abstractmethod
  def find(
    cls,
    manual_dir: str | os.PathLike[str],
    variant: str = '',
    policy: str = raw_folder.DEFAULT_POLICY,
  ) -> raw_folder.Found:
    """Finds the clips without opening an image.

    Args:
      manual_dir: the folder with the raw data.
      variant: one of the data set's; '' takes what the folder holds.
      policy: one of `raw_folder.POLICIES`.

    Raises:
      errors.UserError: see `clip_finder.find`.
    """

  @abc.abstractmethod
  def features(self) -> dict[str, Any]:
    """Name -> feature of a record."""

  def _info(self) -> tfds.core.DatasetInfo:
    # Records stay in the order of their clip ids.
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(self.features()),
      disable_shuffling=True,
    )

  def _shard_iterators_per_split(
    self, dl_manager: Any
  ) -> dict[str, Sequence[Callable[[], Iterator[tuple[int, Any]]]]]:
    checked = self._checked
    if checked is None:
      config = self.builder_config
      variant = config.name if config else raw_folder.ANY_VARIANT
      found = self.find(
        dl_manager.manual_dir,
        '' if variant == raw_folder.ANY_VARIANT else variant,
      )
      checked = raw_folder.check(self.FACTS.guide, found, track=self._track)
    records = checked.records
    description = f'Writing {self.FACTS.guide.title}'
    examples = iter(
      self._track(
        enumerate(records), description=description, total=len(records)
      )
    )
    sizes = [self._size(record) for record in records]
    lengths = _shard_lengths(sizes)
    # A single split: folds are subjects, and are not made here. TFDS writes one
    # shard after the other, so each starts where the previous one ended.
    return {
      'train': [
        functools.partial(itertools.islice, examples, n) for n in lengths
      ]
    }

  @classmethod
  def image_paths(cls, record: Mapping[str, Any]) -> list[str]:
    """Paths of all images of a record that has not been written yet."""
    images = [record[name] for name in cls.IMAGE_FEATURES]
    lists = [[i] if isinstance(i, str) else i for i in images]
    return list(itertools.chain(*lists))

  def _size(self, record: Mapping[str, Any]) -> int:
    """Bytes of a record's images; UserError if they are too many."""
    paths = self.image_paths(record)
    size = sum(map(os.path.getsize, paths))
    if size > _MOST_RECORD_BYTES:
      raise errors.UserError(
        f'{self.FACTS.guide.title}: the {len(paths)} images of '
        f'{record["clip_id"]} (the first is {paths[0]}) have '
        f'{size / 2**30:.1f} GiB; a clip may have {_MOST_RECORD_BYTES // 2**30}'
        '. Correct its onset and offset, or take smaller frames.'
      )
    return size

  # TFDS prints both at every log level.
  def _log_download_bytes(self) -> None:
    pass

  def _log_download_done(self) -> None:
    pass


class ClipBuilder(RawFolderBuilder, skip_registration=True):
  """Builder of a data set whose `FACTS.reading` is a `clips.DataSet`."""

  IMAGE_FEATURES = ('frames',)

  @classmethod
  def find(
    cls,
    manual_dir: str | os.PathLike[str],
    variant: str = '',
    policy: str = raw_folder.DEFAULT_POLICY,
  ) -> raw_folder.Found:
    """See the base class."""
    return clip_finder.find(cls.FACTS.reading, manual_dir, variant, policy)

  def features(self) -> dict[str, Any]:
    """See the base class; key frames are indices into `frames`."""
    features = tfds.features
    return {
      'clip_id': features.Text(doc="'<subject>/<clip>'"),
      'subject': features.Text(),
      'dataset': features.Text(),
      'emotion': features.Text(doc='as annotated'),
      'action_units': features.Text(doc='as annotated'),
      # One entry per action unit; see `action_units.ActionUnit`.
      'au_unit': features.Sequence(np.int32),
      'au_side': features.Sequence(features.Text()),
      'au_intensity': features.Sequence(features.Text()),
      'frames_per_second': np.float32,
      'frames': features.Sequence(
        features.Image(doc='onset to offset, the bytes of the files')
      ),
      'frame_numbers': features.Sequence(np.int64),
      'onset': features.Scalar(np.int32, doc='index into frames'),
      'apex': features.Scalar(np.int32, doc='index into frames'),
      'offset': features.Scalar(np.int32, doc='index into frames'),
      'apex_source': features.Text(doc='annotated, repaired or spotted'),
      'notes': features.Text(doc='repairs made'),
    }


def _shard_lengths(sizes: Sequence[int]) -> list[int]:
  """Numbers of consecutive records in each shard."""
  lengths, filled = [], _SHARD_BYTES
  for size in sizes:
    if filled >= _SHARD_BYTES:
      lengths.append(0)
      filled = 0
    lengths[-1] += 1
    filled += size
  return lengths


def variant_configs(data_set: clips.DataSet) -> list[tfds.core.BuilderConfig]:
  """Builder configs: one that takes any variant, then one for each."""
  order = ', '.join(data_set.variants)
  descriptions = {
    raw_folder.ANY_VARIANT: f'the first that is found of: {order}',
    **{name: f'the {name} frames' for name in data_set.variants},
  }
  return [
    tfds.core.BuilderConfig(name=name, description=description)
    for name, description in descriptions.items()
  ]
