"""Thresholds of a spotter's scores, chosen without the subjects they judge."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
import numpy as np

from dianet_jax.clips import intervals
from dianet_jax.evaluation import spotting

# More candidates than this are thinned out by quantiles.
_MOST_CANDIDATES = 200


def candidates(
  videos: Sequence[spotting.Video], kind: str
) -> Float[np.ndarray, ' threshold']:
  """The scores of what was found, ascending, and one above them all."""
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
  """The threshold of the greatest pooled F1, the strictest of several.

  Args:
    tallies: see `spotting.tally`.
    known: bool [subject]; of which the threshold is chosen.
  """
  f1 = spotting.rates(tallies[:, known].sum(axis=1))['f1']
  f1 = np.nan_to_num(f1, nan=0.0)
  return len(f1) - 1 - int(np.argmax(f1[::-1]))


def chosen(
  videos: Sequence[spotting.Video],
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
  """The thresholds of each subject, and those of an oracle.

  Args:
    videos: with truth and predictions; every prediction has a score.

  Returns:
    Subject -> kind -> the threshold with the best F1 on all other subjects; and
    kind -> the one with the best on all, which has seen what it is judged by.
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


def _tally(videos, kind, value) -> np.ndarray:
  limits = dict.fromkeys(intervals.KINDS, value)
  outcomes = [spotting.outcome(v.above(limits), kind) for v in videos]
  return spotting.tally(videos, outcomes)


def apply(
  videos: Sequence[spotting.Video],
  thresholds: Mapping[str, Mapping[str, float]],
) -> list[spotting.Video]:
  """What is left of the predictions.

  Args:
    videos: with predictions.
    thresholds: subject -> kind -> the least score.
  """
  return [video.above(thresholds[video.subject]) for video in videos]
