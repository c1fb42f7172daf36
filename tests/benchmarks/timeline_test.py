"""The time line of preparing inputs shows what runs when."""

import numpy as np
import pytest

from benchmarks import timeline
from benchmarks.timeline import COPY, DECODE, POOL, Span
from dianet_jax.data import inputs
from tests.support import moving


def test_what_intervals_cover():
  assert timeline.seconds([(0, 2), (1, 3), (5, 6), (5, 5.5)]) == 4
  assert timeline.seconds([]) == 0


@pytest.mark.parametrize(
  'pooled, share', [((1, 5), 0.25), ((2, 3), 0), ((0, 1), 1)]
)
def test_the_share_that_overlaps(pooled, share):
  spans = [Span(DECODE, 1, 0, 2), Span(DECODE, 1, 1, 2), Span(POOL, 0, *pooled)]
  assert timeline.overlap(spans) == share


def test_every_stage_of_every_batch_is_drawn(tmp_path):
  frames = np.zeros((3, 32, 32, 3), np.uint8)
  records = [
    moving.record(frames, 1, f'clip {number}')
    for number in range(inputs.BATCH + 1)
  ]
  settings = moving.settings(
    frame_size=32, image_size=8, cache_dir=str(tmp_path)
  )
  spans = timeline.record(records, settings)
  stages = [(batch, s) for batch in (0, 1) for s in (DECODE, COPY, POOL)]
  assert sorted({(s.batch, s.stage) for s in spans}) == sorted(stages)
  assert sum(s.stage == DECODE for s in spans) == len(records)
  lines = list(timeline.lines(spans))
  assert [line.split()[0] for line in lines] == ['0'] * 3 + ['1'] * 3
  assert all(line.endswith('#') for line in lines)
  assert 0 <= timeline.overlap(spans) <= 1
