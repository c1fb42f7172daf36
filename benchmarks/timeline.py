"""When each stage of preparing inputs runs, and how much of it overlaps.

Part of `benchmarks.input_pipeline`: decoding and resizing on the host, the copy
to the device, and what the device makes of it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
import contextlib
import statistics
import threading
import time
from typing import Any, NamedTuple
from unittest import mock

import jax

from dianet_jax.core import config as configuration
from dianet_jax.core import limits
from dianet_jax.data import inputs

_REPRESENTATIONS = {'dynamic_images': 'dynamic_images'}
_PAIRS = 5
_COLUMNS = 50

DECODE, COPY, POOL = 'decode, resize', 'copy', 'pool'


class Span(NamedTuple):
  """Of one stage of one batch; seconds since some moment."""

  stage: str
  batch: int
  start: float
  end: float


def decode_alone(records: Sequence[Any], config: configuration.Data) -> None:
  """Decodes and resizes every clip, on all cores, and drops the frames."""
  with futures.ThreadPoolExecutor(limits.cores()) as pool:
    for _ in pool.map(
      lambda record: inputs.decode_clip(record['frames'], config), records
    ):
      pass


def make_all(records: Sequence[Any], config: configuration.Data) -> None:
  """Everything, from the bytes of records to dynamic images on the host."""
  inputs.make_all(records, config, None, _REPRESENTATIONS)


def record(records: Sequence[Any], config: configuration.Data) -> list[Span]:
  """Runs `make_all` and writes down when each stage of a batch ran."""
  spans: list[Span] = []
  batch_of = {
    id(clip['frames']): number // inputs.BATCH
    for number, clip in enumerate(records)
  }
  waiting = []
  copied, made = iter(range(len(records))), iter(range(len(records)))

  def decode(encoded, *rest, original=inputs.decode_clip):
    with _noted(spans, DECODE, batch_of[id(encoded)]):
      return original(encoded, *rest)

  def copy(*args, original=inputs._on_device):
    with _noted(spans, COPY, next(copied)):
      return jax.block_until_ready(original(*args))

  def represent(*args, original=inputs._represent):
    # What runs on the device is waited for by a thread: the host goes on.
    start, batch, result = time.perf_counter(), next(made), original(*args)

    def wait():
      jax.block_until_ready(result)
      spans.append(Span(POOL, batch, start, time.perf_counter()))

    waiting.append(threading.Thread(target=wait))
    waiting[-1].start()
    return result

  with (
    mock.patch.object(inputs, 'decode_clip', decode),
    mock.patch.object(inputs, '_on_device', copy),
    mock.patch.object(inputs, '_represent', represent),
  ):
    make_all(records, config)
  for thread in waiting:
    thread.join()
  return spans


@contextlib.contextmanager
def _noted(spans: list[Span], stage: str, batch: int) -> Iterator[None]:
  start = time.perf_counter()
  yield
  spans.append(Span(stage, batch, start, time.perf_counter()))


def seconds(intervals: Sequence[tuple[float, float]]) -> float:
  """Covered by at least one of them."""
  total, reached = 0, float('-inf')
  for start, end in sorted(intervals):
    total += max(end - max(start, reached), 0)
    reached = max(reached, end)
  return total


def overlap(spans: Sequence[Span]) -> float:
  """Share of copying and pooling that ran while frames were decoded, 0..1."""
  host, device = (
    [(s.start, s.end) for s in spans if (s.stage == DECODE) == decoding]
    for decoding in (True, False)
  )
  both = seconds(host) + seconds(device) - seconds(host + device)
  return both / seconds(device)


def lines(spans: Sequence[Span]) -> Iterator[str]:
  """One line per batch and stage: start, end, and a bar, all to one scale."""
  begin, end = min(s.start for s in spans), max(s.end for s in spans)
  scale = _COLUMNS / (end - begin)
  for batch in sorted({s.batch for s in spans}):
    for stage in (DECODE, COPY, POOL):
      own = [s for s in spans if (s.stage, s.batch) == (stage, batch)]
      start = min(s.start for s in own) - begin
      last = max(s.end for s in own) - begin
      before = int(start * scale)
      bar = '#' * max(int(last * scale) - before, 1)
      yield (
        f'{batch:>5} {stage:<14}{start:7.2f} to {last:6.2f} s'
        f'  {" " * before}{bar}'
      )


def _cost(run: Callable[[], None]) -> tuple[float, float]:
  """Seconds by the clock, and of all cores together."""
  start, cpu = time.perf_counter(), time.process_time()
  run()
  return time.perf_counter() - start, time.process_time() - cpu


def show(records: Sequence[Any], config: configuration.Data) -> None:
  """Prints the time line of one run, and what runs in pairs took."""
  make_all(records, config)  # Compiles.
  spans = record(records, config)
  print('batch stage            from, to')
  print('\n'.join(lines(spans)))
  print(
    f'{overlap(spans):.0%} of copying and pooling ran while frames were decoded'
  )
  clock, cpu = [], []
  for _ in range(_PAIRS):
    alone = _cost(lambda: decode_alone(records, config))
    together = _cost(lambda: make_all(records, config))
    for ratios, one, both in zip((clock, cpu), alone, together):
      ratios.append(both / one)
  for name, ratios in {'the clock': clock, 'processor time': cpu}.items():
    print(
      'decode + resize + copy + pool over decode + resize alone, by'
      f' {name}: {statistics.median(ratios):.2f}, {min(ratios):.2f} to'
      f' {max(ratios):.2f} in {_PAIRS} pairs'
    )
