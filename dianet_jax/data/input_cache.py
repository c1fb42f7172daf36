"""Disk cache of inputs that take seconds per clip to compute.

There is one folder for each representation and its settings, with one file per
clip. So a resumed run, a second run and a run with another protocol reuse the
files of earlier runs.
"""

import dataclasses
import hashlib
import inspect
import io
import json
import os
import pathlib
import tempfile
from typing import Any
import zipfile

from jaxtyping import Float, Float64
import numpy as np

from dianet_jax import clips, motion
from dianet_jax.core import config as configuration
from dianet_jax.core import errors, files, progress, runtime
from dianet_jax.motion.registry import Representation

FOLDER, ABOUT = 'inputs', 'about.json'
# Keys of the `data` section that do not affect the inputs of a clip: they
# select clips, locate them, or apply later. All others are part of the key.
_IGNORED_KEYS = {
  'dataset', 'variant', 'protocol', 'emotions', 'manual_dir', 'cache_dir',
  'skip_bad_clips', 'annotation_policy', 'inputs', 'scaling', 'permute_labels',
  'train_on_annotated', 'simulation',
}  # fmt: skip


class InputCache:
  """The cache of one representation with certain settings.

  Attributes:
    folder: of the cached files; created by the first `write`.
  """

  def __init__(
    self, name: str, row: Representation, config: configuration.Data
  ):
    """Determines the folder, without reading or writing.

    Args:
      name: name of the representation.
      row: the representation; its source code is part of the key.
      config: the `data` section.
    """
    settings = {
      key: value
      for key, value in dataclasses.asdict(config).items()
      if key not in _IGNORED_KEYS
    }
    self._about = {
      'representation': name,
      'settings': settings,
      'code': _code_digest(row),
    }
    text = json.dumps(self._about, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    cache = runtime.cache_dir(config.cache_dir)
    self.folder = cache / FOLDER / f'{name}-{key}'
    self._used = False

  def read(self, clip: str) -> Float[np.ndarray, 'variant ...'] | None:
    """Reads the input of a clip.

    Args:
      clip: key of the clip, see `clip_key`.

    Returns:
      float32; None if the file does not exist or is damaged.
    """
    path = self._path(clip)
    try:
      # Every member of the archive has a checksum, which reading verifies.
      with (
        open(path, 'rb') as file,
        np.load(file, allow_pickle=False) as archive,
      ):
        values = archive['values']
    except FileNotFoundError:
      return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
      progress.console.print(f'{path} is damaged: it is computed again.')
      return None
    self._mark_used()
    return values

  def write(self, clip: str, values: Float[np.ndarray, 'variant ...']) -> None:
    """Writes the input of a clip.

    Args:
      clip: key of the clip, see `clip_key`.
      values: float32.

    Raises:
      UserError: the folder cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, values=values)
    try:
      self.folder.mkdir(parents=True, exist_ok=True)
      if not (self.folder / ABOUT).exists():
        files.write_json(self.folder / ABOUT, self._about)
      # Written to a temporary file and renamed, so it is always complete.
      handle, temporary = tempfile.mkstemp(dir=self.folder, suffix='.part')
      try:
        with os.fdopen(handle, 'wb') as file:
          file.write(buffer.getbuffer())
        os.replace(temporary, self._path(clip))
      except BaseException:
        os.unlink(temporary)
        raise
    except OSError as error:
      raise errors.UserError(
        f'Inputs cannot be cached in {self.folder}: {error}. Free disk space'
        ' (`dianet cache` lists and removes entries of the cache), or set'
        ' another --config.data.cache_dir.'
      ) from error

  def _path(self, clip: str) -> pathlib.Path:
    return self.folder / f'{clip}.npz'

  def _mark_used(self) -> None:
    """Sets the folder's time once per run; `dianet cache` shows it."""
    if not self._used:
      os.utime(self.folder)
    self._used = True


def clip_key(
  record: dict[str, Any], transform: Float64[np.ndarray, '2 3'] | None
) -> str:
  """Computes the key of a clip.

  Args:
    record: its record.
    transform: transform of its face; None if faces are not aligned.

  Returns:
    A hash of both, 32 hexadecimal digits.
  """
  digest = hashlib.sha256()
  add_record(digest, record)
  if transform is not None:
    digest.update(np.asarray(transform, np.float64).tobytes())
  return digest.hexdigest()[:32]


def add_record(digest: 'hashlib._Hash', record: dict[str, Any]) -> None:
  """Adds all fields of a record to a hash.

  Args:
    digest: is updated.
    record: its values are bytes, numbers, strings, or lists of these.
  """
  for key in sorted(record):
    value = record[key]
    parts = value if isinstance(value, (list, np.ndarray)) else [value]
    digest.update(f'{key} {len(parts)} '.encode())
    for part in parts:
      part = part if isinstance(part, bytes) else str(part).encode()
      digest.update(f'{len(part)} '.encode() + part)


def _code_digest(row: Representation) -> str:
  """Hash of all code that computes inputs, so that edits change the key."""
  sources = {pathlib.Path(inspect.getfile(type(row)))}
  for package in (clips, motion):
    sources.update(pathlib.Path(package.__path__[0]).glob('*.py'))
  sources.add(pathlib.Path(__file__).with_name('inputs.py'))
  digest = hashlib.sha256()
  for path in sorted(sources):
    digest.update(hashlib.sha256(path.read_bytes()).digest())
  return digest.hexdigest()[:16]
