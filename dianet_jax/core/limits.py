"""Cores and memory that this process may use.

SLURM and `taskset` bind a process to some cores; containers limit processor
time and memory by control groups (cgroups, version 1 or 2).
"""

from collections.abc import Iterator
import contextlib
import ctypes
import math
import os
import pathlib

_PROCESS, _GROUPS = pathlib.Path('/proc'), pathlib.Path('/sys/fs/cgroup')


def cores() -> int:
  """Number of cores that this process may use; at least 1."""
  try:
    number = len(os.sched_getaffinity(0))
  except AttributeError:  # macOS
    number = os.cpu_count() or 1
  for folder in _folders('cpu'):
    with contextlib.suppress(OSError, ValueError):
      quota, period = _quota(folder)
      if quota > 0:
        number = min(number, math.ceil(quota / period))
  return max(number, 1)


def _quota(folder: pathlib.Path) -> tuple[int, int]:
  """Processor time allowed per period, and the period, in microseconds."""
  if (folder / 'cpu.max').exists():
    quota, period = (folder / 'cpu.max').read_text().split()
  else:
    quota, period = (
      (folder / f'cpu.cfs_{what}_us').read_text()
      for what in ('quota', 'period')
    )
  return int(quota), int(period)


def free_memory() -> int | None:
  """Bytes that this process may still allocate; None if unknown."""
  free = []
  with contextlib.suppress(OSError, ValueError, StopIteration):
    lines = (_PROCESS / 'meminfo').read_text().splitlines()
    line = next(line for line in lines if line.startswith('MemAvailable'))
    free.append(int(line.split()[1]) * 1024)
  for folder in _folders('memory'):
    for limit, usage in (
      ('memory.max', 'memory.current'),
      ('memory.limit_in_bytes', 'memory.usage_in_bytes'),
    ):
      with contextlib.suppress(OSError, ValueError):
        bytes_ = int((folder / limit).read_text())
        used = int((folder / usage).read_text()) - _cached(folder)
        free.append(max(bytes_ - used, 0))
  return min(free, default=None)


def give_back() -> None:
  """Returns freed memory of the C library to the system.

  Threads that copy and write arrays leave freed memory in their own arenas. In
  a run of hours it adds up to unused gigabytes.
  """
  # Only glibc has this function, and only glibc needs it.
  with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(None).malloc_trim(0)


# Names of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> None:
  """Lets the C library reuse freed memory of any size.

  The compiled step takes its temporary memory anew each time. Blocks of more
  than 32 MB would come from the system page by page, and go back: a third of a
  step of STSTNet with 256 clips. Each thread would have an arena of its own,
  which returns blocks of 64 MB to the system; so all share one, but for threads
  that have theirs already. `give_back` still returns what is free.
  """
  # Only glibc has this function.
  with contextlib.suppress(AttributeError, OSError):
    library = ctypes.CDLL(None)
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    library.mallopt(_M_ARENA_MAX, 1)


def _cached(folder: pathlib.Path) -> int:
  """Bytes of cached files, which the kernel frees when memory is short."""
  lines = (folder / 'memory.stat').read_text().splitlines()
  figures = dict(line.split() for line in lines)
  # In version 1, the value without 'total_' excludes child groups.
  plain = figures.get('inactive_file', '0')
  return int(figures.get('total_inactive_file', plain))


def _folders(controller: str) -> Iterator[pathlib.Path]:
  """The control groups of this process, whose limits apply to it."""
  try:
    lines = (_PROCESS / 'self/cgroup').read_text().splitlines()
  except OSError:
    return
  for line in lines:
    _, names, path = line.split(':', 2)
    if names and controller not in names.split(','):
      continue
    root = _GROUPS / names if names else _GROUPS
    # Inside a container its own group may appear as the root.
    place = root / path.lstrip('/')
    for folder in (place, *place.parents):
      yield folder
      if folder == root:
        break
