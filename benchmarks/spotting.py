"""How much faster than the camera `dianet spot` is, and where its time goes.

    python -m benchmarks.spotting [VIDEO]

Without a video one is written of a photograph in the public domain
(scikit-image's) whose mouth moves, 640 x 480 pixels at 200 frames a second.
Prints seconds of video a second of work, and the share of each step; a step
counts what it does itself.
"""

import argparse
import pathlib
import tempfile
import time
from typing import Any

import rich.box
import rich.console
import rich.table

from benchmarks import predict
from dianet_jax.clips import (
  expressions,
  face_blocks,
  faces,
  long_videos,
  segments,
  video,
)


class _Clock:
  """Seconds of each step; functions are wrapped where they are looked up."""

  def __init__(self):
    self.seconds: dict[str, float] = {}
    self._inside = 0.0

  def timed(self, step: str, function: Any) -> Any:
    """The function, whose time without that of wrapped ones is counted."""

    def call(*arguments, **named):
      outside, self._inside = self._inside, 0.0
      start = time.perf_counter()
      try:
        return function(*arguments, **named)
      finally:
        taken = time.perf_counter() - start
        own = taken - self._inside
        self.seconds[step] = self.seconds.get(step, 0.0) + own
        self._inside = outside + taken

    return call

  def frames(self, source: video.Video):
    """Frames of a source, with the time to decode and to convert them."""
    coming = source.frames()
    following = self.timed('decode', lambda: next(coming, None))
    while (frame := following()) is not None:
      yield segments.Frame(
        frame.seconds,
        self.timed('convert to RGB', frame.image),
        self.timed('convert to grey', frame.as_grey),
      )


def measure(
  path: pathlib.Path,
) -> tuple[float, float, float, dict[str, float]]:
  """Seconds: of video, of work, of all cores together, of each step."""
  clock = _Clock()
  patched = [
    (faces, 'apply', 'cut out the face'),
    (face_blocks, '_smooth', 'average and smooth'),
    (face_blocks._Reference, '__init__', 'solvers of a block'),
    (face_blocks._Reference, 'compare', 'register and measure'),
    (expressions.Movements, '__init__', 'signals'),
    (expressions.Movements, 'candidates', 'intervals'),
  ]
  kept = [(place, name, getattr(place, name)) for place, name, _ in patched]
  try:
    for place, name, step in patched:
      setattr(place, name, clock.timed(step, getattr(place, name)))
    find = clock.timed('find the face', faces.find)
    start, cores = time.perf_counter(), time.process_time()
    seconds = 0.0
    for stretch in long_videos.spot(clock.frames(video.Video(path)), find=find):
      seconds = float(stretch.seconds[-1])
    taken = time.perf_counter() - start
    cores = time.process_time() - cores
  finally:
    for place, name, function in kept:
      setattr(place, name, function)
  rest = taken - sum(clock.seconds.values())
  return seconds, taken, cores, clock.seconds | {'else': rest}


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('video', nargs='?', type=pathlib.Path)
  parser.add_argument('--frames', type=int, default=2000, help='of ours')
  parser.add_argument('--repeats', type=int, default=3, help='fastest counts')
  options = parser.parse_args()
  with tempfile.TemporaryDirectory() as place:
    path = options.video
    if path is None:
      path = pathlib.Path(place, 'clip.mp4')
      predict.write(path, options.frames)
    runs = [measure(path) for _ in range(options.repeats)]
  seconds, taken, cores, steps = min(runs, key=lambda run: run[1])
  table = rich.table.Table('step', 'seconds', 'share', box=rich.box.SIMPLE_HEAD)
  for step, spent in sorted(steps.items(), key=lambda pair: -pair[1]):
    table.add_row(step, f'{spent:.2f}', f'{spent / taken:.0%}')
  console = rich.console.Console()
  console.print(table)
  console.print(
    f'{seconds:.1f} seconds of video in {taken:.1f}:'
    f' {seconds / taken:.1f} times real time. The cores worked for'
    f' {cores:.1f} seconds together.'
  )


if __name__ == '__main__':
  main()
