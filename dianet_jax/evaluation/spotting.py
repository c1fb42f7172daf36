"""Metrics of spotting expressions in long videos.

A predicted interval is a true positive if its intersection over union (IoU)
with a true interval of the same kind is at least 0.5. Intervals are matched one
to one, so that the number of pairs is as large as possible. All videos count,
also those without an expression. Counts are pooled over videos; confidence
intervals resample subjects.

Source: Li et al., "MEGC2020 - the third facial micro-expression grand
challenge", FG 2020, for the rule; STRS: Liong et al., "Spot-then-recognize: a
micro-expression analysis network for seamless evaluation of long videos",
Signal Processing: Image Communication, 2023. Maximum matching, and scoring
videos without expressions, are ours.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from jaxtyping import Float
import numpy as np

from dianet_jax.clips import intervals
from dianet_jax.evaluation import metrics

LEAST_IOU = 0.5
# Thresholds of COCO's average precision.
_IOUS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
BOTH = 'both'
ROWS = (*intervals.KINDS, BOTH)
# Rates that have a confidence interval.
_RATES = ('precision', 'recall', 'f1', 'false_positives_per_minute')


@dataclasses.dataclass(frozen=True)
class Expression:
  """An interval and the emotion in it; '' if none is given."""

  interval: intervals.Interval
  emotion: str = ''


@dataclasses.dataclass(frozen=True)
class Video:
  """The true and the predicted intervals of a video.

  Attributes:
    name: name of the video.
    subject: person in it; resampling draws all videos of a subject together.
    frames: number of frames.
    frames_per_second: frame rate of the camera.
    truth: intervals that a coder annotated.
    found: intervals that a spotter predicted.
  """

  name: str
  subject: str
  frames: int
  frames_per_second: float
  truth: tuple[Expression, ...] = ()
  found: tuple[Expression, ...] = ()

  @property
  def minutes(self) -> float:
    """Duration in minutes."""
    return self.frames / self.frames_per_second / 60

  def above(self, thresholds: Mapping[str, float]) -> 'Video':
    """The same video without predictions below the threshold of their kind.

    Args:
      thresholds: kind -> the lowest score that is kept.

    >>> found = Expression(intervals.Interval(0, 5, 9, 'micro', 2.0))
    >>> video = Video('v1', 's1', 100, 50.0, found=(found,))
    >>> video.above({'micro': 2.0}) == video, video.above({'micro': 3.0}).found
    (True, ())
    """
    found = tuple(
      item
      for item in self.found
      if item.interval.score >= thresholds[item.interval.kind]
    )
    return dataclasses.replace(self, found=found)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How the intervals of one video were matched.

  Attributes:
    pairs: (true, predicted) intervals that match: the true positives.
    false_positives: number of predicted intervals without a match.
    misses: number of true intervals without a match.
  """

  pairs: tuple[tuple[Expression, Expression], ...]
  false_positives: int
  misses: int


def match(
  truth: Sequence[intervals.Interval],
  found: Sequence[intervals.Interval],
  least_iou: float = LEAST_IOU,
) -> list[tuple[int, int]]:
  """Matches true and predicted intervals one to one, as many as possible.

  Of several largest matchings it takes the one with the greatest sum of IoUs.

  Args:
    truth: true intervals of one video.
    found: predicted intervals of the same video.
    least_iou: lowest intersection over union of a pair, 0..1.

  Returns:
    (index into `truth`, index into `found`), each index at most once.

  >>> make = lambda onset, offset: intervals.Interval(
  ...   onset, onset, offset, 'micro')
  >>> match([make(0, 9), make(12, 21)], [make(11, 20), make(0, 5)])
  [(0, 1), (1, 0)]
  """
  if not truth or not found:
    return []
  iou = np.array([[one.iou(other) for other in found] for one in truth])
  # One more pair outweighs the sum of all overlaps.
  gain = np.where(iou >= least_iou, min(iou.shape) + iou, 0.0)
  # Imported late: it takes longer than the rest of a command's start.
  from scipy import optimize

  rows, columns = optimize.linear_sum_assignment(gain, maximize=True)
  return [
    (int(row), int(column))
    for row, column in zip(rows, columns)
    if gain[row, column]
  ]


def outcome(video: Video, kind: str) -> Outcome:
  """Matches the intervals of one video.

  Args:
    video: with all its intervals.
    kind: 'micro', 'macro' or `BOTH`, which matches each kind separately and
      adds up the counts. A prediction of the wrong kind is a false positive.

  Returns:
    Pairs and counts.

  >>> true, found = (
  ...   Expression(intervals.Interval(onset, onset + 5, onset + 9, 'micro'))
  ...   for onset in (0, 2)
  ... )
  >>> video = Video('v1', 's1', 100, 50.0, (true,), (found,))
  >>> len(outcome(video, 'micro').pairs), outcome(video, 'macro').misses
  (1, 0)
  """
  if kind == BOTH:
    parts = [outcome(video, kind) for kind in intervals.KINDS]
    return Outcome(
      tuple(pair for part in parts for pair in part.pairs),
      sum(part.false_positives for part in parts),
      sum(part.misses for part in parts),
    )
  truth, found = (
    [item for item in items if item.interval.kind == kind]
    for items in (video.truth, video.found)
  )
  pairs = match([t.interval for t in truth], [f.interval for f in found])
  return Outcome(
    tuple((truth[t], found[f]) for t, f in pairs),
    len(found) - len(pairs),
    len(truth) - len(pairs),
  )


def tally(
  videos: Sequence[Video], outcomes: Sequence[Outcome]
) -> Float[np.ndarray, 'subject 4']:
  """True positives, false positives, misses and minutes of each subject.

  Args:
    videos: in any order.
    outcomes: `outcome` of each video.

  Returns:
    Float64, subjects in the order of their names.

  >>> videos = [Video('v1', 's1', 3000, 50.0), Video('v2', 's1', 3000, 50.0)]
  >>> tally(videos, [Outcome((), 1, 0), Outcome((), 2, 1)]).tolist()
  [[0.0, 3.0, 1.0, 2.0]]
  """
  names = sorted({video.subject for video in videos})
  counts = np.zeros((len(names), 4))
  for video, found in zip(videos, outcomes, strict=True):
    counts[names.index(video.subject)] += (
      len(found.pairs),
      found.false_positives,
      found.misses,
      video.minutes,
    )
  return counts


def rates(counts: Float[np.ndarray, '*draw 4']) -> dict[str, np.ndarray]:
  """Precision, recall, F1 and false positives per minute.

  Args:
    counts: sums of `tally` over subjects.

  Returns:
    Name -> float64 [*draw]; NaN where the denominator is 0, because nothing
    was predicted or no interval is true.

  >>> found = rates(np.array([3.0, 1.0, 3.0, 2.0]))
  >>> [float(found[name]) for name in ('precision', 'recall', 'f1')]
  [0.75, 0.5, 0.6]
  """
  right, wrong, missed, minutes = np.moveaxis(np.asarray(counts), -1, 0)
  with np.errstate(invalid='ignore', divide='ignore'):
    values = (
      right / (right + wrong),
      right / (right + missed),
      2 * right / (2 * right + wrong + missed),
      wrong / minutes,
    )
  return dict(zip(_RATES, values))


def average_precision(videos: Sequence[Video], kind: str) -> float:
  """COCO's AP@[.5:.95] of one kind, or the mean over both.

  Predictions of all videos are ranked by score; each is matched to the true
  interval of its video with the highest IoU that is not matched yet. Precision
  is interpolated at 101 recalls, and averaged over ten IoU thresholds.

  Args:
    videos: with truth and predictions; every prediction has a score.
    kind: 'micro', 'macro' or `BOTH`.

  Returns:
    0..1; NaN without true intervals.

  >>> def expression(onset, score=np.nan):
  ...   interval = intervals.Interval(onset, onset, onset + 9, 'micro', score)
  ...   return Expression(interval)
  >>> found = expression(0, 2.0), expression(50, 1.0)
  >>> video = Video('v1', 's1', 100, 50.0, (expression(0),), found)
  >>> average_precision([video], 'micro')  # the false positive ranks last
  1.0

  Source: Lin et al., "Microsoft COCO: common objects in context", ECCV 2014.
  """
  if kind == BOTH:
    values = [average_precision(videos, kind) for kind in intervals.KINDS]
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float('nan')
  truth = [
    [item.interval for item in video.truth if item.interval.kind == kind]
    for video in videos
  ]
  total = sum(map(len, truth))
  if not total:
    return float('nan')
  ranked = sorted(
    (
      (item.interval, row)
      for row, video in enumerate(videos)
      for item in video.found
      if item.interval.kind == kind
    ),
    key=lambda pair: -pair[0].score,
  )
  overlaps = [[i.iou(other) for other in truth[row]] for i, row in ranked]
  at_iou = []
  for least in _IOUS:
    free = [[True] * len(some) for some in truth]
    right = np.zeros(len(ranked))
    for index, ((_, row), iou) in enumerate(zip(ranked, overlaps)):
      best = max(
        (n for n, value in enumerate(iou) if free[row][n] and value >= least),
        key=iou.__getitem__,
        default=None,
      )
      if best is not None:
        free[row][best], right[index] = False, 1
    precision = np.cumsum(right) / np.arange(1, len(ranked) + 1)
    recall = np.cumsum(right) / total
    # The best precision at this recall or more.
    best_from = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, _RECALLS - 1e-12)
    at_iou.append(np.mean(np.append(best_from, 0)[place]))
  return float(np.mean(at_iou))


def recognition(
  pairs: Sequence[tuple[Expression, Expression]],
) -> dict[str, float | int]:
  """How well the emotions of true positives were classified.

  Args:
    pairs: (true, predicted) expressions.

  Returns:
    `f1`: harmonic mean of the mean precision and the mean recall over the
    classes that occur among the pairs; `uf1`, `uar`; `n`: number of pairs. NaN
    without pairs.

  >>> interval = intervals.Interval(0, 5, 9, 'micro')
  >>> happy, sad = (Expression(interval, name) for name in ('happy', 'sad'))
  >>> found = recognition([(happy, happy), (sad, happy), (sad, sad)])
  >>> found['n'], found['uar']
  (3, 0.75)
  """
  names = sorted({item.emotion for pair in pairs for item in pair})
  confusion = np.zeros((len(names), len(names)), int)
  for true, found in pairs:
    confusion[names.index(true.emotion), names.index(found.emotion)] += 1
  if not pairs:
    return {'f1': np.nan, 'uf1': np.nan, 'uar': np.nan, 'n': 0}
  right = np.diagonal(confusion)
  precision, recall = (
    float(np.mean(right / np.maximum(confusion.sum(axis), 1)))
    for axis in (0, 1)
  )
  f1 = 2 * precision * recall / (precision + recall) if right.any() else 0.0
  return {
    'f1': f1,
    'uf1': float(metrics.uf1(confusion)),
    'uar': float(metrics.uar(confusion)),
    'n': len(pairs),
  }


def figures(videos: Sequence[Video], kind: str) -> dict[str, Any]:
  """All metrics of one kind, by strict matching.

  Args:
    videos: all videos, also those without expressions.
    kind: one of `ROWS`.

  Returns:
    `true_positives`, `false_positives`, `misses`; each key of `rates` and, as
    `<rate>_95`, its 95 % interval (None for a single subject);
    `apex_error_frames` and `apex_error_seconds`, means over true positives;
    `ap`, which is NaN if a prediction has no score.

  >>> true, found = (
  ...   Expression(intervals.Interval(onset, onset + 5, onset + 9, 'micro'))
  ...   for onset in (0, 2)
  ... )
  >>> result = figures(
  ...   [Video('v1', 's1', 3000, 50.0, (true,), (found,))], 'micro'
  ... )
  >>> result['true_positives'], result['f1'], result['apex_error_frames']
  (1, 1.0, 2.0)
  """
  outcomes = [outcome(video, kind) for video in videos]
  by_subject = tally(videos, outcomes)
  counts = by_subject.sum(axis=0)
  found: dict[str, Any] = dict(
    zip(('true_positives', 'false_positives', 'misses'), map(int, counts))
  )
  found |= {name: float(value) for name, value in rates(counts).items()}
  found |= {f'{name}_95': None for name in _RATES}
  if len(by_subject) > 1:
    draws = metrics.subject_draws(len(by_subject)) @ by_subject
    for name, values in rates(draws).items():
      # A draw without expressions has no F1.
      known = values[~np.isnan(values)]
      ends = np.quantile(known, metrics.TAILS).tolist() if len(known) else None
      found[f'{name}_95'] = ends
  errors = np.array([
    (abs(true.interval.apex - predicted.interval.apex), video.frames_per_second)
    for video, result in zip(videos, outcomes)
    for true, predicted in result.pairs
  ]).reshape(-1, 2)  # fmt: skip
  frames, rate = errors.T
  mean = float(frames.mean()) if len(errors) else float('nan')
  seconds = float((frames / rate).mean()) if len(errors) else float('nan')
  scored = not any(
    np.isnan(item.interval.score) for video in videos for item in video.found
  )
  ap = average_precision(videos, kind) if scored else float('nan')
  return found | {
    'apex_error_frames': mean,
    'apex_error_seconds': seconds,
    'ap': ap,
  }
