"""What of the machine this process may use: cores and memory.

SLURM and `taskset` bind a process to some cores; containers limit time on the
cores and memory by control groups (cgroups, version 1 or 2).
"""

from collections.abc import Iterator
import contextlib
import ctypes
import math
import os
import pathlib

_PROCESS, _GROUPS = pathlib.Path('/proc'), pathlib.Path('/sys/fs/cgroup')


def cores() -> int:
  """How many cores this process may keep busy; at least 1."""
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
  """Microseconds of processor time in each period of so many microseconds."""
  if (folder / 'cpu.max').exists():
    quota, period = (folder / 'cpu.max').read_text().split()
  else:
    quota, period = (
      (folder / f'cpu.cfs_{what}_us').read_text()
      for what in ('quota', 'period')
    )
  return int(quota), int(period)


def free_memory() -> int | None:
  """Bytes that this process may still take; None where nobody says."""
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
  """Returns to the system what the C library has freed and holds.

  Threads that copy and write arrays leave memory in arenas of their own. In a
  run of hours it adds up to gigabytes that nobody uses.
  """
  # glibc alone has it, and needs it.
  with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(None).malloc_trim(0)


def _cached(folder: pathlib.Path) -> int:
  """Bytes of files that the kernel gives up when memory is short."""
  lines = (folder / 'memory.stat').read_text().splitlines()
  figures = dict(line.split() for line in lines)
  # In version 1 the plain figure leaves out the groups below.
  plain = figures.get('inactive_file', '0')
  return int(figures.get('total_inactive_file', plain))


def _folders(controller: str) -> Iterator[pathlib.Path]:
  """The control groups that this process is in, where limits may be set."""
  try:
    lines = (_PROCESS / 'self/cgroup').read_text().splitlines()
  except OSError:
    return
  for line in lines:
    _, names, path = line.split(':', 2)
    if names and controller not in names.split(','):
      continue
    root = _GROUPS / names if names else _GROUPS
    # A container may see its own group as the root.
    place = root / path.lstrip('/')
    for folder in (place, *place.parents):
      yield folder
      if folder == root:
        break
