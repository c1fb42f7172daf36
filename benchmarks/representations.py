"""Seconds per clip of each representation, from frames to inputs in memory.

python -m benchmarks.representations             # a minute
python -m benchmarks.representations --quick     # small frames, to see it work

It takes a batch as a run makes it: 8 clips of 68 frames (CASME II's mean), at
the default data.frame_size and data.image_size; the time is the fastest of a
few, without the first. Decoding and alignment are not included. The frames are
noise, shifted from frame to frame: the number of iterations is fixed, so the
content has no effect. `data.flow` and `data.sampling` have their defaults, or
for SLSTT's long-term flow its recommended settings.
"""

import argparse
import dataclasses
import datetime
import platform

import jax
import numpy as np
import rich.box
import rich.console
import rich.table

from benchmarks import rank_pooling
from dianet_jax.core import config as configuration
from dianet_jax.core import runtime
from dianet_jax.data import inputs
from dianet_jax.motion.registry import REPRESENTATIONS, ClipBatch

_FRAMES = 68
_SLSTT = {
  'flow': configuration.Flow(method='farneback', coding='hsv'),
  'sampling': configuration.Sampling(frames=11, span='apex_window'),
}


def batch(size: int) -> ClipBatch:
  """A batch as `inputs.read_clips` makes it: uint8, on the device."""
  rng = np.random.default_rng(0)
  ground = rng.integers(0, 256, (size, size, 3)).astype(np.uint8)
  clip = np.stack([np.roll(ground, t // 20, axis=1) for t in range(_FRAMES)])
  frames = np.broadcast_to(
    clip.reshape(_FRAMES, -1), (inputs.BATCH, _FRAMES, clip[0].size)
  )
  lengths = np.full(inputs.BATCH, _FRAMES)
  onset, apex = np.zeros_like(lengths), lengths // 3
  return ClipBatch(
    jax.device_put(np.ascontiguousarray(frames)),
    lengths,
    onset,
    apex,
    lengths - 1,
    frame_shape=clip.shape[1:],
  )


def seconds(name: str, clips: ClipBatch, settings: configuration.Data) -> float:
  """Seconds per clip: the fastest of three batches, after one to compile."""
  row = REPRESENTATIONS[name]
  batch_seconds = rank_pooling.best_seconds(
    lambda: np.asarray(row(clips, settings)), least=0
  )
  return batch_seconds / inputs.BATCH


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks.representations',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--quick', action='store_true', help='56 pixels')
  options = parser.parse_args()
  runtime.configure(runtime.cache_dir(''))
  settings = configuration.Data(dataset='casme2')
  if options.quick:
    settings = dataclasses.replace(settings, frame_size=56, image_size=28)
  cases = {
    name: (name, settings)
    for name, row in REPRESENTATIONS.items()
    if not row.unsupported(settings, '')
  }
  cases['long_term_flow of SLSTT'] = (
    'long_term_flow',
    dataclasses.replace(settings, **_SLSTT),
  )
  clips = batch(settings.frame_size)
  console = rich.console.Console(width=110, highlight=False)
  console.print(
    f'{datetime.date.today()}, {platform.machine()},'
    f' {rank_pooling.THREADS} cores, jax {jax.__version__}'
    f' on {jax.devices()[0].device_kind!r};'
    f' {settings.frame_size} to {settings.image_size} pixels'
  )
  table = rich.table.Table(
    'representation', 'seconds a clip', 'MB a clip', box=rich.box.SIMPLE
  )
  for name, (row, chosen) in cases.items():
    taken = seconds(row, clips, chosen)
    size = 4 * np.prod(REPRESENTATIONS[row].shape(chosen)) / 1e6
    table.add_row(name, f'{taken:.4f}', f'{size:.2f}')
  console.print(table)


if __name__ == '__main__':
  main()
