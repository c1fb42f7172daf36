"""Intervals are runs of probable steps, and the file gives the spotter back."""

import dataclasses

import numpy as np
import pytest

from dianet_jax.clips import intervals, long_videos, movements
from dianet_jax.core import errors
from dianet_jax.inference import learned, spotters
from tests.support import measured


@pytest.fixture(scope='module')
def track():
  _, blocks = measured.acted('a', 0)
  return movements.join(blocks, measured.GRID)


def scored(track, **runs):
  """Probabilities of 0, but for (onset, offset, probability) of each kind."""
  probabilities = np.zeros((len(track.part), 3))
  for kind, some in runs.items():
    for onset, offset, value in some:
      column = learned.CLASSES.index(kind)
      probabilities[onset : offset + 1, column] = value
  probabilities[:, 0] = 1 - probabilities[:, 1:].sum(axis=1)
  return learned.Scores(track, probabilities)


def are(candidates, *expected):
  """Whether they are the expected (onset, offset, score), within smoothing."""
  found = sorted((c.onset, c.offset, c.score) for c in candidates)
  return len(found) == len(expected) and np.allclose(
    np.reshape(found, (-1, 3)), np.reshape(expected, (-1, 3)), 0, [2, 2, 1e-6]
  )


def test_runs_of_probable_steps_are_intervals(track):
  found = scored(track, micro=[(100, 119, 0.9)], macro=[(300, 380, 0.6)])
  assert are(found.candidates(0.5), (100, 119, 0.9), (300, 380, 0.6))


def test_what_has_the_length_of_the_other_kind_is_not_of_this_one(track):
  found = scored(track, micro=[(100, 150, 0.9)], macro=[(300, 310, 0.9)])
  assert found.candidates(0.5) == []


def test_of_two_kinds_at_a_time_the_more_probable_one_counts(track):
  found = scored(track, micro=[(100, 120, 0.5)], macro=[(98, 140, 0.4)])
  assert are(found.candidates(0.3), (100, 120, 0.5))


def test_nothing_is_probable_where_no_face_is_seen(track):
  part = track.part.copy()
  part[90:130] = -1
  blind = dataclasses.replace(track, part=part)
  assert scored(blind, micro=[(100, 119, 0.9)]).candidates(0.1) == []


def test_the_apex_is_the_greatest_way(track):
  video, _ = measured.acted('a', 0)
  for item in video.truth:
    one = item.interval
    found = scored(track, **{one.kind: [(one.onset, one.offset, 0.9)]})
    [candidate] = found.candidates(0.5)
    assert abs(candidate.apex - one.apex) <= 8 and candidate.region == 'brows'


def test_a_lower_threshold_takes_nothing_away():
  spotter = spotters.SPOTTERS['learned']
  for seed in range(3):
    _, blocks = measured.acted('a', seed, percent=1.0)
    found = [
      {
        (one.onset, one.offset)
        for part in long_videos.spot_blocks(
          blocks, measured.GRID, threshold, spotter.score
        )
        for one in part.found
      }
      for threshold in (0.6, 0.3, 0.1)
    ]
    assert found[0] <= found[1] <= found[2] and found[2]


def test_the_shipped_one_finds_what_moves_and_is_silent_where_nothing_does():
  score = spotters.get('learned').score
  still = measured.blocks(
    np.random.default_rng(0).normal(0, 0.05, (600, measured.PATCHES, 2))
  )
  threshold = spotters.get('learned').threshold
  for part in long_videos.spot_blocks(still, measured.GRID, threshold, score):
    assert part.found == () and part.scores.keys() == {*intervals.KINDS}


def test_the_file_gives_the_spotter_back(tmp_path, track):
  path = tmp_path / 'spotter.safetensors'
  one = learned.load(learned.SHIPPED)
  learned.save(path, dataclasses.replace(one, threshold=0.25))
  other = spotters.get(str(path))
  assert other.threshold == 0.25 and other.trained_on == one.trained_on != ''
  for kind, scores in one.score(track).scores.items():
    np.testing.assert_array_equal(other.score(track).scores[kind], scores)


@pytest.mark.parametrize('damage', ['cut', 'other', 'shape'])
def test_another_file_is_refused(tmp_path, damage):
  path = tmp_path / 'spotter.safetensors'
  content = learned.SHIPPED.read_bytes()
  if damage == 'shape':
    one = learned.load(learned.SHIPPED)
    params = dict(one.variables['params'])
    del params['Dense_1']
    learned.save(path, dataclasses.replace(one, variables={'params': params}))
  else:
    path.write_bytes(content[:900] if damage == 'cut' else b'nothing')
  with pytest.raises(errors.UserError, match='is not a spotter'):
    spotters.get(str(path))
  with pytest.raises(errors.UserError, match='Expected one of movement'):
    spotters.get(str(tmp_path / 'missing'))
