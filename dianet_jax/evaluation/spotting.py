"""How well expressions were spotted in long videos.

A predicted interval is right if it shares at least half of the frames of either
with a true one of its kind, and each is counted once: the largest number of
pairs. All videos count, also those in which nothing happens. Counts are pooled
over videos; intervals resample subjects.

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
from scipy import optimize

from dianet_jax.clips import intervals
from dianet_jax.evaluation import metrics

LEAST_IOU = 0.5
# Of COCO's average precision.
_IOUS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
BOTH = 'both'
ROWS = (*intervals.KINDS, BOTH)
# Of these intervals are given.
_RATES = ('precision', 'recall', 'f1', 'false_positives_per_minute')


@dataclasses.dataclass(frozen=True)
class Expression:
  """An interval and the expression in it; '' where none is named."""

  interval: intervals.Interval
  emotion: str = ''


@dataclasses.dataclass(frozen=True)
class Video:
  """What is in a video, and what was found in it.

  Attributes:
    name: of the video.
    subject: who is in it; drawn together in resampling.
    frames: how many it has.
    frames_per_second: of the camera.
    truth: what a coder says.
    found: what a spotter says.
  """

  name: str
  subject: str
  frames: int
  frames_per_second: float
  truth: tuple[Expression, ...] = ()
  found: tuple[Expression, ...] = ()

  @property
  def minutes(self) -> float:
    """How long it takes."""
    return self.frames / self.frames_per_second / 60

  def above(self, thresholds: Mapping[str, float]) -> 'Video':
    """The same with what was found of at least the score of its kind."""
    found = tuple(
      item
      for item in self.found
      if item.interval.score >= thresholds[item.interval.kind]
    )
    return dataclasses.replace(self, found=found)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of the intervals of one video.

  Attributes:
    pairs: (true, found) that belong together.
    false_positives: number found that belong to none.
    misses: number of true ones that were not found.
  """

  pairs: tuple[tuple[Expression, Expression], ...]
  false_positives: int
  misses: int


def match(
  truth: Sequence[intervals.Interval],
  found: Sequence[intervals.Interval],
  least_iou: float = LEAST_IOU,
) -> list[tuple[int, int]]:
  """The largest number of pairs of a true and a found interval.

  Of several largest sets the one with the greatest overlap.

  Args:
    truth: intervals of one video.
    found: intervals of the same.
    least_iou: of a pair.

  Returns:
    (index into `truth`, index into `found`), each index once at most.

  >>> make = lambda onset, offset: intervals.Interval(
  ...   onset, onset, offset, 'micro')
  >>> match([make(0, 9), make(12, 21)], [make(11, 20), make(0, 5)])
  [(0, 1), (1, 0)]
  """
  if not truth or not found:
    return []
  iou = np.array([[one.iou(other) for other in found] for one in truth])
  # A pair more outweighs all overlaps together.
  gain = np.where(iou >= least_iou, min(iou.shape) + iou, 0.0)
  rows, columns = optimize.linear_sum_assignment(gain, maximize=True)
  return [
    (int(row), int(column))
    for row, column in zip(rows, columns)
    if gain[row, column]
  ]


def outcome(video: Video, kind: str) -> Outcome:
  """Matches the intervals of one kind, or each kind by itself.

  Args:
    video: with all its intervals.
    kind: 'micro', 'macro' or `BOTH`: the counts of the two added up. What is
      found as the other kind is wrong.
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
    outcomes: of each.

  Returns:
    Float64, subjects in the order of their names.
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
  """Precision, recall, F1 and false positives a minute of tallies.

  Args:
    counts: see `tally`, added up over subjects.

  Returns:
    Name -> float64 [*draw], NaN where it has no denominator: nothing was found,
    or nothing was there.

  >>> found = rates(np.array([3.0, 1.0, 3.0, 2.0]))
  >>> {name: float(value) for name, value in found.items()}  # doctest: +SKIP
  {'precision': 0.75, 'recall': 0.5, 'f1': 0.6, ...}
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

  Predictions of all videos are taken in the order of their scores; each takes
  the true interval of its video that it overlaps most, of those that are free.
  Precision is interpolated at 101 recalls, and averaged over ten least IoUs.

  Returns:
    0..1; NaN without true intervals.

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
  """How well the expressions of true positives were named.

  Args:
    pairs: (true, found).

  Returns:
    `f1`: of the mean precision and the mean recall over the classes that occur
    among the pairs, truly or as found; `uf1`, `uar`; `n`. NaN without pairs.
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
  """Everything that is reported of one kind, by strict matching.

  Args:
    videos: all of them, also those without expressions.
    kind: one of `ROWS`.

  Returns:
    `true_positives`, `false_positives`, `misses`; each rate and, as
    `<rate>_95`, its interval (None for a single subject); `apex_error_frames`
    and `apex_error_seconds`, means over true positives; `ap`, NaN where a
    prediction has no score.
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
      # A draw without any expression has no F1.
      known = values[~np.isnan(values)]
      ends = np.quantile(known, metrics.TAILS).tolist() if len(known) else None
      found[f'{name}_95'] = ends
  errors = np.array([
    (abs(true.interval.apex - said.interval.apex), video.frames_per_second)
    for video, result in zip(videos, outcomes)
    for true, said in result.pairs
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
