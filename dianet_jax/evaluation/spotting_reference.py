"""The rules of the published scorer of spotting and recognition.

They differ from `evaluation.spotting` and have defects:

- subjects without a prediction are left out, and so are their misses;
- videos without an expression are left out, and so are their false positives;
- predictions are processed in the order of the file, and each is matched to
  every unmatched true interval with an IoU of at least 0.5, so one prediction
  may count twice;
- micro- and macro-expressions are not distinguished;
- a class that all true positives have, or none has, gets scores of 0, even if
  all are right; the mean is over all annotated classes;
- the value called UAR is the mean precision;
- without a true positive, the F1 of recognition and STRS are NaN.

These metrics are reported only for comparison with published results.

Source: the rules, read from github.com/genbing99/STRS-Metric (`strs_metric.py`,
eb86468). None of its code is here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dianet_jax.evaluation import spotting


def _greedy(video: spotting.Video) -> spotting.Outcome:
  """A prediction is matched to every free true interval that it overlaps."""
  free = list(video.truth)
  pairs, wrong = [], 0
  for predicted in video.found:
    matched = [
      true
      for true in free
      if predicted.interval.iou(true.interval) >= spotting.LEAST_IOU
    ]
    pairs += [(true, predicted) for true in matched]
    free = [true for true in free if true not in matched]
    wrong += not matched
  return spotting.Outcome(tuple(pairs), wrong, len(free))


def _f1(precision: float, recall: float) -> float:
  both = precision + recall
  return 2 * precision * recall / both if both else 0.0


def _ratio(part: int, total: int) -> float:
  return part / total if total else 0.0


def _recognition(pairs, classes: Sequence[str]) -> dict[str, float]:
  pairs = [(t.emotion, f.emotion) for t, f in pairs if t.emotion in classes]
  precisions, recalls, f1s = [], [], []
  for name in classes:
    true = np.array([t == name for t, _ in pairs], bool)
    predicted = np.array([f == name for _, f in pairs], bool)
    right = int((true & predicted).sum())
    if len({*true, *predicted}) < 2:
      # Its 1 x 1 confusion matrix has no negatives: all counts are 0.
      true, predicted, right = true[:0], predicted[:0], 0
    precisions.append(_ratio(right, int(predicted.sum())))
    recalls.append(_ratio(right, int(true.sum())))
    f1s.append(_f1(precisions[-1], recalls[-1]))
  precision, recall = float(np.mean(precisions)), float(np.mean(recalls))
  both = precision + recall
  return {
    'f1': 2 * precision * recall / both if both else float('nan'),
    'uf1': float(np.mean(f1s)),
    'uar': precision,
  }


def figures(videos: Sequence[spotting.Video]) -> dict[str, Any]:
  """The metrics that the published scorer would print.

  Args:
    videos: all videos; those that the scorer ignores are ignored here.

  Returns:
    `true_positives`, `false_positives`, `misses`, `precision`, `recall`, `f1`;
    and `recognition` with `f1`, `uf1`, `uar` (as it is called there) and
    `strs`, or None if the truth or the predictions have no emotions.

  A subject without a prediction is left out, and so is the miss.

  >>> from dianet_jax.clips import intervals
  >>> truth = spotting.Expression(intervals.Interval(0, 5, 9, 'micro'))
  >>> right = spotting.Video('v1', 's1', 100, 50.0, (truth,), (truth,))
  >>> missed = spotting.Video('v2', 's2', 100, 50.0, (truth,))
  >>> found = figures([right, missed])
  >>> found['f1'], found['misses']
  (1.0, 0)
  """
  answered = {video.subject for video in videos if video.found}
  counted = [v for v in videos if v.subject in answered and v.truth]
  outcomes = [_greedy(video) for video in counted]
  pairs = [pair for outcome in outcomes for pair in outcome.pairs]
  right = len(pairs)
  wrong = sum(outcome.false_positives for outcome in outcomes)
  missed = sum(outcome.misses for outcome in outcomes)
  precision, recall = (
    _ratio(right, right + wrong),
    _ratio(right, right + missed),
  )
  f1 = _f1(precision, recall)
  # In the order of the file: sums of floats depend on it.
  classes = list(
    dict.fromkeys(true.emotion for video in videos for true in video.truth)
  )
  named = None
  if any(classes) and any(f.emotion for video in videos for f in video.found):
    named = _recognition(pairs, classes)
    named['strs'] = f1 * named['f1']
  return {
    'true_positives': right,
    'false_positives': wrong,
    'misses': missed,
    'precision': precision,
    'recall': recall,
    'f1': f1,
    'recognition': named,
  }
