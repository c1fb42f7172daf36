"""Expressions in long videos are found, and what is none is told apart."""

import itertools

import numpy as np
import pytest

from dianet_jax.clips import expressions, intervals, long_videos, segments
from tests.support import faces_that_move as film
from tests.support import measured
from tests.support.faces_that_move import once

MICRO = intervals.Interval(250, 260, 270, 'micro')
MACRO = intervals.Interval(400, 435, 470, 'macro')
# A brow for 0.4 seconds, and a mouth for 1.4.
COURSES = {'brow': [once(5, 5.4)], 'mouth': [once(8, 9.4, 3)]}


def spot(frames, **options):
  return list(long_videos.spot(frames, find=film.find, **options))


def found(stretches):
  return [one for stretch in stretches for one in stretch.found]


def excluded(stretches):
  return [one for stretch in stretches for one in stretch.excluded]


@pytest.fixture(scope='module')
def whole():
  return spot(film.frames(17, COURSES))


def test_micro_and_macro_are_found_where_they_are(whole):
  first, second = found(whole)
  assert first.iou(MICRO) > 0.7 and second.iou(MACRO) > 0.7
  assert (first.kind, first.region) == ('micro', 'brows')
  assert (second.kind, second.region) == ('macro', 'mouth')
  assert abs(first.apex - 260) <= 2 and abs(second.apex - 435) <= 3
  assert excluded(whole) == []
  numbers = np.concatenate([stretch.numbers for stretch in whole])
  assert numbers.tolist() == list(range(17 * film.FPS))


def test_nothing_is_found_where_only_head_and_light_move():
  frames = film.frames(
    10,
    head=lambda t: 2 * np.sin(2 * np.pi * t / 6),
    light=lambda t: 10 * np.sin(2 * np.pi * t / 3) + 15 * (t > 5),
  )
  assert found(spot(frames)) == []


def test_blinks_and_speech_are_excluded():
  eyes = [once(t, t + 0.3, 4) for t in (1, 3.2, 9)]
  mouth = [once(5 + 0.35 * i, 5.3 + 0.35 * i, 2) for i in range(6)]
  courses = {'left eye': eyes, 'right eye': eyes, 'mouth': mouth}
  stretches = spot(film.frames(11, courses))
  assert found(stretches) == []
  reasons = {}
  for one in excluded(stretches):
    reasons.setdefault(one.reason, []).append(one)
  middles = [(one.onset + one.offset) / 2 for one in reasons['blink']]
  np.testing.assert_allclose(np.array(middles) / film.FPS, [1.15, 3.35, 9.15],
                             atol=0.05)  # fmt: skip
  assert reasons['speech'][0].onset >= 4.4 * film.FPS
  assert reasons['speech'][-1].offset <= 7.6 * film.FPS


def test_a_part_has_the_intervals_of_the_whole(whole):
  """On the grid they are the same; beside it they are near."""
  [inside] = found(spot(film.frames(13, COURSES, start=4)))[1:]
  whole_one = found(whole)[1]
  assert inside.score == whole_one.score
  assert inside.onset + 4 * film.FPS == whole_one.onset
  assert inside.offset + 4 * film.FPS == whole_one.offset
  beside = found(spot(film.frames(14, COURSES, start=2.3)))
  for one, other in zip(beside, found(whole), strict=True):
    shift = round(2.3 * film.FPS)
    moved = intervals.Interval(one.onset + shift, one.apex + shift,
                               one.offset + shift, one.kind)  # fmt: skip
    assert moved.iou(other) > 0.8


def test_a_live_source_is_spotted_while_it_runs():
  read = itertools.count()
  frames = (frame for frame in film.frames(30, COURSES) if next(read) >= 0)
  first = next(long_videos.spot(frames, find=film.find))
  assert len(first.numbers) == long_videos.HOP * film.FPS
  assert next(read) <= 8.3 * film.FPS


def test_a_higher_threshold_takes_intervals_away_and_moves_none(whole):
  low = found(spot(film.frames(17, COURSES), threshold=2))
  assert [one for one in low if one.score >= 7] == found(whole)


def test_a_face_that_is_away_is_candidates():
  def black(frame):
    image = frame.image()
    if 4 <= frame.seconds < 6:
      image = np.zeros_like(image)
    return segments.Frame(frame.seconds, lambda: image)

  stretches = spot(map(black, film.frames(11, {'brow': [once(8, 8.4)]})))
  [away] = [one for one in excluded(stretches) if one.reason == 'no face']
  assert (away.onset, away.offset) == (200, 299)
  assert len(found(stretches)) == 1
  assert sum(stretch.face.sum() for stretch in stretches) == 9 * film.FPS


def test_dropped_frames_move_no_interval():
  frames = (
    frame
    for number, frame in enumerate(film.frames(12, COURSES))
    if not 100 <= number < 120
  )
  first, second = found(spot(frames))
  for one, truth in ((first, MICRO), (second, MACRO)):
    assert abs(one.apex + 20 - truth.apex) <= 3


class TwoCandidates:
  """Candidates that lie on either side of the end of a stretch."""

  def __init__(self, track, low, high):
    boundary = 4 * film.FPS - track.start
    self.scores = {'micro': np.zeros(len(track.part))}
    self._candidates = [
      expressions.Candidate(first, apex, last, score, 'brows')
      for first, apex, last, score in (
        (
          boundary - 15,
          boundary - 5,
          boundary + 10,
          low,
        ),
        (
          boundary - 2,
          boundary + 8,
          boundary + 20,
          high,
        ),
      )
      if first >= 0
    ]

  def candidates(self, threshold):
    return self._candidates


@pytest.mark.parametrize('low, kept', [(0.2, [0.9]), (0.95, [0.95])])
def test_at_the_end_of_a_stretch_the_higher_one_is_not_lost(low, kept):
  blocks = measured.blocks(np.zeros((600, measured.PATCHES, 2)))

  def scores(threshold):
    stretches = long_videos.spot_blocks(
      blocks,
      measured.GRID,
      threshold,
      lambda track: TwoCandidates(track, low, 0.9),
    )
    return [one.score for one in found(stretches)]

  assert scores(0.5) == kept
  # A lower threshold adds, and takes nothing away.
  assert {*kept} <= {*scores(0.1)}
