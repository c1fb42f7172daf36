"""Simulated long videos, on which spotters are developed and tested."""

import csv
import dataclasses
import itertools

import numpy as np
import pytest

from dianet_jax.clips import intervals
from tfds_builders.simulation import (
  acting,
  faces,
  layouts,
  long_videos,
  spotting_sets,
)


def script(content='expressions', rate=30, seconds=120, seed=0):
  rng = np.random.default_rng(seed)
  return acting.write(rng, content, rate, seconds)


def small_face():
  return faces.draw(np.random.default_rng(0), 0, 96, 112)


def plain(movements, frames=9):
  """A script of the given movements, in constant light."""
  light = np.ones(frames, np.float32)
  return acting.Script(frames, 30, (), tuple(movements), light, False)


def filmed(movements, frames=9, camera=None):
  camera = camera or long_videos.Camera(noise_levels=0, flicker_gain=0)
  return np.stack(
    list(
      long_videos.film(
        small_face(), plain(movements, frames), camera, np.random.default_rng(0)
      )
    )
  ).astype(int)


@pytest.mark.parametrize('rate, seconds', [(30, 120), (200, 60)])
def test_expressions_come_one_after_the_other_and_are_of_their_kind(
  rate, seconds
):
  for seed in range(5):
    found = script(rate=rate, seconds=seconds, seed=seed)
    kinds = set()
    for item in found.expressions:
      assert 0 < item.onset < item.apex < item.offset < found.frames
      kinds.add(intervals.kind_of(item.onset, item.offset, rate))
    assert kinds == {'micro', 'macro'}
    for one, other in itertools.pairwise(found.expressions):
      assert other.onset - one.offset > 0.5 * rate


def test_an_expression_is_strongest_at_the_apex():
  found = script()
  moved = {
    item.start: item
    for item in found.movements
    if item.units.keys() <= set(range(30)) and 25 not in item.units
  }
  for item in found.expressions:
    weights = moved[item.onset].weights
    assert len(weights) == item.offset - item.onset + 1
    assert weights[0] == weights[-1] == 0
    assert np.argmax(weights) == item.apex - item.onset


def test_blinks_and_speech_are_not_expressions():
  def units(content):
    return {unit for item in script(content).movements for unit in item.units}

  assert not script('talk').expressions and not script('blinks').expressions
  assert units('still') == set()
  assert units('blinks') == {'blink', 'gaze'}
  assert {25, 'blink'} <= units('talk')


def test_a_still_video_has_only_noise():
  frames = filmed([])
  assert (frames == frames[0]).all()
  noisy = filmed([], camera=long_videos.Camera(drift_pixels=9))
  assert 0 < np.abs(noisy - frames).mean() < 4


@pytest.mark.parametrize(
  'units, rows',
  [({1: 1.0, 2: 1.0}, (0.1, 0.5)), ({12: 1.0}, (0.4, 0.85)),
   ({'blink': 1.0}, (0.25, 0.55)), ({'gaze': 1.0}, (0.25, 0.55))],
)  # fmt: skip
def test_a_movement_is_seen_where_it_is(units, rows):
  bump = np.sin(np.pi * np.linspace(0, 1, 5)).astype(np.float32)
  frames = filmed([acting.Movement(2, bump, units, 12.0)])
  change = np.abs(frames - frames[0]).sum((2, 3))
  assert not change[[0, 1, 2, 7, 8]].any()
  assert change[4].sum() > change[3].sum() > 0
  height = frames.shape[1]
  inside = change[4][int(rows[0] * height) : int(rows[1] * height)].sum()
  assert inside > 0.95 * change[4].sum()


def test_a_turn_moves_the_head_and_not_the_background():
  frames = filmed([acting.Movement(0, np.ones(9), {'yaw': 1.0}, 20.0)])
  change = np.abs(frames[0] - filmed([])[0]).sum(-1)
  assert change[30:60, 40:70].mean() > 10 * change[:, :4].mean()


def test_displacement_fields_are_computed_when_needed(monkeypatch):
  made = []
  field = long_videos._Stage.field
  monkeypatch.setattr(
    long_videos._Stage,
    'field',
    lambda stage, item: made.append(item) or field(stage, item),
  )
  late = acting.Movement(400, np.ones(3), {12: 1.0}, 3.0)
  camera = long_videos.Camera()
  frames = long_videos.film(
    small_face(), plain([late], 500), camera, np.random.default_rng(0)
  )
  next(frames)
  assert made == []


def test_the_sets_share_no_subject_and_no_seed():
  one, other = spotting_sets.SETS.values()
  assert not {*one.subjects} & {*other.subjects}
  assert one.seed != other.seed
  plans = other.plans()
  assert len({plan.name for plan in plans}) == len(plans)
  assert {plan.frames_per_second for plan in plans} == {30, 200}
  assert {plan.content for plan in plans} == {
    'expressions', 'talk', 'blinks', 'still',
  }  # fmt: skip


def test_the_test_set_has_not_changed():
  """If they change, committed results must be computed again."""
  chosen = spotting_sets.SETS['test']
  counts = dict.fromkeys(intervals.KINDS, 0)
  for plan in chosen.plans():
    for item in plan.script(chosen.seed).expressions:
      rate = plan.frames_per_second
      counts[intervals.kind_of(item.onset, item.offset, rate)] += 1
  assert counts == {'micro': 90, 'macro': 54}
  first = chosen.plans()[0].script(chosen.seed).expressions[0]
  assert dataclasses.astuple(first) == (205, 209, 216, 'happiness')


def test_a_set_is_written_and_read_again(tmp_path, monkeypatch):
  pytest.importorskip('av', reason='extra [video]')
  plans = [
    spotting_sets.Plan('a', 0, 0, 'expressions', 30, 8, 23),
    spotting_sets.Plan('b', 0, 1, 'still', 30, 1, 23),
  ]
  monkeypatch.setattr(spotting_sets.Set, 'plans', lambda self: plans)
  chosen = spotting_sets.Set(0, (0,))
  roots = [tmp_path / 'one', tmp_path / 'two']
  for root in roots:
    spotting_sets.write(chosen, root, lambda seed, subject: small_face())
  names = ['a.mp4', 'b.mp4', 'truth.csv', 'videos.csv']
  for name in names:
    assert roots[0].joinpath(name).read_bytes() == (
      roots[1].joinpath(name).read_bytes()
    )
  truth = intervals.read(roots[0] / 'truth.csv')
  assert truth.keys() == {'a', 'b'} and truth['b'] == []
  script_of_a = plans[0].script(0)
  assert [i.apex for i in truth['a']] == [
    item.apex for item in script_of_a.expressions
  ]
  with (roots[0] / 'videos.csv').open() as lines:
    rows = list(csv.DictReader(lines))
  assert [row['frames'] for row in rows] == ['240', '30']


def test_random_numbers_differ_from_those_of_simulated_data_sets():
  from tfds_builders import registry

  streams = {
    registry.facts(name).simulation.stream
    for name in registry.names()
    if registry.facts(name).simulation
  }
  assert spotting_sets._STREAM not in streams
  assert layouts.generator(20, 1, 0, 'plan').random() > 0
