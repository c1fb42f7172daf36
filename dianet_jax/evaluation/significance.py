"""Is one run better than another on the same clips?

Subjects are what is drawn: the clips of a subject are alike. The runs are
compared by the mean over seeds, all seeds of a subject together.
"""

from collections.abc import Mapping, Sequence
import dataclasses

from jaxtyping import Bool, Float64, Int
import numpy as np
from scipy import stats

from dianet_jax.core import errors
from dianet_jax.evaluation import metrics, predictions

# Differences this close are the same; sums are rounded in another order.
_TIE = 1e-12
# Of a permutation test.
_DRAWS = 10_000
# Confusion matrices of all random draws are held at once.
_MOST_BYTES = 4e9


@dataclasses.dataclass(frozen=True)
class McNemar:
  """Clips that one of two runs got right.

  Attributes:
    only_first: clips that the first run alone has right.
    only_second: clips that the second alone has right.
    p: how likely so uneven a split is were it the toss of a coin; two-sided.
  """

  only_first: int
  only_second: int
  p: float


def paired_interval(
  first: Int[np.ndarray, 'subject seed class_ class_'],
  second: Int[np.ndarray, 'subject seed class_ class_'],
) -> dict[str, tuple[float, float] | None]:
  """Bootstrap interval of 95 % of each metric's difference, first less second.

  Args:
    first: what `metrics.subject_confusions` returned for one run.
    second: for another, on the same clips.

  Returns:
    Metric -> (low, high), or None for a single subject.

  >>> right, wrong = np.eye(2, dtype=int), np.eye(2, dtype=int)[::-1]
  >>> always, never = np.array([[right]] * 5), np.array([[wrong]] * 5)
  >>> paired_interval(always, never)['accuracy']
  (1.0, 1.0)
  """
  if len(first) < 2:
    return dict.fromkeys(metrics.METRICS)
  draws = metrics.resample(first), metrics.resample(second)
  return {
    name: tuple(
      np.quantile(draws[0][name] - draws[1][name], metrics.TAILS).tolist()
    )
    for name in metrics.METRICS
  }


def permutation_test(
  first: Int[np.ndarray, 'subject seed class_ class_'],
  second: Int[np.ndarray, 'subject seed class_ class_'],
  draws: int = _DRAWS,
) -> dict[str, float]:
  """p-value of each metric's difference, two-sided.

  Were the runs equally good, the predictions for a subject might as well have
  been the other run's. So they are swapped, for a random half of the subjects,
  all seeds together; p is the share of swaps with a difference at least as
  large as the real one. Where all swaps are no more than `draws`, they are
  gone through, and p is exact.

  Args:
    first: what `metrics.subject_confusions` returned for one run.
    second: for another, on the same clips, with as many seeds.
    draws: number of random swaps.

  Returns:
    Metric -> p. A random p is at least 1 / (draws + 1).

  All swaps are gone through here, and two of 32 differ as much as the real one.

  >>> right, wrong = np.eye(2, dtype=int), np.eye(2, dtype=int)[::-1]
  >>> always, never = np.array([[right]] * 5), np.array([[wrong]] * 5)
  >>> permutation_test(always, never)['accuracy']
  0.0625
  """
  change = second - first
  # Swapping equals changes nothing: fewer swaps may be all there are.
  change = change[change.any(axis=(1, 2, 3))]
  number = len(change)
  exact = 2**number <= draws
  if exact:
    swaps = np.arange(2**number)[:, None] >> np.arange(number) & 1
  else:
    swaps = np.random.default_rng(0).integers(0, 2, (draws, number))
    swaps = np.concatenate([np.zeros((1, number), int), swaps])
  moved = np.tensordot(swaps, change, axes=1)
  swapped_first = metrics.over_seeds(first.sum(axis=0) + moved)
  swapped_second = metrics.over_seeds(second.sum(axis=0) - moved)
  p_values = {}
  for name in metrics.METRICS:
    # The first swap is none; it counts, so that p is never 0.
    sizes = np.abs(swapped_first[name] - swapped_second[name])
    p_values[name] = float(np.mean(sizes >= sizes[0] - _TIE))
  return p_values


def mcnemar(
  first_right: Bool[np.ndarray, ' clip'],
  second_right: Bool[np.ndarray, ' clip'],
) -> McNemar:
  """McNemar's exact test; it takes the clips for independent.

  Source: McNemar, "Note on the sampling error of the difference between
  correlated proportions or percentages", Psychometrika 12 (1947); exact
  binomial in place of chi squared.

  >>> mcnemar(np.array([True] * 6), np.array([False] * 6))
  McNemar(only_first=6, only_second=0, p=0.03125)
  """
  only_first = int(np.sum(first_right & ~second_right))
  only_second = int(np.sum(second_right & ~first_right))
  both = only_first + only_second
  p = float(stats.binomtest(only_first, both).pvalue) if both else 1.0
  return McNemar(only_first, only_second, p)


def holm(p_values: Sequence[float]) -> Float64[np.ndarray, ' comparison']:
  """p-values adjusted for their number, in the same order.

  Source: Holm, "A simple sequentially rejective multiple test procedure",
  Scandinavian Journal of Statistics 6 (1979).

  >>> holm([0.04, 0.01]).tolist()
  [0.04, 0.02]
  """
  values = np.asarray(p_values, float)
  order = np.argsort(values)
  steps = values[order] * np.arange(len(values), 0, -1)
  adjusted = np.empty_like(values)
  adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
  return adjusted


@dataclasses.dataclass(frozen=True)
class Difference:
  """A metric of one run less that of another.

  Attributes:
    value: the difference of the means over seeds.
    interval: of 95 %, subjects resampled; None for a single subject.
    p: two-sided, by swapping the runs' predictions of random subjects.
    p_holm: p adjusted for the number of comparisons made of this metric.
  """

  value: float
  interval: tuple[float, float] | None
  p: float
  p_holm: float


@dataclasses.dataclass(frozen=True)
class Differences:
  """One run against another on the same clips.

  Attributes:
    metrics: key of `metrics.METRICS` -> its difference.
    mcnemar: clips that one alone has right, each run's seeds taken as one
      ensemble: the class with the highest mean probability. `metrics` are
      means over single seeds.
    mcnemar_p_holm: its p adjusted for the number of comparisons made.
    seeds: of each run that were compared.
  """

  metrics: dict[str, Difference]
  mcnemar: McNemar
  mcnemar_p_holm: float
  seeds: int


def check_size(runs: Mapping[str, predictions.Predictions]) -> None:
  """Refuses runs whose tests would fill the memory.

  Raises:
    errors.UserError: too many classes and seeds.
  """
  for name, run in runs.items():
    size = 8 * _DRAWS * len(run.seeds) * len(run.classes) ** 2
    if size > _MOST_BYTES:
      raise errors.UserError(
        f'{name}: {len(run.classes)} classes and {len(run.seeds)} seeds are too'
        f' many to compare: the confusion matrices of {_DRAWS:,} random draws'
        f' would fill {size / 1e9:.0f} GB, and {_MOST_BYTES / 1e9:.0f} are'
        ' allowed.'
      )


def _right(run: predictions.Predictions, seeds: int) -> np.ndarray:
  """Whether the ensemble of the first `seeds` seeds is right, bool [clip].

  It predicts the class with the highest mean probability.
  """
  if seeds == 1:
    return run.predictions[0] == run.truth
  mean = run.probabilities[:seeds].mean(axis=0)
  return mean.argmax(axis=-1) == run.truth


def differences(
  a: predictions.Predictions, b: predictions.Predictions
) -> Differences:
  """`a` less `b`; with unequal numbers of seeds, the first ones of the longer.

  Args:
    a: a run.
    b: another, on the same clips.

  Raises:
    errors.UserError: the clips, their truth or their subjects differ.

  Two subjects, one clip of each class; `a` is right, `b` always says 0.

  >>> def run(predicted):
  ...   return predictions.Predictions(
  ...     seeds=(0,),
  ...     clips=tuple(('casme2', clip) for clip in '1234'),
  ...     subjects=np.array(['s1', 's1', 's2', 's2']),
  ...     datasets=np.array(['casme2'] * 4),
  ...     classes=('happy', 'sad'),
  ...     truth=np.array([0, 1, 0, 1]),
  ...     predictions=np.array([predicted]),
  ...     probabilities=np.eye(2)[np.array([predicted])],
  ...   )
  >>> found = differences(run([0, 1, 0, 1]), run([0, 0, 0, 0]))
  >>> found.metrics['accuracy'].value
  0.5
  """
  runs, _ = predictions.align({'the first run': a, 'the second run': b})
  a, b = runs.values()
  seeds = min(len(a.seeds), len(b.seeds))
  first, second = (
    metrics.subject_confusions(
      run.truth, run.predictions[:seeds], run.subjects, len(run.classes)
    )
    for run in (a, b)
  )
  values = [metrics.over_seeds(part.sum(axis=0)) for part in (first, second)]
  interval = paired_interval(first, second)
  p_values = permutation_test(first, second)
  split = mcnemar(_right(a, seeds), _right(b, seeds))
  return Differences(
    metrics={
      name: Difference(
        value=float(values[0][name] - values[1][name]),
        interval=interval[name],
        p=p_values[name],
        p_holm=p_values[name],
      )
      for name in metrics.METRICS
    },
    mcnemar=split,
    mcnemar_p_holm=split.p,
    seeds=seeds,
  )


def adjust(found: Sequence[Differences]) -> list[Differences]:
  """Holm's adjustment, over the pairs of runs, of each metric by itself."""
  adjusted = {
    name: holm([pair.metrics[name].p for pair in found])
    for name in metrics.METRICS
  }
  mcnemar = holm([pair.mcnemar.p for pair in found])
  return [
    dataclasses.replace(
      pair,
      metrics={
        name: dataclasses.replace(value, p_holm=float(adjusted[name][index]))
        for name, value in pair.metrics.items()
      },
      mcnemar_p_holm=float(mcnemar[index]),
    )
    for index, pair in enumerate(found)
  ]
