"""Tests of the scores of spotted intervals, on cases worked by hand."""

import itertools
import json
import math

import numpy as np
import pytest

from dianet_jax.clips import intervals
from dianet_jax.core import errors
from dianet_jax.evaluation import (
  evaluate_spotting,
  spotting,
  spotting_files,
  spotting_reference,
  thresholds,
)


def interval(onset, offset, kind='micro', score=math.nan, apex=None):
  return intervals.Interval(
    onset, onset if apex is None else apex, offset, kind, score
  )


def expression(*args, emotion='', **kwargs):
  return spotting.Expression(interval(*args, **kwargs), emotion)


def video(truth=(), found=(), name='v', subject='s', frames=1800, rate=30.0):
  return spotting.Video(name, subject, frames, rate, tuple(truth), tuple(found))


def test_an_iou_of_one_half_is_a_match():
  truth = [interval(10, 19)]
  # Five of ten frames, both inclusive, and four of ten.
  assert spotting.match(truth, [interval(10, 14)]) == [(0, 0)]
  assert spotting.match(truth, [interval(10, 13)]) == []
  assert spotting.match(truth, []) == spotting.match([], truth) == []


def test_each_interval_is_matched_once():
  one = [interval(0, 9)]
  two = [interval(0, 9), interval(1, 10)]
  assert len(spotting.match(one, two)) == len(spotting.match(two, one)) == 1
  assert spotting.match(one, two) == [(0, 0)]


def test_matching_is_maximum_and_not_greedy():
  truth = [interval(0, 9), interval(5, 14)]
  # The first overlaps both, and the second truth more; the other only that one.
  found = [interval(3, 12), interval(7, 16)]
  assert spotting.match(truth, found) == [(0, 0), (1, 1)]


def test_two_pairs_are_better_than_a_perfect_one():
  truth = [interval(0, 9), interval(3, 12)]
  found = [interval(3, 12), interval(6, 15)]
  assert spotting.match(truth, found) == [(0, 0), (1, 1)]


def test_no_larger_matching_exists():
  rng = np.random.default_rng(0)
  for _ in range(30):
    truth, found = (
      [
        interval(int(onset), int(onset + length))
        for onset, length in rng.integers(0, (25, 20), (4, 2))
      ]
      for _ in range(2)
    )
    pairs = {
      (t, f)
      for t, f in itertools.product(range(4), repeat=2)
      if truth[t].iou(found[f]) >= 0.5
    }
    most = max(
      sum((t, order[t]) in pairs for t in range(4))
      for order in itertools.permutations(range(4))
    )
    matched = spotting.match(truth, found)
    assert {*matched} <= pairs
    assert len({t for t, _ in matched}) == len({f for _, f in matched}) == most


def test_intervals_of_another_kind_do_not_match():
  one = video([expression(0, 9)], [expression(0, 9, kind='macro')])
  for kind, counts in (
    ('micro', (0, 0, 1)), ('macro', (0, 1, 0)), ('both', (0, 1, 1)),
  ):  # fmt: skip
    got = spotting.outcome(one, kind)
    assert (len(got.pairs), got.false_positives, got.misses) == counts


def test_figures_worked_by_hand():
  videos = [
    # Found 2 frames late, at 30 a second; and a false positive.
    video(
      [expression(0, 9, apex=4)],
      [expression(0, 9, apex=6), expression(100, 109)],
      'a', 's1',
    ),
    # Missed, in a video of the same subject.
    video([expression(50, 59)], [], 'b', 's1'),
    # Silence is judged: two false positives in one minute of nothing.
    video([], [expression(0, 9), expression(20, 29)], 'c', 's2'),
  ]  # fmt: skip
  got = spotting.figures(videos, 'micro')
  assert [got[n] for n in ('true_positives', 'false_positives', 'misses')] == [
    1, 3, 1,
  ]  # fmt: skip
  assert got['precision'] == 1 / 4 and got['recall'] == 1 / 2
  assert got['f1'] == 2 / (2 + 3 + 1)
  assert got['false_positives_per_minute'] == 1.0
  assert got['apex_error_frames'] == 2
  assert got['apex_error_seconds'] == pytest.approx(2 / 30)
  low, high = got['false_positives_per_minute_95']
  # Draws of s1 alone have 1 in 2 minutes, of s2 alone 2 in 1.
  assert low == 0.5 and high == 2.0


def test_f1_is_nan_without_truth_and_predictions():
  got = spotting.figures([video(), video(name='w', subject='t')], 'both')
  assert math.isnan(got['f1']) and math.isnan(got['ap'])
  assert got['f1_95'] is None and got['false_positives_per_minute'] == 0


def test_average_precision_worked_by_hand():
  truth = [expression(0, 9), expression(100, 109)]
  exact = expression(0, 9, score=2.0)
  wrong = expression(50, 59, score=3.0)
  # Alone it is perfect up to a recall of half: 51 of 101 recalls.
  assert spotting.average_precision(
    [video(truth, [exact])], 'micro'
  ) == pytest.approx(51 / 101)
  # Below a false positive its precision is half.
  assert spotting.average_precision(
    [video(truth, [exact, wrong])], 'micro'
  ) == pytest.approx(0.5 * 51 / 101)
  # IoU 8 of 10: right at .5 to .8, in seven of ten.
  most = expression(0, 7, score=1.0)
  assert spotting.average_precision(
    [video(truth[:1], [most])], 'micro'
  ) == pytest.approx(0.7)


def test_recognition_worked_by_hand():
  def pair(true, predicted):
    return expression(0, 9, emotion=true), expression(0, 9, emotion=predicted)

  pairs = [pair('a', 'a'), pair('a', 'b'), pair('b', 'b'), pair('b', 'b')]
  got = spotting.recognition(pairs)
  precision, recall = (1 + 2 / 3) / 2, (1 / 2 + 1) / 2
  assert got['f1'] == pytest.approx(
    2 * precision * recall / (precision + recall)
  )
  assert got['uar'] == recall and got['n'] == 4
  all_right = spotting.recognition([pair('a', 'a')] * 3)
  assert all_right['f1'] == all_right['uf1'] == 1.0
  assert spotting.recognition([pair('a', 'b')])['f1'] == 0.0


def reference(*videos):
  got = spotting_reference.figures(videos)
  return tuple(got[n] for n in ('true_positives', 'false_positives', 'misses'))


def strict(*videos):
  got = spotting.figures(videos, 'both')
  return tuple(got[n] for n in ('true_positives', 'false_positives', 'misses'))


def test_the_published_scorer_counts_one_prediction_twice():
  one = video([expression(0, 9), expression(2, 11)], [expression(1, 10)])
  assert reference(one) == (2, 0, 0)
  assert strict(one) == (1, 0, 1)


def test_the_published_scorer_depends_on_the_order_of_the_file():
  truth = [expression(0, 9), expression(5, 14)]
  greedy = video(truth, [expression(3, 12), expression(7, 16)])
  # The first takes the second truth, too: nothing is left for the second.
  assert reference(greedy) == (2, 1, 0)
  assert strict(greedy) == (2, 0, 0)


def test_the_published_scorer_leaves_out_subjects_without_predictions():
  silent = video([expression(0, 9)], [], 'a', 's1')
  other = video([expression(0, 9)], [expression(0, 9)], 'b', 's2')
  assert reference(silent, other) == (1, 0, 0)
  assert strict(silent, other) == (1, 0, 1)


def test_the_published_scorer_leaves_out_videos_without_expressions():
  noisy = video([], [expression(0, 9)], 'a', 's')
  other = video([expression(0, 9)], [expression(0, 9)], 'b', 's')
  assert reference(noisy, other) == (1, 0, 0)
  assert strict(noisy, other) == (1, 1, 0)


def test_the_published_scorer_ignores_the_kind():
  one = video([expression(0, 9)], [expression(0, 9, kind='macro')])
  assert reference(one) == (1, 0, 0)
  assert strict(one) == (0, 1, 1)


def of_emotions(*pairs):
  truth = [expression(20 * i, 20 * i + 9, emotion=t)
           for i, (t, _) in enumerate(pairs)]  # fmt: skip
  found = [expression(20 * i, 20 * i + 9, emotion=f)
           for i, (_, f) in enumerate(pairs)]  # fmt: skip
  return video(truth, found)


def test_the_published_scorer_calls_precision_uar():
  one = of_emotions(('a', 'a'), ('a', 'b'), ('b', 'b'), ('b', 'b'))
  got = spotting_reference.figures([one])['recognition']
  precision, recall = (1 + 2 / 3) / 2, (1 / 2 + 1) / 2
  assert got['uar'] == pytest.approx(precision)
  both = 2 * precision * recall / (precision + recall)
  assert got['f1'] == pytest.approx(both) and got['strs'] == got['f1']
  assert spotting.recognition([(t, f) for t, f in zip(one.truth, one.found)])[
    'uar'
  ] == pytest.approx(recall)


def test_the_published_scorer_gives_zero_for_a_single_class():
  one = of_emotions(('a', 'a'), ('a', 'a'))
  got = spotting_reference.figures([one])['recognition']
  assert got['uf1'] == 0 and math.isnan(got['f1'])
  assert math.isnan(got['strs'])


def test_the_published_scorer_gives_nan_without_true_positives():
  one = video(
    [expression(0, 9, emotion='a')], [expression(50, 59, emotion='a')]
  )
  got = spotting_reference.figures([one])
  assert got['f1'] == 0 and math.isnan(got['recognition']['strs'])


def scored(subject, right, wrong):
  """A true interval found with one score, and a false one with another."""
  return video(
    [expression(0, 9)],
    [expression(0, 9, score=right), expression(50, 59, score=wrong)],
    subject,
    subject,
  )


def test_a_threshold_is_chosen_without_its_test_subject():
  videos = [scored('s1', 5, 1), scored('s2', 5, 1), scored('s3', 2, 8)]
  each, oracle = thresholds.chosen(videos)
  # Of s1 and s2 it is 5: of s3 the right one goes, and the false one stays.
  assert each['s3']['micro'] == 5 and oracle['micro'] == 2
  changed = [*videos[:2], scored('s3', 100, 99)]
  assert thresholds.chosen(changed)[0]['s3'] == each['s3']
  left = thresholds.apply(videos, each)[2]
  assert [item.interval.score for item in left.found] == [8]


def test_the_oracle_is_no_worse_than_any_threshold():
  rng = np.random.default_rng(1)
  videos = [scored(f's{i}', *rng.uniform(0, 1, 2).round(2)) for i in range(6)]
  _, oracle = thresholds.chosen(videos)
  best = spotting.figures([v.above(oracle) for v in videos], 'micro')['f1']
  for value in thresholds.candidates(videos, 'micro'):
    some = [v.above({'micro': value, 'macro': 0}) for v in videos]
    assert spotting.figures(some, 'micro')['f1'] <= best


# --- files and the command ---


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'videos.csv').write_text(
    'video,subject,frames,frames_per_second\n'
    'a,s1,1800,30\nb,s2,1800,30\nc,s2,1800,30\n'
  )
  (tmp_path / 'truth.csv').write_text(
    'video,onset,apex,offset,kind,emotion\n'
    'a,0,4,9,micro,Happiness\nb,0,4,9,micro,disgust\nc,,,,,\n'
  )
  (tmp_path / 'found.csv').write_text(
    'video,onset,apex,offset,kind,score,emotion\n'
    'a,0,5,9,micro,3,positive\nx/b.mp4,0,5,9,micro,2,positive\n'
    'x/b.mp4,60,65,69,micro,1,negative\nc,,,,,,\n'
  )
  return tmp_path


def test_the_command_prints_all_results(folder, capsys):
  from dianet_jax import __main__ as cli

  arguments = ['evaluate-spotting', str(folder / 'found.csv'), str(folder)]
  classes = '--classes=happiness=positive,disgust=negative'
  assert cli.main([*arguments, classes, '--json']) == 0
  got = json.loads(capsys.readouterr().out)
  assert got['as_given']['micro']['true_positives'] == 2
  assert got['as_given']['micro']['false_positives'] == 1
  assert got['silent'] == {
    'videos': 1, 'minutes': 1.0, 'false_positives': 0,
    'videos_with_false_positives': 0,
  }  # fmt: skip
  assert got['oracle']['micro']['f1'] == 1.0
  assert got['as_given']['recognition']['uar'] == 0.5
  assert cli.main([*arguments, classes]) == 0
  printed = capsys.readouterr().out
  assert 'ORACLE' in printed and 'published scorer' not in printed
  assert cli.main([*arguments, '--matching=reference']) == 0
  assert 'published scorer' in capsys.readouterr().out


def test_the_published_rules_are_shown_where_they_differ(folder, capsys):
  from dianet_jax import __main__ as cli

  path = folder / 'found.csv'
  path.write_text(path.read_text().replace('c,,,,,,', 'c,0,5,9,micro,1,'))
  assert cli.main(['evaluate-spotting', str(path), str(folder)]) == 0
  assert 'published scorer' in capsys.readouterr().out


def test_predictions_of_long_videos_are_scored(folder, capsys):
  rows = [
    'clip,prediction,onset,apex,offset,kind,spotting_score,error',
    'a.mp4,positive,0,5,9,micro,9,',
    'b.mp4,,,,,,,no expression was spotted in 60.0 seconds',
    'c.mp4,,,,,,,no expression was spotted in 60.0 seconds',
  ]
  path = folder / 'predictions.csv'
  path.write_text('\n'.join(rows))
  arguments = [str(path), str(folder), '--classes=happiness=positive', '--json']
  evaluate_spotting.main(arguments)
  got = json.loads(capsys.readouterr().out)['as_given']
  assert got['micro']['f1'] == 2 / 3
  assert got['recognition']['strs'] == 2 / 3
  path.write_text(path.read_text().replace('no expression', 'no face'))
  with pytest.raises(errors.UserError, match='row 3: no face'):
    evaluate_spotting.main(arguments)


@pytest.mark.parametrize(
  'name, old, new, message',
  [
    ('found.csv', 'c,,,,,,\n', '', 'has no row for 1 of 3 videos'),
    ('found.csv', 'c,,,,,,', 'd,,,,,,', '1 video(s) that are not in'),
    ('found.csv', 'a,0', 'x/b.mov,0', 'two ways'),
    ('truth.csv', 'c,,', 'd,,', '1 video(s) that are not in'),
    (
      'truth.csv',
      '9,micro,disgust',
      '1800,macro,disgust',
      'frame 1800',
    ),
    ('videos.csv', 'c,s2', 'b,s2', 'twice'),
    ('videos.csv', '1800,30\nb', '0,30\nb', 'row 2: 0 frames'),
    ('videos.csv', '1800,30\nb', '1800,nan\nb', 'nan frames per second'),
    ('videos.csv', '1800,30\nb', 'x,30\nb', 'Expected numbers'),
    ('videos.csv', 'subject', 'person', 'has no column(s) subject'),
  ],
)
def test_inconsistent_files_are_refused(folder, name, old, new, message):
  path = folder / name
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))
  with pytest.raises(errors.UserError, match='(?s)') as raised:
    evaluate_spotting.main([str(folder / 'found.csv'), str(folder)])
  assert message in str(raised.value)
  assert str(folder) in str(raised.value)


def test_wrong_classes_are_refused(folder):
  arguments = [str(folder / 'found.csv'), str(folder), '--classes=happiness']
  with pytest.raises(errors.UserError, match='emotion=class'):
    evaluate_spotting.main(arguments)


def test_figures_are_json(folder):
  videos = spotting_files.with_predictions(
    spotting_files.read_truth(folder), folder / 'found.csv', 'videos.csv'
  )
  text = json.dumps(evaluate_spotting.evaluate(videos), allow_nan=False)
  assert 'Infinity' not in text
