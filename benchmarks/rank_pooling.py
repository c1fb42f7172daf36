"""Speed of rank pooling, against other forms and the limits of the machine.

    pip install -e '.[bench]'
    python -m benchmarks.rank_pooling            # 1.5 minutes
    python -m benchmarks.rank_pooling --quick    # one shape

All forms pool both phases of every clip, from uint8 frames of three channels in
memory, on all cores. The first table shows GB/s of frames of every form. For
ours it also shows clips per second, the ratio to the fastest library (NumPy,
OpenCV, PyTorch) and to a hand-written loop compiled with Numba, the fraction of
the nearer of the machine's two limits, and the temporary memory of the compiled
call. The limits are measured in the same run: reading a buffer of 2 GB, and
float32 multiply-adds in a matrix product. The last row is the largest error
against float64 on motion of one grey level, as a fraction of the largest value:
the peers sum the frames directly, ours subtracts the apex frame first. Ours
runs on the device that jax uses, the peers on the processor. The second table
shows growth with the number of frames.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
import concurrent.futures
import datetime
import functools
import importlib.metadata
import importlib.util
import platform
import time

import jax
import jax.numpy as jnp
import numpy as np
import rich.box
import rich.console
import rich.table

from benchmarks.peers.rank_pooling_forms import (
  COMPILED,
  FORMS,
  OURS,
  THREADS,
  Clips,
  make_clips,
  our_call,
)
from dianet_jax.motion import rank_pooling

# Frames a clip, pixels a side.
_SHAPES = ((16, 112), (32, 224), (64, 224), (256, 224))
_BATCHES = (1, 16)


def available() -> Iterator[tuple[str, Callable]]:
  """Forms whose package is installed; prints which are not."""
  for name, (package, form) in FORMS.items():
    if package and not importlib.util.find_spec(package):
      print(f"{name}: not installed (pip install -e '.[bench]')")
    else:
      yield name, form


def best_seconds(run: Callable[[], object], least: float = 0.5) -> float:
  """The fastest of at least three runs, which take at least `least` seconds."""
  run()
  times = []
  while len(times) < 3 or sum(times) < least:
    start = time.perf_counter()
    run()
    times.append(time.perf_counter() - start)
  return min(times)


def read_bandwidth() -> float:
  """Bytes per second of all threads that sum a buffer of 2 GB of integers."""
  parts = np.array_split(np.ones(2 * 10**9 // 8, np.int64), THREADS)
  with concurrent.futures.ThreadPoolExecutor(THREADS) as executor:
    seconds = best_seconds(lambda: list(executor.map(np.sum, parts)))
  found = [2e9 / seconds]
  if importlib.util.find_spec('numba'):
    import numba

    @numba.njit(parallel=True)
    def add_up(buffer):
      total = 0
      for i in numba.prange(len(buffer)):
        total += buffer[i]
      return total

    buffer = np.ones(2 * 10**9 // 8, np.int64)
    found.append(2e9 / best_seconds(lambda: add_up(buffer)))
  return max(found)


def multiply_adds() -> float:
  """Counts float32 multiply-adds per second in a matrix product."""
  size = 2048
  matrix = np.ones((size, size), np.float32)
  return size**3 / best_seconds(lambda: matrix @ matrix)


def accelerator_limits() -> tuple[float, float]:
  """Both limits of jax's device, if it is not the processor."""
  total, product = (
    jax.jit(jnp.sum),
    jax.jit(functools.partial(jnp.matmul, precision='highest')),
  )
  buffer = jnp.ones(5 * 10**8, jnp.float32)
  read = best_seconds(lambda: jax.block_until_ready(total(buffer)))
  size = 8192
  matrix = jnp.ones((size, size), jnp.float32)
  add = best_seconds(lambda: jax.block_until_ready(product(matrix, matrix)))
  return 2e9 / read, size**3 / add


def largest_error(form: Callable) -> float:
  """Largest error against float64, on 64 frames moving by one grey level."""
  clips = make_clips(1, 64, 112, levels=2)
  exact = np.stack(
    [
      np.tensordot(
        rank_pooling.coefficients(last - first + 1),
        clips.frames[0, first : last + 1].astype(np.float64),
        1,
      )
      for first, last in clips.spans
    ]
  )
  found = np.asarray(form(clips)()).reshape(exact.shape)
  return np.abs(found - exact).max() / np.abs(exact).max()


def _table(title: str, columns: Iterable[str]) -> rich.table.Table:
  table = rich.table.Table(title=title, box=rich.box.MARKDOWN)
  for column in columns:
    table.add_column(column, justify='right', no_wrap=True)
  return table


def _row(
  clips: Clips,
  forms: dict[str, Callable],
  limits: tuple[float, float],
) -> list[str]:
  """One shape's cells."""
  values = clips.frames.size
  rates = {
    name: values / best_seconds(form(clips)) for name, form in forms.items()
  }
  ours = rates[OURS]
  interpreted = max(
    rate for name, rate in rates.items() if name not in (OURS, COMPILED)
  )
  compiled = rates.get(COMPILED)
  # Every value is read once and, in one phase, multiplied and added once.
  limit = min(limits)
  call = our_call(clips)
  program = call.func.lower(*call.args, **call.keywords).compile()
  temporary = program.memory_analysis().temp_size_in_bytes
  number, frames, size = clips.frames.shape[:3]
  return [
    f'{number} x {frames} x {size}^2',
    *(f'{rate / 1e9:.1f}' for rate in rates.values()),
    f'{number * ours / values:.0f}',
    f'{ours / interpreted:.1f}',
    f'{ours / compiled:.2f}' if compiled else '-',
    f'{ours / limit:.0%}',
    f'{temporary / 1e6:.1f}',
  ]


def compare(
  shapes: Iterable[tuple[int, int, int]],
  forms: dict[str, Callable],
  limits: tuple[float, float],
) -> rich.table.Table:
  """GB/s of frames: one row per (clips, frames, size), one column per form."""
  table = _table(
    'GB/s of frames; clips x frames x size x 3, uint8, both phases',
    [
      'clips',
      *forms,
      'clips/s',
      'x best library',
      'x Numba',
      'of the limit',
      'temp MB',
    ],
  )
  errors = (f'{largest_error(form):.0e}' for form in forms.values())
  for number, frames, size in shapes:
    table.add_row(*_row(make_clips(number, frames, size), forms, limits))
  table.add_row('error', *errors)
  return table


def growth() -> rich.table.Table:
  """Time of ours against the number of frames."""
  table = _table(
    'ours, 4 clips of 112^2 x 3, by the number of frames', ('T', 'ms', 'GB/s')
  )
  for frames in (2, 8, 32, 128, 512, 1000):
    clips = make_clips(4, frames, 112)
    seconds = best_seconds(FORMS[OURS][1](clips))
    table.add_row(
      str(frames),
      f'{seconds * 1e3:.2f}',
      f'{clips.frames.size / seconds / 1e9:.2f}',
    )
  return table


def describe() -> str:
  """Date, machine and versions, in one line."""
  packages = ('jax', 'numpy', 'opencv-python-headless', 'torch', 'numba')
  found = []
  for package in packages:
    try:
      found.append(f'{package} {importlib.metadata.version(package)}')
    except importlib.metadata.PackageNotFoundError:
      continue
  return (
    f'{datetime.date.today()}, {platform.machine()}, {THREADS} threads, jax on'
    f' {jax.devices()[0].device_kind!r}, Python {platform.python_version()}, '
    + ', '.join(found)
  )


def main() -> None:
  """Prints everything."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    '--quick', action='store_true', help='64 frames of 224^2, 16 clips, only'
  )
  quick = parser.parse_args().quick
  console = rich.console.Console(width=200, highlight=False)
  forms = dict(available())
  console.print(describe())
  limits = processor = read_bandwidth(), multiply_adds()
  console.print(_limits_in_words('processor', processor))
  if jax.default_backend() != 'cpu':
    limits = accelerator_limits()
    console.print(_limits_in_words("jax's device", limits))
  shapes = [
    (number, frames, size) for frames, size in _SHAPES for number in _BATCHES
  ]
  console.print(compare([(16, 64, 224)] if quick else shapes, forms, limits))
  if not quick:
    console.print(growth())


def _limits_in_words(name: str, limits: tuple[float, float]) -> str:
  read, add = (limit / 1e9 for limit in limits)
  return f'limits, {name}: {read:.1f} GB/s read, {add:.0f} G multiply-adds/s'


if __name__ == '__main__':
  main()
