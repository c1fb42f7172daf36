"""Is one run better than another on the same clips?

Resampling draws subjects, because the clips of one subject are correlated. Runs
are compared by the mean over seeds; all seeds of a subject are drawn together.
"""

from collections.abc import Mapping, Sequence
import dataclasses

from jaxtyping import Bool, Float64, Int
import numpy as np
from scipy import stats

from dianet_jax.core import errors
from dianet_jax.evaluation import metrics, predictions

# Differences this close are ties: sums in another order are rounded otherwise.
_TIE = 1e-12
# Random permutations of a test.
_DRAWS = 10_000
# Memory limit: the confusion matrices of all random draws exist at once.
_MOST_BYTES = 4e9


@dataclasses.dataclass(frozen=True)
class McNemar:
  """McNemar's test on the clips that only one of two runs classifies correctly.

  Attributes:
    only_first: number of clips that only the first run has right.
    only_second: number of clips that only the second run has right.
    p: two-sided p-value; by the null hypothesis both are equally likely.
  """

  only_first: int
  only_second: int
  p: float


def paired_interval(
  first: Int[np.ndarray, 'subject seed class_ class_'],
  second: Int[np.ndarray, 'subject seed class_ class_'],
) -> dict[str, tuple[float, float] | None]:
  """95 % bootstrap interval of each metric's difference, first minus second.

  Args:
    first: what `metrics.subject_confusions` returned for one run.
    second: the same for another run on the same clips.

  Returns:
    Key of `metrics.METRICS` -> (low, high), or None for a single subject.

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
  """Two-sided permutation test of each metric's difference.

  If the runs were equally good, their predictions for a subject could be
  swapped. So each random permutation swaps the predictions, of all seeds, for
  a random half of the subjects; p is the share of permutations with a
  difference at least as large as the observed one. If there are at most `draws`
  permutations, all are evaluated and p is exact.

  Args:
    first: what `metrics.subject_confusions` returned for one run.
    second: the same for another run on the same clips, with as many seeds.
    draws: number of random permutations.

  Returns:
    Key of `metrics.METRICS` -> p. With random permutations it is at least
    1 / (draws + 1).

  Of the 32 permutations here, two differ as much as the observed difference.

  >>> right, wrong = np.eye(2, dtype=int), np.eye(2, dtype=int)[::-1]
  >>> always, never = np.array([[right]] * 5), np.array([[wrong]] * 5)
  >>> permutation_test(always, never)['accuracy']
  0.0625
  """
  change = second - first
  # Swapping equal predictions changes nothing. Without such subjects there may
  # be few enough permutations to evaluate all.
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
    # The first permutation swaps nothing; it counts, so that p is never 0.
    sizes = np.abs(swapped_first[name] - swapped_second[name])
    p_values[name] = float(np.mean(sizes >= sizes[0] - _TIE))
  return p_values


def mcnemar(
  first_right: Bool[np.ndarray, ' clip'],
  second_right: Bool[np.ndarray, ' clip'],
) -> McNemar:
  """McNemar's exact test; it assumes that clips are independent.

  Args:
    first_right: whether the first run classifies each clip correctly.
    second_right: the same of the second run.

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
  """Holm's adjustment of p-values for their number.

  Args:
    p_values: of several comparisons, in any order.

  Returns:
    Adjusted p-values in the same order, at most 1.

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
  """The difference of one metric between two runs, first minus second.

  Attributes:
    value: difference of the means over seeds.
    interval: 95 % interval over resampled subjects; None for a single subject.
    p: two-sided p-value of `permutation_test`.
    p_holm: p adjusted for the number of comparisons of this metric.
  """

  value: float
  interval: tuple[float, float] | None
  p: float
  p_holm: float


@dataclasses.dataclass(frozen=True)
class Differences:
  """The comparison of two runs on the same clips.

  Attributes:
    metrics: key of `metrics.METRICS` -> its difference, of means over seeds.
    mcnemar: McNemar's test of the ensembles of seeds, which predict the class
      with the highest mean probability.
    mcnemar_p_holm: its p adjusted for the number of comparisons.
    seeds: how many seeds of each run were compared.
  """

  metrics: dict[str, Difference]
  mcnemar: McNemar
  mcnemar_p_holm: float
  seeds: int


def check_size(runs: Mapping[str, predictions.Predictions]) -> None:
  """Refuses runs whose tests would need too much memory.

  Args:
    runs: name -> run.

  Raises:
    UserError: a run has too many classes and seeds.

  >>> run = predictions.Predictions(
  ...   (0,), (('lab', 'c1'),), np.array(['s1']), np.array(['lab']),
  ...   tuple(map(str, range(400))), np.array([0]), np.array([[0]]),
  ...   np.eye(400)[None, :1],
  ... )
  >>> check_size({'a': run})  # doctest: +ELLIPSIS
  Traceback (most recent call last):
    ...
  dianet_jax.core.errors.UserError: a: 400 classes and 1 seeds are too many ...
  """
  for name, run in runs.items():
    size = 8 * _DRAWS * len(run.seeds) * len(run.classes) ** 2
    if size > _MOST_BYTES:
      raise errors.UserError(
        f'{name}: {len(run.classes)} classes and {len(run.seeds)} seeds are too'
        f' many to compare: the confusion matrices of {_DRAWS:,} random draws'
        f' would need {size / 1e9:.0f} GB of memory, and'
        f' {_MOST_BYTES / 1e9:.0f} are allowed.'
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
  """Compares two runs, `a` minus `b`.

  Args:
    a: a run.
    b: another run on the same clips. With unequal numbers of seeds, the first
      ones of the longer run are used.

  Returns:
    The differences; p-values are not adjusted yet, see `adjust`.

  Raises:
    UserError: the clips, their truth or their subjects differ.

  Two subjects, one clip of each class; `a` is right, `b` always predicts 0.

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
  """Applies Holm's adjustment over pairs of runs, for each metric separately.

  Args:
    found: what `differences` returned for each pair.

  Returns:
    The same with adjusted `p_holm` and `mcnemar_p_holm`.

  >>> def pair(p):
  ...   values = {name: Difference(0.1, None, p, p) for name in metrics.METRICS}
  ...   return Differences(values, McNemar(6, 0, p), p, seeds=1)
  >>> [found.mcnemar_p_holm for found in adjust([pair(0.04), pair(0.01)])]
  [0.04, 0.02]
  """
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
