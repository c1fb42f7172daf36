"""Rank pooling against what a user would write instead, and the machine.

    pip install -e '.[bench]'
    python -m benchmarks.rank_pooling            # a few minutes
    python -m benchmarks.rank_pooling --quick    # one shape

Both phases of every clip, uint8 frames of three channels in memory, all cores
for everyone. One run prints for each shape: GB/s of frames, clips/s, the ratio
to the fastest peer of that shape, and the share of the nearer of the machine's
two limits, measured in the same run: reading a buffer of 2 GB, and float32
multiply-adds (a matrix product). The peers add up the frames as they are; ours
subtracts the apex frame first, which is what keeps weak motion exact, and pays
for it. The last column is the largest error against float64 on motion of one
grey level, as a share of the largest value. The frames are on the device that
jax uses; peers run on the processor.
"""

import argparse
from collections.abc import Callable, Iterator
import concurrent.futures
import dataclasses
import datetime
import importlib
import importlib.metadata
import os
import platform
import time

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import rich.box
import rich.console
import rich.table

from dianet_jax import rank_pooling

# Frames a clip, pixels a side.
_SHAPES = ((16, 112), (32, 224), (64, 224), (256, 224))
_BATCHES = (1, 16)
_PHASES = ('onset_apex', 'apex_offset')
_THREADS = os.cpu_count() or 1


@dataclasses.dataclass(frozen=True)
class Clips:
  """A batch whose key frames are the first, the middle and the last.

  Attributes:
    frames: uint8 [clip, frame, height, width, channel].
    spans: first and last frame of each phase.
    weights: float32 coefficients of each phase.
  """

  frames: np.ndarray
  spans: tuple[tuple[int, int], ...]
  weights: tuple[np.ndarray, ...]


def make_clips(clips: int, frames: int, size: int, levels: int = 256) -> Clips:
  """Random frames, `levels` grey levels from 255 down."""
  rng = np.random.default_rng(0)
  shape = (frames, size, size, 3)
  # Drawing all of them would take longer than all that is measured.
  clip = rng.integers(256 - levels, 256, shape, np.uint8)
  spans = (0, frames // 2), (frames // 2, frames - 1)
  weights = tuple(
    rank_pooling.coefficients(last - first + 1).astype(np.float32)
    for first, last in spans
  )
  return Clips(
    np.stack([np.roll(clip, i) for i in range(clips)]), spans, weights
  )


def _ours(clips: Clips) -> Callable[[], np.ndarray]:
  number, length = clips.frames.shape[:2]
  frames = jax.device_put(clips.frames)
  keys = [
    jax.device_put(np.full(number, key, np.int32))
    for key in (length, 0, length // 2, length - 1)
  ]
  return lambda: jax.block_until_ready(
    rank_pooling.dynamic_images(frames, *keys, phases=_PHASES)
  )


def _numpy_product(clips: Clips) -> Callable[[], np.ndarray]:
  def pool():
    flat = clips.frames.reshape(*clips.frames.shape[:2], -1)
    return np.stack(
      [
        [
          weights @ clip[first : last + 1].astype(np.float32)
          for (first, last), weights in zip(clips.spans, clips.weights)
        ]
        for clip in flat
      ]
    )

  return pool


def _numpy_accumulate(clips: Clips) -> Callable[[], np.ndarray]:
  def pool_clip(clip):
    images = np.zeros((2, *clip.shape[1:]), np.float32)
    for image, (first, last), weights in zip(
      images, clips.spans, clips.weights
    ):
      for frame, weight in zip(clip[first : last + 1], weights):
        image += frame * weight
    return images

  def pool():
    # Clips on all cores: NumPy lets go of the interpreter's lock.
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as executor:
      return np.stack(list(executor.map(pool_clip, clips.frames)))

  return pool


def _opencv(clips: Clips) -> Callable[[], np.ndarray]:
  """Frame by frame, as the published scripts do it."""

  def pool():
    result = []
    for clip in clips.frames:
      for (first, last), weights in zip(clips.spans, clips.weights):
        image = np.zeros(clip.shape[1:], np.float32)
        for frame, weight in zip(clip[first : last + 1], weights):
          image = cv2.scaleAdd(frame.astype(np.float32), float(weight), image)
        result.append(image)
    return np.stack(result)

  return pool


def _torch_product(clips: Clips) -> Callable[[], np.ndarray]:
  import torch

  torch.set_num_threads(_THREADS)
  number, length = clips.frames.shape[:2]
  frames = torch.from_numpy(clips.frames).reshape(number, length, -1)
  weights = torch.zeros(number, 2, length)
  for phase, (first, last) in enumerate(clips.spans):
    weights[:, phase, first : last + 1] = torch.from_numpy(clips.weights[phase])
  return lambda: torch.bmm(weights, frames.float())


def _torch_accumulate(clips: Clips) -> Callable[[], np.ndarray]:
  import torch

  torch.set_num_threads(_THREADS)
  frames = torch.from_numpy(clips.frames)

  def pool():
    images = torch.zeros(len(frames), 2, *frames.shape[2:])
    for phase, (first, last) in enumerate(clips.spans):
      for t, weight in zip(range(first, last + 1), clips.weights[phase]):
        images[:, phase].add_(frames[:, t], alpha=float(weight))
    return images

  return pool


def _numba(clips: Clips) -> Callable[[], np.ndarray]:
  import numba

  numba.set_num_threads(_THREADS)
  number, length = clips.frames.shape[:2]
  spans = np.array(clips.spans)
  weights = np.zeros((2, length), np.float32)
  for phase, (first, last) in enumerate(clips.spans):
    weights[phase, first : last + 1] = clips.weights[phase]

  @numba.njit(parallel=True, fastmath=True)
  def add_up(frames, images):
    # Both phases of a clip at once, so that one clip keeps two cores busy.
    for work in numba.prange(frames.shape[0] * 2):
      clip, phase = work // 2, work % 2
      image = images[clip, phase]
      for t in range(spans[phase, 0], spans[phase, 1] + 1):
        frame, weight = frames[clip, t], weights[phase, t]
        for p in range(len(image)):
          image[p] += weight * np.float32(frame[p])

  def pool():
    flat = clips.frames.reshape(number, length, -1)
    images = np.zeros((number, 2, flat.shape[2]), np.float32)
    add_up(flat, images)
    return images

  return pool


_OURS = 'dianet_jax'
# Name -> the package it needs besides the core install, and its form.
_FORMS = {
  _OURS: ('', _ours),
  'NumPy, matrix product': ('', _numpy_product),
  'NumPy, accumulate': ('', _numpy_accumulate),
  'OpenCV, frame by frame': ('', _opencv),
  'PyTorch, bmm': ('torch', _torch_product),
  'PyTorch, accumulate': ('torch', _torch_accumulate),
  'Numba, compiled loop': ('numba', _numba),
}


def available() -> Iterator[tuple[str, Callable]]:
  """The forms whose package is installed; says which are not."""
  for name, (package, form) in _FORMS.items():
    if package and not importlib.util.find_spec(package):
      print(f"{name}: not installed (pip install -e '.[bench]')")
    else:
      yield name, form


def best_seconds(run: Callable[[], object], least: float = 0.5) -> float:
  """The fastest of three runs or more, at least `least` seconds of them."""
  run()
  times = []
  while len(times) < 3 or sum(times) < least:
    start = time.perf_counter()
    run()
    times.append(time.perf_counter() - start)
  return min(times)


def read_bandwidth() -> float:
  """Bytes/s of all threads adding up a buffer of 2 GB of whole numbers."""
  parts = np.array_split(np.ones(2 * 10**9 // 8, np.int64), _THREADS)
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as executor:
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
  """float32 multiply-adds a second, in a matrix product."""
  size = 2048
  matrix = np.ones((size, size), np.float32)
  return size**3 / best_seconds(lambda: matrix @ matrix)


def accelerator_limits() -> tuple[float, float]:
  """Both limits of jax's device, where it is not the processor."""
  total, product = jax.jit(jnp.sum), jax.jit(jnp.matmul)
  buffer = jnp.ones(5 * 10**8, jnp.float32)
  read = best_seconds(lambda: jax.block_until_ready(total(buffer)))
  size = 8192
  matrix = jnp.ones((size, size), jnp.float32)
  add = best_seconds(lambda: jax.block_until_ready(product(matrix, matrix)))
  return 2e9 / read, size**3 / add


def largest_error(form: Callable) -> float:
  """Against float64, on 64 frames whose motion is one grey level."""
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


def _table(title: str, columns: tuple[str, ...]) -> rich.table.Table:
  table = rich.table.Table(title=title, box=rich.box.SIMPLE_HEAD)
  for index, column in enumerate(columns):
    table.add_column(column, justify='right' if index else 'left')
  return table


def compare(
  frames: int,
  size: int,
  batch: int,
  forms: dict[str, Callable],
  errors: dict[str, float],
  limits: tuple[float, float],
  our_limits: tuple[float, float],
) -> rich.table.Table:
  """One shape: a row a form."""
  clips = make_clips(batch, frames, size)
  seconds = {name: best_seconds(form(clips)) for name, form in forms.items()}
  peer = min(time for name, time in seconds.items() if name != _OURS)
  # Every value is read once and, in one phase, multiplied and added once.
  values = clips.frames.size
  limit, our_limit = (
    max(values / read, values / add) for read, add in (limits, our_limits)
  )
  table = _table(
    f'{batch} x {frames} frames x {size}^2 x 3',
    ('form', 'GB/s', 'clips/s', 'x best peer', 'of the limit', 'error'),
  )
  for name, time_ in seconds.items():
    table.add_row(
      name,
      f'{values / time_ / 1e9:.2f}',
      f'{batch / time_:.0f}',
      f'{peer / time_:.2f}',
      f'{(our_limit if name == _OURS else limit) / time_:.0%}',
      f'{errors[name]:.0e}',
    )
  return table


def growth() -> rich.table.Table:
  """Ours against the number of frames."""
  table = _table('growth, 4 clips x 112^2 x 3', ('frames', 'ms', 'GB/s'))
  for frames in (2, 8, 32, 128, 512, 1000):
    clips = make_clips(4, frames, 112)
    seconds = best_seconds(_ours(clips))
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
    f'{datetime.date.today()}, {platform.machine()}, {_THREADS} threads, jax on'
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
  console = rich.console.Console(width=100)
  forms = dict(available())
  console.print(describe(), highlight=False)
  limits = read_bandwidth(), multiply_adds()
  our_limits = limits
  if jax.default_backend() != 'cpu':
    our_limits = accelerator_limits()
  for name, (read, add) in {'processor': limits, 'jax': our_limits}.items():
    console.print(
      f'limits, {name}: {read / 1e9:.1f} GB/s read, {add / 1e9:.0f} G float32'
      ' multiply-adds/s',
      highlight=False,
    )
  errors = {name: largest_error(form) for name, form in forms.items()}
  for frames, size in ((64, 224),) if quick else _SHAPES:
    for batch in (16,) if quick else _BATCHES:
      console.print(
        compare(frames, size, batch, forms, errors, limits, our_limits)
      )
  console.print(growth())


if __name__ == '__main__':
  main()
