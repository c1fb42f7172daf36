"""Pooled metrics: one confusion matrix over all folds, everything from it.

Averaging F1 over folds instead gives other numbers (.666 against .739 on the
same run; Varanka et al., arXiv 2211.11425).

A metric of a run is its mean over seeds. Its interval resamples subjects, not
clips: the clips of a subject are alike, and so are a clip's seeds.
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
    Integers [true class, predicted class], adding up to the clips.

  >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
  [[1, 1], [0, 1]]
  """
  index = np.asarray(truth) * num_classes + np.asarray(prediction)
  counts = np.bincount(index, minlength=num_classes**2)
  return counts.reshape(num_classes, num_classes)


def f1_per_class(
  confusion: Int[np.ndarray, '*batch class_ class_'],
) -> Float64[np.ndarray, '*batch class_']:
  """2 TP / (2 TP + FP + FN); NaN for a class never seen nor predicted.

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
  """TP / (TP + FN); NaN for a class without clips.

  >>> recall_per_class(np.array([[1, 1], [0, 1]])).tolist()
  [0.5, 1.0]
  """
  true_positives = np.diagonal(confusion, axis1=-2, axis2=-1)
  with np.errstate(invalid='ignore'):
    return true_positives / confusion.sum(axis=-1)


def uf1(confusion: Int[np.ndarray, '*batch class_ class_']) -> np.ndarray:
  """Unweighted F1, [*batch]: the mean over classes that occur.

  >>> round(float(uf1(np.array([[1, 1], [0, 1]]))), 3)
  0.667

  Source: See et al., "MEGC 2019", FG 2019.
  """
  return np.nanmean(f1_per_class(confusion), axis=-1)


def uar(confusion: Int[np.ndarray, '*batch class_ class_']) -> np.ndarray:
  """Unweighted average recall, [*batch]: the mean over classes with clips.

  >>> float(uar(np.array([[1, 1], [0, 1]])))
  0.75
  """
  return np.nanmean(recall_per_class(confusion), axis=-1)


def accuracy(confusion: Int[np.ndarray, '*batch class_ class_']) -> np.ndarray:
  """Share of clips on the diagonal, [*batch].

  >>> float(accuracy(np.array([[1, 1], [0, 2]])))
  0.75
  """
  return np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))


@dataclasses.dataclass(frozen=True)
class Metric:
  """One row of a table of metrics; it is called as its function.

  Attributes:
    label: what tables call it.
    function: confusion matrices [*batch, class, class] -> values [*batch], or
      [*batch, class] in `PER_CLASS`.
  """

  label: str
  function: Callable[[np.ndarray], np.ndarray]

  def __call__(self, confusion: np.ndarray) -> np.ndarray:
    """The values, see `function`."""
    return self.function(confusion)


# Key in metrics.json and in the CSV of `compare` -> the metric. Everything
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

# Ends of an interval of 95 %.
TAILS = (0.025, 0.975)


def over_seeds(
  confusions: Int[np.ndarray, '*batch seed class_ class_'],
) -> dict[str, np.ndarray]:
  """Metric -> its mean over seeds, [*batch].

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
  """Confusion matrices of the subjects, in the order of their sorted names.

  They add up to the pooled ones, so a draw of subjects is a sum of them.

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
  """How often a bootstrap draw takes each subject; as many as there are.

  The generator is fixed, so two runs on the same subjects meet the same draws:
  their differences are paired.

  >>> set(subject_draws(3).sum(axis=1).tolist())
  {3}
  """
  rng = np.random.default_rng(0)
  return rng.multinomial(subjects, np.full(subjects, 1 / subjects), draws)


def resample(
  confusions: Int[np.ndarray, 'subject seed class_ class_'],
  draws: int = 2000,
) -> dict[str, Float64[np.ndarray, ' draw']]:
  """Bootstrap of subjects: each metric's mean over seeds, for each draw.

  A draw takes as many subjects as there are, with replacement, and all clips
  of each in all seeds. UAR drops a class without clips in the draw. UF1 drops a
  class only if it is neither present nor predicted; predicted but absent counts
  as F1 = 0. Draws are those of `subject_draws`.

  Args:
    confusions: what `subject_confusions` returned.
    draws: number of draws.

  Returns:
    Metric -> its values.

  >>> of_two = subject_confusions([0, 1], np.array([[0, 0]]), ['s1', 's2'], 2)
  >>> sorted(set(resample(of_two)['accuracy'].tolist()))
  [0.0, 0.5, 1.0]
  """
  times_drawn = subject_draws(len(confusions), draws)
  return over_seeds(np.tensordot(times_drawn, confusions, axes=1))


def bootstrap_interval(
  confusions: Int[np.ndarray, 'subject seed class_ class_'],
) -> dict[str, tuple[float, float] | None]:
  """Subject-level percentile interval of 95 % of each metric's mean over seeds.

  Args:
    confusions: what `subject_confusions` returned.

  Returns:
    Metric -> (low, high), or None for a single subject, which says nothing of
    others. With a dozen subjects or fewer the interval is too narrow.

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
  """Where each metric would lie had the predictions nothing to do with truth.

  The predictions are kept and the truth is shuffled, so class frequencies on
  both sides stay what they are. All seeds meet the same shuffle: they predict
  alike, and their mean varies as one of them does. Clips are shuffled one by
  one: it takes them for independent, and is too narrow where the clips of a
  subject are alike.

  Args:
    truth: class index of each clip.
    predictions: predicted class index of each clip, for each seed.
    num_classes: how many classes there are.
    draws: number of shuffles.

  Returns:
    Metric -> (low, high) of its mean over seeds, 95 % of the draws.

  >>> truth, same = np.arange(40) % 2, np.ones((1, 40), int)
  >>> chance_interval(truth, same, 2)['uar']  # one class is all it ever says
  (0.5, 0.5)
  """
  rng = np.random.default_rng(0)
  shuffled = np.stack([rng.permutation(truth) for _ in range(draws)])
  shape = (draws, len(predictions), num_classes, num_classes)
  # A seed at a time: memory stays that of draws x clips.
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
  """Metrics of one set of clips over seeds, ready for JSON.

  Args:
    truth: class index of each clip.
    predictions: predicted class index of each clip, for each seed.
    classes: class names.
    subjects: subject of each clip.

  Returns:
    n, per-class counts, and for each row of `METRICS`: the value of each seed,
    their mean, standard deviation (None for one seed), the mean's bootstrap
    interval (None for one subject) and its chance interval; for each row of
    `PER_CLASS`, as `<key>_per_class`, the means over seeds (None for a class
    without clips); the confusion matrix of each seed.

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
  """What each row of `PER_CLASS` says of a class, three digits or 'none'.

  >>> summary = {'f1_per_class': {'a': 0.5}, 'recall_per_class': {'a': None}}
  >>> texts_of(summary, 'a')
  ['0.500', 'none']
  """
  values = (summary[f'{key}_per_class'][class_] for key in PER_CLASS)
  return ['none' if value is None else f'{value:.3f}' for value in values]
