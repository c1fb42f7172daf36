"""Intervals, and their CSV files."""

import math

import pytest

from dianet_jax.clips import intervals
from dianet_jax.core import errors

FOUND = {
  'a.mp4': [
    intervals.Interval(10, 20, 30, 'micro', 7.25, 'brows'),
    intervals.Interval(100, 150, 300, 'macro', 12.5, 'mouth'),
  ],
  'silent.mp4': [],
  '=1+1.mp4': [intervals.Interval(0, 0, 0, 'micro')],
}


def test_the_file_gives_back_what_was_written(tmp_path):
  path = tmp_path / 'intervals.csv'
  intervals.write(path, FOUND, {'a.mp4': {10: 0.05, 20: 0.1}})
  read = intervals.read(path)
  assert list(read) == list(FOUND)
  assert read['a.mp4'] == FOUND['a.mp4'] and read['silent.mp4'] == []
  assert math.isnan(read['=1+1.mp4'][0].score)
  header, first = path.read_text().splitlines()[:2]
  assert header.split(',') == list(intervals.COLUMNS)
  assert first == 'a.mp4,10,20,30,micro,7.25,brows,0.05,0.1,,'


@pytest.mark.parametrize(
  'text,reason',
  [
    ('video,onset,apex,offset\na,1,2,3\n', r'column\(s\) kind'),
    ('video,onset,apex,offset,kind\na,1,x,3,micro\n', "line 2.*'x'"),
    ('video,onset,apex,offset,kind\na,3,2,1,micro\n', 'line 2.*apex=2'),
    ('video,onset,apex,offset,kind\na,1,2,3,tiny\n', "line 2.*'tiny'"),
  ],
)
def test_an_invalid_file_is_refused_with_its_line(tmp_path, text, reason):
  path = tmp_path / 'intervals.csv'
  path.write_text(text)
  with pytest.raises(errors.UserError, match=reason):
    intervals.read(path)
  with pytest.raises(errors.UserError, match='cannot be read'):
    intervals.read(tmp_path / 'none.csv')


def test_half_a_second_is_micro():
  assert intervals.kind_of(1, 100, 200) == 'micro'
  assert intervals.kind_of(0, 100, 200) == 'macro'
  assert intervals.kind_of(7, 21, 30) == 'micro'
  assert intervals.kind_of(7, 22, 30) == 'macro'


def test_overlap_counts_both_ends():
  one = intervals.Interval(0, 1, 9, 'micro')
  assert one.iou(one) == 1 and len(one) == 10
  assert one.iou(intervals.Interval(5, 6, 14, 'micro')) == 5 / 15
  assert one.iou(intervals.Interval(10, 10, 12, 'micro')) == 0
