"""Prepares a raw folder once, and gives access to its records."""

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
import threading
from typing import Any

from absl import logging

from dianet_jax.core import errors, progress
from tfds_builders import locks, manifest, raw_folder, registry

_SUMMARY = 'preparation.json'
_OTHER_CACHE = (
  'Choose another one with --config.data.cache_dir=/path/to/folder.'
)


@dataclasses.dataclass(frozen=True)
class PreparedRecords:
  """Records of one raw folder.

  Attributes:
    source: random access, `len(source)` and `source[i]`, in the order of the
      clip ids. A record is a dict: texts are bytes (UTF-8), numbers int and
      float, `frame_numbers` a list, images the bytes of the files, for
      `images.decode` (`frames` is a numpy array of bytes objects). It may be
      read from several threads.
    records_dir: the folder of the array_record shards, a TFDS version folder.
    fingerprint: hash of the raw folder, the options, how the data set is read,
      and the version of the records.
    simulated: whether the raw folder was simulated.
    left_out: (clip id, reason) of every clip that was left out.
    notes: choices made in reading the folder.
    from_cache: whether the records had been prepared before.
  """

  source: Sequence[dict[str, Any]]
  records_dir: pathlib.Path
  fingerprint: str
  simulated: bool
  left_out: list[tuple[str, str]]
  notes: list[str]
  from_cache: bool


def prepare(
  dataset: str,
  manual_dir: str | os.PathLike[str],
  cache_dir: str | os.PathLike[str],
  *,
  variant: str = '',
  skip_bad_clips: bool = False,
  annotation_policy: str = raw_folder.DEFAULT_POLICY,
  track: progress.Track = progress.silent,
) -> PreparedRecords:
  """Makes the records of a raw folder, or finds those made before.

  Every frame is decoded once as a check. The records lie in
  `cache_dir/<dataset>/<fingerprint>`, which appears only when complete.
  Complete records can be used even if the cache cannot be written. Damaged
  records are renamed and made again (see `manifest`), also if the damage shows
  only when a record is read.

  Args:
    dataset: one of `registry.names()`.
    manual_dir: the folder with the raw data, in any layout of the data set.
    cache_dir: the folder for records.
    variant: e.g. 'cropped'; '' takes what the folder holds.
    skip_bad_clips: whether to leave out clips that cannot be used, instead of
      raising.
    annotation_policy: one of `raw_folder.POLICIES`, for doubtful annotations.
    track: called as `track(items, description=..., total=...)`, for progress.

  Returns:
    The records.

  Raises:
    errors.UserError: the data set, variant or policy is unknown; `manual_dir`
      does not hold the data set; clips are bad; `cache_dir` cannot be written.
      Reading a record raises it if damaged records cannot be made again.
  """
  find_or_make = functools.partial(
    _find_or_make,
    dataset,
    manual_dir,
    cache_dir,
    variant,
    skip_bad_clips,
    annotation_policy,
    track,
  )
  prepared = find_or_make(thorough=False)
  return dataclasses.replace(
    prepared, source=_RepairingSource(prepared, find_or_make)
  )


class _RepairingSource(Sequence):
  """Records that are made again when one of them cannot be read."""

  def __init__(self, prepared: PreparedRecords, find_or_make: Any):
    self._prepared = prepared
    self._find_or_make = find_or_make
    self._mutex = threading.Lock()

  def __len__(self) -> int:
    return len(self._prepared.source)

  def __getitem__(self, index: int) -> dict[str, Any]:
    prepared = self._prepared
    index = range(len(prepared.source))[index]
    try:
      return prepared.source[index]
    # On damaged records, the libraries may raise any exception.
    except Exception as error:
      repaired = self._repair(prepared, error)
      try:
        return repaired.source[index]
      except Exception as again:
        raise errors.UserError(
          f'Record {index} in {repaired.records_dir} cannot be read'
          f' ({again!r}), although its files are as written. Check the memory'
          f' and the disk of this machine. {_OTHER_CACHE}'
        ) from again

  def _repair(
    self, prepared: PreparedRecords, error: Exception
  ) -> PreparedRecords:
    """Checks every file of the records; makes them again if necessary."""
    with self._mutex:
      # Another thread may have come first.
      if self._prepared is prepared:
        repaired = self._find_or_make(thorough=True)
        if repaired.fingerprint != prepared.fingerprint:
          raise errors.UserError(
            f'The records in {prepared.records_dir} are damaged ({error!r}),'
            ' and the raw data have changed since they were read. Start again.'
          ) from error
        self._prepared = repaired
      return self._prepared


def _find_or_make(
  dataset: str,
  manual_dir: str | os.PathLike[str],
  cache_dir: str | os.PathLike[str],
  variant: str,
  skip_bad_clips: bool,
  annotation_policy: str,
  track: progress.Track,
  thorough: bool,
) -> PreparedRecords:
  """See `prepare`; `thorough` checks every byte of records in the cache."""
  builder_cls = builder_class(dataset, variant)
  check_policy(annotation_policy, skip_bad_clips)
  found = builder_cls.find(manual_dir, variant, annotation_policy)
  options = {
    'dataset': dataset,
    'version': str(builder_cls.VERSION),
    'variant': variant,
    'skip_bad_clips': skip_bad_clips,
    'annotation_policy': annotation_policy,
    'simulated': found.simulated,
  }
  fingerprint = _fingerprint(builder_cls, found, options)
  place = _absolute(cache_dir) / dataset / fingerprint
  with _quiet_tfds():
    # Without a lock, which would need a folder that can be written.
    from_cache = not _damage(place, thorough)
    if not from_cache:
      lock = place.with_name(f'{place.name}.lock')
      with locks.hold(lock, 'prepares these records', _OTHER_CACHE):
        # Another process may have made them meanwhile.
        if damage := _damage(place, thorough):
          manifest.set_aside(place, damage, _OTHER_CACHE)
          _make(builder_cls, place, found, options, track)
        else:
          from_cache = True
    return _open(builder_cls, place, variant, from_cache)


def _damage(place: pathlib.Path, thorough: bool) -> str:
  try:
    return manifest.damage(place, thorough)
  except PermissionError as error:
    raise errors.UserError(
      f'The prepared records cannot be read: {error}. {_OTHER_CACHE}'
    ) from error


def _open(
  builder_cls: Any, place: pathlib.Path, variant: str, from_cache: bool
) -> PreparedRecords:
  """Opens records that are known to be complete."""
  summary = json.loads((place / _SUMMARY).read_text(encoding='utf-8'))
  builder = _builder(builder_cls, place, variant)
  decoders = _undecoded(builder_cls.IMAGE_FEATURES)
  return PreparedRecords(
    source=builder.as_data_source('all', decoders=decoders),
    records_dir=pathlib.Path(builder.data_path),
    fingerprint=place.name,
    simulated=summary['simulated'],
    left_out=[tuple(entry) for entry in summary['left_out']],
    notes=summary['notes'],
    from_cache=from_cache,
  )


def builder_class(dataset: str, variant: str) -> Any:
  """Imports the builder of a data set, and TFDS with it.

  Args:
    dataset: one of `registry.names()`.
    variant: one of the data set's, or ''.

  Returns:
    A subclass of `records.RawFolderBuilder`.

  Raises:
    errors.UserError: unknown data set or variant.
  """
  builder_cls = registry.builder(dataset)
  names = [config.name for config in builder_cls.BUILDER_CONFIGS]
  variants = [name for name in names if name != raw_folder.ANY_VARIANT]
  if variant and variant not in variants:
    advice = 'Leave the key empty.'
    if variants:
      advice = f'Choose one of {", ".join(variants)}, or leave it empty.'
    raise errors.UserError(
      f"{dataset} has no variant '{variant}' (config key data.variant). "
      f'{advice}'
    )
  return builder_cls


def check_policy(policy: str, skip_bad_clips: bool = False) -> None:
  """Raises UserError for an unknown policy, or strict while skipping."""
  if policy not in raw_folder.POLICIES:
    raise errors.UserError(
      f'--config.data.annotation_policy={policy!r} is unknown: choose one of '
      f'{", ".join(raw_folder.POLICIES)}.'
    )
  if policy == 'strict' and skip_bad_clips:
    raise errors.UserError(
      '--config.data.annotation_policy=strict stops at every doubt, but '
      '--config.data.skip_bad_clips=true skips such clips: to leave doubtful '
      'clips out, choose --config.data.annotation_policy=drop.'
    )


def _builder(builder_cls: Any, place: pathlib.Path, variant: str, **kwargs):
  config = None
  if builder_cls.BUILDER_CONFIGS:
    config = variant or raw_folder.ANY_VARIANT
  return builder_cls(data_dir=str(place), config=config, **kwargs)


def _absolute(path: str | os.PathLike[str]) -> pathlib.Path:
  return pathlib.Path(os.path.abspath(os.path.expanduser(path)))


def _fingerprint(
  builder_cls: Any, found: raw_folder.Found, options: dict[str, Any]
) -> str:
  """Hash of everything on which the records depend.

  It covers the annotations, the images' names, sizes and times, the options,
  and how the data set is read: its table of repairs, its map of emotions.
  Reading the images would take as long as preparing them.
  """
  digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
  digest.update(repr(builder_cls.FACTS.reading).encode())
  try:
    for path in found.annotation_files:
      # Names need not be UTF-8.
      digest.update(os.fsencode(path.relative_to(found.root)))
      digest.update(hashlib.sha256(path.read_bytes()).digest())
    for path in found.image_files:
      status = path.stat()
      entry = (
        str(path.relative_to(found.root)),
        status.st_size,
        status.st_mtime_ns,
      )
      digest.update(json.dumps(entry).encode())
  except OSError as error:
    raise errors.UserError(
      f'{error.filename} was found a moment ago, but cannot be read: '
      f'{error.strerror}. Check whether the raw data are being moved.'
    ) from error
  return digest.hexdigest()[:16]


def _make(
  builder_cls: Any,
  place: pathlib.Path,
  found: raw_folder.Found,
  options: dict[str, Any],
  track: progress.Track,
) -> None:
  """Checks the clips, and writes records to `place`, if all succeeds."""
  guide = builder_cls.FACTS.guide
  checked = raw_folder.check(guide, found, options['skip_bad_clips'], track)
  summary = options | {
    'notes': found.notes + checked.notes,
    'left_out': checked.left_out,
  }
  try:
    _write(builder_cls, place, checked, summary, track)
  except (OSError, RuntimeError) as error:  # RuntimeError: array_record's.
    raise errors.UserError(
      f'The records cannot be written to {place}: {error}. Make room there,'
      ' or choose another --config.data.cache_dir.'
    ) from error


def _write(
  builder_cls: Any,
  place: pathlib.Path,
  checked: raw_folder.Checked,
  summary: dict[str, Any],
  track: progress.Track,
) -> None:
  """Writes records and summary beside `place`, then renames them into it."""
  incomplete = place.with_name(f'{place.name}.incomplete')
  # Left by a killed run; while we hold the lock, nobody else writes there.
  shutil.rmtree(incomplete, ignore_errors=True)
  incomplete.unlink(missing_ok=True)
  try:
    incomplete.mkdir()
    _builder(
      builder_cls, incomplete, summary['variant'], checked=checked, track=track
    ).download_and_prepare(file_format='array_record')
    # TFDS makes an empty folder for downloads, of which there are none.
    shutil.rmtree(incomplete / 'downloads', ignore_errors=True)
    (incomplete / _SUMMARY).write_text(
      json.dumps(summary, indent=2), encoding='utf-8'
    )
    manifest.write(incomplete)
    incomplete.rename(place)
  finally:
    shutil.rmtree(incomplete, ignore_errors=True)


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
  """Keeps TFDS's progress bars and information off the terminal."""
  import tensorflow_datasets as tfds

  tfds.disable_progress_bar()
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  finally:
    logging.set_verbosity(verbosity)


def _undecoded(image_features: Sequence[str]) -> dict[str, Any]:
  """Decoders that leave images as the bytes of their files."""
  import tensorflow_datasets as tfds

  class Undecoded(tfds.decode.SkipDecoding):
    """TFDS's class lacks this method, which reads sequences without TF."""

    def decode_batch_example_np(self, serialized_examples):
      return serialized_examples

  return {name: Undecoded() for name in image_features}
