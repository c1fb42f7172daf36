"""Speed and error of TV-L1 optical flow, compared with OpenCV's.

OpenCV's TV-L1 is in its contributed modules, whose wheel replaces the one that
this project uses. So run this in a separate environment:

    pip install -e '.[test]'
    pip uninstall -y opencv-python-headless
    pip install opencv-contrib-python-headless
    python -m benchmarks.optical_flow            # 6 minutes
    python -m benchmarks.optical_flow --quick    # half a minute

All forms use all cores, from uint8 frames in memory to flow in memory. The
first table shows pairs/s by size and batch, the ratio of ours to OpenCV's TV-L1
with early stopping (its default), and the temporary memory of our compiled
call; it also shows growth with the batch. OpenCV's TV-L1 without early stopping
runs once, and only up to 112 pixels, because a pair of 224 takes it a quarter
of a minute. The second table shows the mean end-point error in pixels, where
there is motion, on a photographed face of 112 pixels that was moved by a known
flow of 0.2 to 2 pixels, with and without sensor noise; and the flow that each
form finds in a still face with noise, which should be 0.

`--reference=FILE` writes the reference of tests/motion/optical_flow_test.py.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
import datetime
import platform
import time

import cv2
import jax
import numpy as np
import rich.box
import rich.console
import rich.table

from benchmarks import rank_pooling
from benchmarks.peers import optical_flow_forms as peers
from dianet_jax.motion import optical_flow

_SIZES = (28, 112, 224)
_BATCHES = (1, 4, 16)
# Pixels a side above which the form without early stop is not run.
_NO_STOP_UP_TO = 112
# Side of the pairs whose flow is kept for the tests, pixels.
REFERENCE_SIZE = 64
Forms = Mapping[str, Callable]


def _once(run):
  start = time.perf_counter()
  run()
  return time.perf_counter() - start


def speed(
  forms: Forms, sizes: Sequence[int], batches: Sequence[int]
) -> rich.table.Table:
  """Pairs per second."""
  table = rich.table.Table(
    'size', 'batch', *forms, 'x OpenCV', 'temp MB', box=rich.box.MARKDOWN
  )
  for size in sizes:
    pair = peers.make_pair(size)
    for batch in batches:
      first, second = (
        np.stack([frame] * batch) for frame in (pair.first, pair.second)
      )
      rates = {}
      for name, form in forms.items():
        run = lambda form=form: form(first, second)  # noqa: B023, E731
        if name == peers.NO_STOP:
          if batch > 1 or size > _NO_STOP_UP_TO:
            continue
          rates[name] = batch / _once(run)
        else:
          rates[name] = batch / rank_pooling.best_seconds(run, least=0)
      program = optical_flow.tv_l1.lower(first, second).compile()
      peer = rates.get(peers.PEER)
      table.add_row(
        f'{size}',
        f'{batch}',
        *(f'{rates[n]:.1f}' if n in rates else '-' for n in forms),
        f'{rates[peers.OURS] / peer:.1f}' if peer else '-',
        f'{program.memory_analysis().temp_size_in_bytes / 1e6:.1f}',
      )
  return table


def errors(forms: Forms, size: int = 112) -> rich.table.Table:
  """End-point error by kind of motion, and the flow of a still face."""
  table = rich.table.Table(
    'end-point error, pixels', *forms, box=rich.box.MARKDOWN
  )
  pairs = peers.make_pairs(size)
  first, second = (
    np.stack([getattr(pair, side) for pair in pairs])
    for side in ('first', 'second')
  )
  found = {
    name: np.array(
      [
        peers.end_point_error(flow, pair)
        for flow, pair in zip(form(first, second), pairs)
      ]
    )
    for name, form in forms.items()
  }
  noisy = np.array([pair.name.endswith('noise 2') for pair in pairs])
  for kind in peers.KINDS:
    ours = np.array([pair.name.startswith(kind) for pair in pairs])
    for label, which in (('clean', ours & ~noisy), ('noise 2', ours & noisy)):
      table.add_row(
        f'{kind}, {label}', *(f'{e[which].mean():.3f}' for e in found.values())
      )
  table.add_row('mean', *(f'{e.mean():.3f}' for e in found.values()))
  still = [peers.make_pair(size, 'shift', 0.0, 2.0)]
  sides = (
    np.stack([getattr(p, s) for p in still]) for s in ('first', 'second')
  )
  a, b = sides
  table.add_row(
    'still, noise 2',
    *(f'{np.linalg.norm(f(a, b), axis=-1).mean():.3f}' for f in forms.values()),
  )
  return table


def write_reference(path: str) -> None:
  """Keeps OpenCV's errors by default, and its flow at ours' iterations."""
  pairs = peers.make_pairs(REFERENCE_SIZE)
  first, second = (
    np.stack([getattr(pair, side) for pair in pairs])
    for side in ('first', 'second')
  )
  defaults = peers.opencv_tv_l1(first, second)
  same = peers.opencv_tv_l1(first, second, epsilon=0.0, **peers.SAME)
  np.savez_compressed(
    path,
    opencv=cv2.__version__,
    names=[pair.name for pair in pairs],
    errors=np.array(
      [peers.end_point_error(f, p) for f, p in zip(defaults, pairs)],
      np.float32,
    ),
    # Every third: each kind, amplitude and noise is there, in a third of the
    # bytes. Thousandths of a pixel.
    same=np.round(same[::3] * 1000).astype(np.int16),
  )


def main() -> None:
  """Prints everything."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--quick', action='store_true', help='112 pixels alone')
  parser.add_argument(
    '--reference', metavar='FILE', help='write the figures of the tests'
  )
  options = parser.parse_args()
  missing = [
    what
    for what, there in (
      ("a face to move: pip install -e '.[test]'", peers.has_face()),
      (
        "OpenCV's TV-L1: see the head of --help",
        peers.has_tv_l1() or not options.reference,
      ),
    )
    if not there
  ]
  if missing:
    parser.error('missing: ' + '; '.join(missing))
  if options.reference:
    return write_reference(options.reference)
  console = rich.console.Console(width=200, highlight=False)
  console.print(
    f'{datetime.date.today()}, {platform.machine()},'
    f' {rank_pooling.THREADS} threads, jax {jax.__version__}'
    f' on {jax.devices()[0].device_kind!r}, OpenCV'
    f' {cv2.__version__}'
  )
  forms = peers.forms()
  if not peers.has_tv_l1():
    console.print(
      "OpenCV's TV-L1 is not installed; the head of --help says how"
    )
  sizes, batches = ((112,), (1, 16)) if options.quick else (_SIZES, _BATCHES)
  console.print(speed(forms, sizes, batches))
  # Without early stopping it differs in speed, hardly in error.
  forms.pop(peers.NO_STOP, None)
  console.print(errors(forms))


if __name__ == '__main__':
  main()
