"""Names, sizes and times of the files of a raw data set."""

import hashlib
import os

from dianet_jax.core import config as configuration
from dianet_jax.core import progress


def listing(data: configuration.Data) -> str:
  """A hash of the names, sizes and times of all files of the raw data.

  Args:
    data: the `data` section.

  Returns:
    16 hexadecimal digits; '' if the data are simulated or missing.
  """
  folder = os.path.expanduser(data.manual_dir)
  if data.simulation.enabled or not data.manual_dir:
    return ''
  if not os.path.isdir(folder):
    return ''
  digest, seen = hashlib.sha256(), set()
  with progress.waiting(f'Listing {folder}'):
    for place, folders, names in os.walk(folder, followlinks=True):
      # A link may lead to one of its parent folders.
      real = os.path.realpath(place)
      if real in seen:
        folders.clear()
        continue
      seen.add(real)
      folders.sort()
      for name in sorted(names):
        digest.update(os.fsencode(os.path.relpath(place, folder)) + b'\0')
        digest.update(os.fsencode(name) + b'\0')
        digest.update(_size_and_time(os.path.join(place, name)))
  return digest.hexdigest()[:16]


def _size_and_time(path: str) -> bytes:
  try:
    status = os.stat(path)
  except OSError:  # A broken link.
    return b'-'
  return f'{status.st_size} {status.st_mtime_ns} '.encode()
