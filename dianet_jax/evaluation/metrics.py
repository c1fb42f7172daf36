"""Pooled metrics: one confusion matrix over all folds, everything from it.

Averaging the F1 scores of single folds gives different numbers (.666 against
.739 on the same run; Varanka et al., arXiv 2211.11425).

A metric of a run is its mean over seeds. Its interval resamples subjects, not
clips: the clips of one subject are correlated, and so are the seeds of a clip.
"""

from collections.abc import Callable, Sequence
import dataclasses

from jaxtyping import Float64, Int
import numpy as np


def confusion_matrix(
  truth: Int[np.ndarray, ' clip'],
  prediction: Int[np.ndarray, ' clip'],
  num_classes: int,
) -> Int[np.ndarray, 'class_ class_']:
  """Counts [true class, predicted class].

  Args:
    truth: class index of each clip.
    prediction: predicted class index of each clip.
    num_classes: how many classes there are.

  Returns:
    Integer counts [true class, predicted class]; their sum is the number of
    clips.

  >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
  [[1, 1], [0, 1]]
  """
  index = np.asarray(truth) * num_classes + np.asarray(prediction)
  counts = np.bincount(index, minlength=num_classes**2)
  return counts.reshape(num_classes, num_classes)


def f1_per_class(
  confusion: Int[np.ndarray, '*batch class_ class_'],
) -> Float64[np.ndarray, '*batch class_']:
  """F1 score of each class: 2 TP / (2 TP + FP + FN).

  Args:
    confusion: counts [true class, predicted class], with any leading axes.

  Returns:
    0..1; NaN for a class that is neither present nor predicted.

  >>> f1_per_class(np.array([[1, 1], [0, 1]])).round(3).tolist()
  [0.667, 0.667]
  """
  true_positives = np.diagonal(confusion, axis1=-2, axis2=-1)
  both = confusion.sum(axis=-1) + confusion.sum(axis=-2)
  with np.errstate(invalid='ignore'):
    return 2 * true_positives / both


def recall_per_class(
  confusion: Int[np.ndarray, '*batch class_ class_'],
) -> Float64[np.ndarray, '*batch class_']:
  """Recall of each class: TP / (TP + FN).

  Args:
    confusion: counts [true class, predicted class], with any leading axes.

  Returns:
    0..1; NaN for a class without clips.

  >>> recall_per_class(np.array([[1, 1], [0, 1]])).tolist()
  [0.5, 1.0]
  """
  true_positives = np.diagonal(confusion, axis1=-2, axis2=-1)
  with np.errstate(invalid='ignore'):
    return true_positives / confusion.sum(axis=-1)


def uf1(confusion: Int[np.ndarray, '*batch class_ class_']) -> np.ndarray:
  """Unweighted F1: the mean F1 of the classes that are present or predicted.

  Args:
    confusion: counts [true class, predicted class], with any leading axes.

  Returns:
    Float64 [*batch], 0..1.

  >>> round(float(uf1(np.array([[1, 1], [0, 1]]))), 3)
  0.667

  Source: See et al., "MEGC 2019", FG 2019.
  """
  return np.nanmean(f1_per_class(confusion), axis=-1)


def uar(confusion: Int[np.ndarray, '*batch class_ class_']) -> np.ndarray:
  """Unweighted average recall: the mean over classes with clips.

  Args:
    confusion: counts [true class, predicted class], with any leading axes.

  Returns:
    Float64 [*batch], 0..1.

  >>> float(uar(np.array([[1, 1], [0, 1]])))
  0.75
  """
  return np.nanmean(recall_per_class(confusion), axis=-1)


def accuracy(confusion: Int[np.ndarray, '*batch class_ class_']) -> np.ndarray:
  """Share of clips that were classified correctly.

  Args:
    confusion: counts [true class, predicted class], with any leading axes.

  Returns:
    Float64 [*batch], 0..1.

  >>> float(accuracy(np.array([[1, 1], [0, 2]])))
  0.75
  """
  return np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))


@dataclasses.dataclass(frozen=True)
class Metric:
  """One row of a table of metrics; calling it calls its function.

  Attributes:
    label: its name in tables.
    function: confusion matrices [*batch, class, class] -> values [*batch], or
      [*batch, class] in `PER_CLASS`.
  """

  label: str
  function: Callable[[np.ndarray], np.ndarray]

  def __call__(self, confusion: np.ndarray) -> np.ndarray:
    """The values, see `function`."""
    return self.function(confusion)


# Key in metrics.json and in the CSV file of `compare` -> the metric. All code
# that computes, compares or shows metrics loops over these rows.
METRICS = {
  'accuracy': Metric('accuracy', accuracy),
  'uf1': Metric('UF1', uf1),
  'uar': Metric('UAR', uar),
}
PER_CLASS = {
  'f1': Metric('F1', f1_per_class),
  'recall': Metric('recall', recall_per_class),
}
# The metric whose chance interval has a column of its own.
MAIN = 'uf1'

# Quantiles that bound an interval of 95 %.
TAILS = (0.025, 0.975)


def over_seeds(
  confusions: Int[np.ndarray, '*batch seed class_ class_'],
) -> dict[str, np.ndarray]:
  """The mean over seeds of every metric.

  Args:
    confusions: one confusion matrix per seed, with any leading axes.

  Returns:
    Key of `METRICS` -> float64 [*batch].

  >>> found = over_seeds(np.array([[[2, 0], [0, 2]], [[1, 1], [1, 1]]]))
  >>> float(found['accuracy'])
  0.75
  """
  return {
    name: metric(confusions).mean(axis=-1) for name, metric in METRICS.items()
  }


def subject_confusions(
  truth: Int[np.ndarray, ' clip'],
  predictions: Int[np.ndarray, 'seed clip'],
  subjects: Sequence[str] | np.ndarray,
  num_classes: int,
) -> Int[np.ndarray, 'subject seed class_ class_']:
  """One confusion matrix per subject and seed; subjects in sorted order.

  Their sum over subjects is the pooled matrix, so the matrix of a bootstrap
  draw of subjects is a weighted sum of them.

  Args:
    truth: class index of each clip.
    predictions: predicted class index of each clip, for each seed.
    subjects: subject of each clip.
    num_classes: how many classes there are.

  Returns:
    Integers [subject, seed, true class, predicted class].

  >>> truth, predictions = np.array([0, 1, 1]), np.array([[0, 1, 0]])
  >>> found = subject_confusions(truth, predictions, ['s2', 's1', 's2'], 2)
  >>> found[:, 0].tolist()
  [[[0, 0], [0, 1]], [[1, 0], [1, 0]]]
  """
  names, subject = np.unique(np.asarray(subjects), return_inverse=True)
  shape = (len(names), len(predictions), num_classes, num_classes)
  seed = np.arange(len(predictions))[:, None]
  index = np.ravel_multi_index((subject, seed, truth, predictions), shape)
  counts = np.bincount(index.ravel(), minlength=int(np.prod(shape)))
  return counts.reshape(shape)


def subject_draws(
  subjects: int, draws: int = 2000
) -> Int[np.ndarray, 'draw subject']:
  """How often each bootstrap draw takes each subject.

  The random generator has a fixed seed, so two runs on the same subjects are
  evaluated on the same draws and their differences are paired.

  Args:
    subjects: how many subjects there are; each draw takes as many.
    draws: number of draws.

  Returns:
    Counts; each row adds up to `subjects`.

  >>> set(subject_draws(3).sum(axis=1).tolist())
  {3}
  """
  rng = np.random.default_rng(0)
  return rng.multinomial(subjects, np.full(subjects, 1 / subjects), draws)


def resample(
  confusions: Int[np.ndarray, 'subject seed class_ class_'],
  draws: int = 2000,
) -> dict[str, Float64[np.ndarray, ' draw']]:
  """Bootstraps subjects: each metric's mean over seeds, for each draw.

  A draw takes as many subjects as there are, with replacement, and all clips
  and seeds of each. UAR drops a class without clips in the draw. UF1 drops a
  class only if it is neither present nor predicted; predicted but absent counts
  as F1 = 0. The draws are those of `subject_draws`.

  Args:
    confusions: what `subject_confusions` returned.
    draws: number of draws.

  Returns:
    Key of `METRICS` -> its values.

  >>> of_two = subject_confusions([0, 1], np.array([[0, 0]]), ['s1', 's2'], 2)
  >>> sorted(set(resample(of_two)['accuracy'].tolist()))
  [0.0, 0.5, 1.0]
  """
  times_drawn = subject_draws(len(confusions), draws)
  return over_seeds(np.tensordot(times_drawn, confusions, axes=1))


def bootstrap_interval(
  confusions: Int[np.ndarray, 'subject seed class_ class_'],
) -> dict[str, tuple[float, float] | None]:
  """95 % percentile interval of each metric's mean over seeds, by subjects.

  Args:
    confusions: what `subject_confusions` returned.

  Returns:
    Key of `METRICS` -> (low, high); None for a single subject, whose clips
    show no variation between subjects. With a dozen subjects or fewer the
    interval is too narrow.

  >>> of_two = subject_confusions([0, 1], np.array([[0, 0]]), ['s1', 's2'], 2)
  >>> bootstrap_interval(of_two)['accuracy']
  (0.0, 1.0)
  >>> bootstrap_interval(of_two[:1])['accuracy'] is None
  True
  """
  if len(confusions) < 2:
    return dict.fromkeys(METRICS)
  return {
    name: tuple(np.quantile(values, TAILS).tolist())
    for name, values in resample(confusions).items()
  }


def chance_interval(
  truth: Int[np.ndarray, ' clip'],
  predictions: Int[np.ndarray, 'seed clip'],
  num_classes: int,
  draws: int = 2000,
) -> dict[str, tuple[float, float]]:
  """Range of each metric if predictions were independent of the truth.

  The predictions are kept and the truth is shuffled, so both keep their class
  frequencies. All seeds see the same shuffle, because their predictions are
  correlated and their mean varies about as much as one of them. Single clips
  are shuffled, as if they were independent: the interval is too narrow where
  the clips of a subject are correlated.

  Args:
    truth: class index of each clip.
    predictions: predicted class index of each clip, for each seed.
    num_classes: how many classes there are.
    draws: number of shuffles.

  Returns:
    Key of `METRICS` -> (low, high) of its mean over seeds, 95 % of the draws.

  >>> truth, same = np.arange(40) % 2, np.ones((1, 40), int)
  >>> chance_interval(truth, same, 2)['uar']  # always the same prediction
  (0.5, 0.5)
  """
  rng = np.random.default_rng(0)
  shuffled = np.stack([rng.permutation(truth) for _ in range(draws)])
  shape = (draws, len(predictions), num_classes, num_classes)
  # One seed at a time, so that memory grows with draws x clips only.
  confusions = np.empty(shape, int)
  first = np.arange(draws)[:, None] * num_classes**2
  for seed, prediction in enumerate(predictions):
    index = first + shuffled * num_classes + prediction
    counts = np.bincount(index.ravel(), minlength=draws * num_classes**2)
    confusions[:, seed] = counts.reshape(draws, num_classes, num_classes)
  return {
    name: tuple(np.quantile(values, TAILS).tolist())
    for name, values in over_seeds(confusions).items()
  }


def summarise(
  truth: Int[np.ndarray, ' clip'],
  predictions: Int[np.ndarray, 'seed clip'],
  classes: Sequence[str],
  subjects: Sequence[str] | np.ndarray,
) -> dict:
  """Metrics of one set of clips over seeds, as values that JSON can hold.

  Args:
    truth: class index of each clip.
    predictions: predicted class index of each clip, for each seed.
    classes: class names.
    subjects: subject of each clip.

  Returns:
    `n`; `clips_per_class`; for each key of `METRICS` a dict of `seeds` (the
    value of each seed), `mean`, `std` (None for one seed), `interval_95` (the
    bootstrap interval of the mean; None for one subject) and `chance_95`; for
    each key of `PER_CLASS`, as `<key>_per_class`, the means over seeds (None
    for a class without clips); `confusion`, the matrix of each seed.

  >>> found = summarise(
  ...   [0, 1, 1], np.array([[0, 1, 0]]), ['a', 'b'], ['s1', 's1', 's2']
  ... )
  >>> found['n'], found['clips_per_class'], found['uar']['mean']
  (3, {'a': 1, 'b': 2}, 0.75)
  """
  by_subject = subject_confusions(truth, predictions, subjects, len(classes))
  confusions = by_subject.sum(axis=0)
  interval = bootstrap_interval(by_subject)
  chance = chance_interval(truth, predictions, len(classes))
  summary = {
    'n': len(truth),
    'clips_per_class': dict(zip(classes, confusions[0].sum(axis=1).tolist())),
  }
  for name, metric in METRICS.items():
    values, ends = metric(confusions), interval[name]
    summary[name] = {
      'mean': float(values.mean()),
      'std': float(values.std(ddof=1)) if len(values) > 1 else None,
      'seeds': values.tolist(),
      'interval_95': None if ends is None else list(ends),
      'chance_95': list(chance[name]),
    }
  for key, metric in PER_CLASS.items():
    summary[f'{key}_per_class'] = {
      name: None if np.isnan(value) else float(value)
      for name, value in zip(classes, metric(confusions).mean(axis=0))
    }
  summary['confusion'] = confusions.tolist()
  return summary


def texts_of(summary: dict, class_: str) -> list[str]:
  """The metrics of one class, as of `PER_CLASS`, with three digits or 'none'.

  >>> summary = {'f1_per_class': {'a': 0.5}, 'recall_per_class': {'a': None}}
  >>> texts_of(summary, 'a')
  ['0.500', 'none']
  """
  values = (summary[f'{key}_per_class'][class_] for key in PER_CLASS)
  return ['none' if value is None else f'{value:.3f}' for value in values]
