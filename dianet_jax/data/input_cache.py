"""Inputs that cost seconds a clip, kept on disk beside the prepared records.

A folder for each representation and its settings, in it a file for each clip:
another protocol, a run that was stopped and a second one take what is there.
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
# Keys of the `data` section that say which clips there are, where, and what
# follows once they are made. All others decide what an input holds.
_OF_NO_CONSEQUENCE = {
  'dataset', 'variant', 'protocol', 'emotions', 'manual_dir', 'cache_dir',
  'skip_bad_clips', 'annotation_policy', 'inputs', 'scaling', 'permute_labels',
  'simulation',
}  # fmt: skip


class InputCache:
  """What is kept of one representation under one group of settings."""

  def __init__(
    self, name: str, row: Representation, config: configuration.Data
  ):
    """Nothing is read or written yet.

    Args:
      name: of the representation.
      row: the representation; its source is a part of the key.
      config: the `data` section.
    """
    settings = {
      key: value
      for key, value in dataclasses.asdict(config).items()
      if key not in _OF_NO_CONSEQUENCE
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
    """What is kept of a clip; None where nothing is, or it is damaged.

    Args:
      clip: see `clip_key`.
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
      progress.console.print(f'{path} is damaged: made again.')
      return None
    self._mark_used()
    return values

  def write(self, clip: str, values: Float[np.ndarray, 'variant ...']) -> None:
    """Keeps what was made of a clip.

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
      handle, aside = tempfile.mkstemp(dir=self.folder, suffix='.part')
      try:
        with os.fdopen(handle, 'wb') as file:
          file.write(buffer.getbuffer())
        os.replace(aside, self._path(clip))
      except BaseException:
        os.unlink(aside)
        raise
    except OSError as error:
      raise errors.UserError(
        f'Inputs cannot be kept in {self.folder}: {error}. Make room there'
        ' (`dianet cache` lists what can go), or choose another'
        ' --config.data.cache_dir.'
      ) from error

  def _path(self, clip: str) -> pathlib.Path:
    return self.folder / f'{clip}.npz'

  def _mark_used(self) -> None:
    """Once a run: `dianet cache` shows when a folder was last of use."""
    if not self._used:
      os.utime(self.folder)
    self._used = True


def clip_key(
  record: dict[str, Any], transform: Float64[np.ndarray, '2 3'] | None
) -> str:
  """Names a clip by the content of its record, and by where its face is."""
  digest = hashlib.sha256()
  add_record(digest, record)
  if transform is not None:
    digest.update(np.asarray(transform, np.float64).tobytes())
  return digest.hexdigest()[:32]


def add_record(digest: 'hashlib._Hash', record: dict[str, Any]) -> None:
  """Adds to a digest all that a record holds."""
  for key in sorted(record):
    value = record[key]
    parts = value if isinstance(value, (list, np.ndarray)) else [value]
    digest.update(f'{key} {len(parts)} '.encode())
    for part in parts:
      part = part if isinstance(part, bytes) else str(part).encode()
      digest.update(f'{len(part)} '.encode() + part)


def _code_digest(row: Representation) -> str:
  """A hash of all code that computes inputs: an edit invalidates the cache."""
  sources = {pathlib.Path(inspect.getfile(type(row)))}
  for package in (clips, motion):
    sources.update(pathlib.Path(package.__path__[0]).glob('*.py'))
  sources.add(pathlib.Path(__file__).with_name('inputs.py'))
  digest = hashlib.sha256()
  for path in sorted(sources):
    digest.update(hashlib.sha256(path.read_bytes()).digest())
  return digest.hexdigest()[:16]
