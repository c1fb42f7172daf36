"""Limits of a process: affinity, and control groups of both versions."""

import os
import pathlib
import subprocess
import sys

import pytest

from dianet_jax.core import limits

GB = 10**9


@pytest.fixture
def machine(tmp_path, monkeypatch):
  """Writes files of /proc and /sys/fs/cgroup of a machine of our own."""
  monkeypatch.setattr(limits, '_PROCESS', tmp_path / 'proc')
  monkeypatch.setattr(limits, '_GROUPS', tmp_path / 'cgroup')
  monkeypatch.setattr(
    os, 'sched_getaffinity', lambda _: set(range(16)), raising=False
  )

  def write(**files):
    for name, text in files.items():
      path = tmp_path / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(text)

  write(**{'proc/meminfo': 'MemTotal: 9 kB\nMemAvailable: 64000000 kB\n'})
  return write


def test_a_machine_without_limits(machine):
  assert limits.cores() == 16
  assert limits.free_memory() == 64_000_000 * 1024


def test_affinity(machine, monkeypatch):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {3, 7})
  assert limits.cores() == 2


def test_version_2_and_the_groups_above(machine):
  machine(
    **{
      'proc/self/cgroup': '0::/job/step\n',
      'cgroup/job/step/cpu.max': 'max 100000\n',
      'cgroup/job/step/memory.max': 'max\n',
      'cgroup/job/cpu.max': '250000 100000\n',
      'cgroup/job/memory.max': f'{8 * GB}\n',
      'cgroup/job/memory.current': f'{5 * GB}\n',
      'cgroup/job/memory.stat': f'anon 1\ninactive_file {1 * GB}\n',
    }
  )
  assert limits.cores() == 3
  assert limits.free_memory() == 4 * GB


def test_version_1(machine):
  machine(
    **{
      'proc/self/cgroup': '5:cpu,cpuacct:/x\n4:memory:/x\n1:name=systemd:/\n',
      'cgroup/cpu,cpuacct/x/cpu.cfs_quota_us': '50000\n',
      'cgroup/cpu,cpuacct/x/cpu.cfs_period_us': '100000\n',
      'cgroup/cpu,cpuacct/cpu.cfs_quota_us': '-1\n',
      'cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000\n',
      'cgroup/memory/x/memory.limit_in_bytes': f'{3 * GB}\n',
      'cgroup/memory/x/memory.usage_in_bytes': f'{2 * GB}\n',
      'cgroup/memory/x/memory.stat': f'inactive_file 0\n'
      f'total_inactive_file {GB // 2}\n',
    }
  )
  assert limits.cores() == 1
  assert limits.free_memory() == 3 * GB // 2


def test_a_container_that_sees_its_own_group_as_the_root(machine):
  machine(
    **{
      'proc/self/cgroup': '0::/docker/0123\n',
      'cgroup/cpu.max': '100000 100000\n',
    }
  )
  assert limits.cores() == 1


def test_this_machine():
  assert 1 <= limits.cores() <= (os.cpu_count() or 1)
  free = limits.free_memory()
  assert free is None or free > 0


@pytest.mark.skipif(sys.platform != 'linux', reason='of the C library there')
def test_freed_memory_returns_to_the_system():
  limits.give_back()
  blocks = [bytearray(10_000) for _ in range(20_000)]
  # The last one keeps the heap from shrinking by itself.
  last, before = blocks.pop(), resident()
  del blocks
  limits.give_back()
  assert before - resident() > 100e6
  del last


_LARGE_BLOCKS = """
import ctypes, resource, sys, threading
from dianet_jax.core import limits
if sys.argv[1] == 'keep':
  limits.keep_freed_memory()
library = ctypes.CDLL(None)
library.malloc.restype = library.memset.restype = ctypes.c_void_p
library.memset.argtypes = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def use(size):
  blocks = [library.malloc(size) for _ in range(2)]
  for block in blocks:
    library.memset(block, 1, size)
  for block in reversed(blocks):
    library.free(block)

def measure():
  use(size)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  use(size)
  print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

size = int(sys.argv[2])
thread = threading.Thread(target=measure)
thread.start() if sys.argv[3] == 'thread' else measure()
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='of the C library there')
@pytest.mark.parametrize('keep', ['keep', 'return'])
@pytest.mark.parametrize(
  'size, where', [(100_000_000, 'main'), (40_000_000, 'thread')]
)
def test_large_blocks_are_reused_without_the_system(keep, size, where):
  done = subprocess.run(
    [sys.executable, '-c', _LARGE_BLOCKS, keep, str(size), where],
    capture_output=True,
    text=True,
    check=True,
  )
  assert (int(done.stdout) < 1000) == (keep == 'keep')


def resident():
  """Bytes of this process in memory."""
  pages = pathlib.Path('/proc/self/statm').read_text().split()[1]
  return int(pages) * os.sysconf('SC_PAGE_SIZE')
