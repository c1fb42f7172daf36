"""Thresholds of a spotter's scores, chosen without the held-out subject."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
import numpy as np

from dianet_jax.clips import intervals
from dianet_jax.core import errors
from dianet_jax.evaluation import spotting

# More candidates than this are reduced to quantiles.
_MOST_CANDIDATES = 200


def candidates(
  videos: Sequence[spotting.Video], kind: str
) -> Float[np.ndarray, ' threshold']:
  """Thresholds worth trying: every score that occurs, and infinity.

  Args:
    videos: with predictions.
    kind: 'micro' or 'macro'.

  Returns:
    Ascending, at most 201 values.

  >>> found = [
  ...   spotting.Expression(intervals.Interval(0, 5, 9, 'micro', score))
  ...   for score in (3.0, 2.0)
  ... ]
  >>> video = spotting.Video('v1', 's1', 100, 50.0, found=tuple(found))
  >>> candidates([video], 'micro').tolist()
  [2.0, 3.0, inf]
  """
  scores = np.unique([
    item.interval.score
    for video in videos
    for item in video.found
    if item.interval.kind == kind
  ])  # fmt: skip
  if len(scores) > _MOST_CANDIDATES:
    shares = np.linspace(0, 1, _MOST_CANDIDATES)
    scores = np.unique(np.quantile(scores, shares, method='nearest'))
  # Scores are rounded in files; infinity finds nothing.
  return np.append(scores, np.inf)


def best(
  tallies: Float[np.ndarray, 'threshold subject 4'], known: np.ndarray
) -> int:
  """The threshold with the highest pooled F1; of ties, the strictest.

  Args:
    tallies: `spotting.tally` at each threshold, thresholds ascending.
    known: bool [subject]; the subjects that may be used for the choice.

  Returns:
    Index of the threshold.

  One subject: the higher threshold removes the false positive.

  >>> tallies = np.array([[[1.0, 1.0, 0.0, 2.0]], [[1.0, 0.0, 0.0, 2.0]]])
  >>> best(tallies, np.array([True]))
  1
  """
  f1 = spotting.rates(tallies[:, known].sum(axis=1))['f1']
  f1 = np.nan_to_num(f1, nan=0.0)
  return len(f1) - 1 - int(np.argmax(f1[::-1]))


def chosen(
  videos: Sequence[spotting.Video],
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
  """Chooses a threshold for each subject, and that of an oracle.

  Args:
    videos: with truth and predictions; every prediction has a score.

  Returns:
    Subject -> kind -> the threshold with the highest F1 on all other subjects;
    and the oracle's: kind -> the threshold with the highest F1 on all subjects,
    which is chosen on the test subjects and so is no fair result.

  Each video has one true interval, which is found with a high score, and a
  false positive with a low score.

  >>> def expression(onset, score=np.nan):
  ...   interval = intervals.Interval(onset, onset, onset + 9, 'micro', score)
  ...   return spotting.Expression(interval)
  >>> videos = [
  ...   spotting.Video(
  ...     name, name, 100, 50.0, (expression(0),),
  ...     (expression(0, score), expression(50, 1.0)),
  ...   )
  ...   for name, score in (('s1', 4.0), ('s2', 3.0))
  ... ]
  >>> each, oracle = chosen(videos)
  >>> each['s1']['micro'], each['s2']['micro'], oracle['micro']
  (3.0, 4.0, 3.0)
  """
  subjects = sorted({video.subject for video in videos})
  each: dict[str, dict[str, float]] = {subject: {} for subject in subjects}
  oracle: dict[str, float] = {}
  for kind in intervals.KINDS:
    values = candidates(videos, kind)
    tallies = np.stack([_tally(videos, kind, value) for value in values])
    everyone = np.ones(len(subjects), bool)
    oracle[kind] = float(values[best(tallies, everyone)])
    for row, subject in enumerate(subjects):
      others = everyone.copy()
      others[row] = False
      each[subject][kind] = float(values[best(tallies, others)])
  return each, oracle


def common(videos: Sequence[spotting.Video]) -> float:
  """Chooses one threshold for both kinds, with the best F1 of both together.

  It is chosen on these videos, so only use it for other videos.

  Args:
    videos: with truth and predictions; every prediction has a score.

  Returns:
    The threshold.

  Raises:
    UserError: no threshold gives a true positive.

  One true interval is found with score 3; one with score 1 is a false positive.

  >>> def expression(onset, score=np.nan):
  ...   interval = intervals.Interval(onset, onset, onset + 9, 'micro', score)
  ...   return spotting.Expression(interval)
  >>> found = (expression(0, 3.0), expression(50, 1.0))
  >>> common([spotting.Video('v1', 's1', 100, 50.0, (expression(0),), found)])
  3.0
  """
  values = np.unique(
    np.concatenate([candidates(videos, kind) for kind in intervals.KINDS])
  )
  tallies = np.stack([_tally(videos, spotting.BOTH, value) for value in values])
  chosen = values[best(tallies, np.ones(tallies.shape[1], bool))]
  if not np.isfinite(chosen):
    raise errors.UserError(
      'No threshold gives a true positive in these videos, so none can be'
      ' chosen. Train on more videos.'
    )
  return float(chosen)


def _tally(videos, kind, value) -> np.ndarray:
  limits = dict.fromkeys(intervals.KINDS, value)
  outcomes = [spotting.outcome(v.above(limits), kind) for v in videos]
  return spotting.tally(videos, outcomes)


def apply(
  videos: Sequence[spotting.Video],
  thresholds: Mapping[str, Mapping[str, float]],
) -> list[spotting.Video]:
  """Drops the predictions whose score is below a threshold.

  Args:
    videos: with predictions.
    thresholds: subject -> kind -> the lowest score that is kept.

  Returns:
    The same videos with the remaining predictions.

  >>> found = spotting.Expression(intervals.Interval(0, 5, 9, 'micro', 2.0))
  >>> video = spotting.Video('v1', 's1', 100, 50.0, found=(found,))
  >>> [video] = apply([video], {'s1': {'micro': 2.5, 'macro': 2.5}})
  >>> video.found
  ()
  """
  return [video.above(thresholds[video.subject]) for video in videos]
