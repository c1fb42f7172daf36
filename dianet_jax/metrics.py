"""Pooled metrics: one confusion matrix over all folds, everything from it.

Averaging F1 over folds instead gives other numbers (.666 against .739 on the
same run; Varanka et al., arXiv 2211.11425).
"""

from collections.abc import Sequence

from jaxtyping import Float64, Int
import numpy as np


def confusion_matrix(
  truth: Int[np.ndarray, ' clip'],
  prediction: Int[np.ndarray, ' clip'],
  num_classes: int,
) -> Int[np.ndarray, 'class_ class_']:
  """Counts [true class, predicted class]."""
  index = np.asarray(truth) * num_classes + np.asarray(prediction)
  counts = np.bincount(index, minlength=num_classes**2)
  return counts.reshape(num_classes, num_classes)


def f1_per_class(
  confusion: Int[np.ndarray, '*batch class_ class_'],
) -> Float64[np.ndarray, '*batch class_']:
  """2 TP / (2 TP + FP + FN); NaN for a class never seen nor predicted."""
  true_positives = np.diagonal(confusion, axis1=-2, axis2=-1)
  both = confusion.sum(axis=-1) + confusion.sum(axis=-2)
  with np.errstate(invalid='ignore'):
    return 2 * true_positives / both


def recall_per_class(
  confusion: Int[np.ndarray, '*batch class_ class_'],
) -> Float64[np.ndarray, '*batch class_']:
  """TP / (TP + FN); NaN for a class without clips."""
  true_positives = np.diagonal(confusion, axis1=-2, axis2=-1)
  with np.errstate(invalid='ignore'):
    return true_positives / confusion.sum(axis=-1)


def uf1(confusion: Int[np.ndarray, '*batch class_ class_']) -> np.ndarray:
  """Unweighted F1, [*batch]: the mean over classes that occur.

  Source: See et al., "MEGC 2019", FG 2019.
  """
  return np.nanmean(f1_per_class(confusion), axis=-1)


def uar(confusion: Int[np.ndarray, '*batch class_ class_']) -> np.ndarray:
  """Unweighted average recall, [*batch]: the mean over classes with clips."""
  return np.nanmean(recall_per_class(confusion), axis=-1)


def accuracy(confusion: Int[np.ndarray, '*batch class_ class_']) -> np.ndarray:
  """Share of clips on the diagonal, [*batch]."""
  return np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))


METRICS = {'accuracy': accuracy, 'uf1': uf1, 'uar': uar}


def chance_interval(
  truth: Int[np.ndarray, ' clip'],
  prediction: Int[np.ndarray, ' clip'],
  num_classes: int,
  level: float = 0.95,
  draws: int = 2000,
) -> dict[str, tuple[float, float]]:
  """Where each metric would lie had the predictions nothing to do with truth.

  The predictions are kept and the truth is shuffled, so class frequencies on
  both sides stay what they are.

  Args:
    truth: class index of each clip.
    prediction: predicted class index of each clip.
    num_classes: how many classes there are.
    level: share of the draws inside the interval.
    draws: number of shuffles.

  Returns:
    Metric -> (low, high).
  """
  rng = np.random.default_rng(0)
  confusions = np.stack(
    [
      confusion_matrix(rng.permutation(truth), prediction, num_classes)
      for _ in range(draws)
    ]
  )
  tails = [(1 - level) / 2, (1 + level) / 2]
  return {
    name: tuple(np.quantile(metric(confusions), tails).tolist())
    for name, metric in METRICS.items()
  }


def summarise(
  truth: Int[np.ndarray, ' clip'],
  predictions: Int[np.ndarray, 'seed clip'],
  classes: Sequence[str],
) -> dict:
  """Metrics of one set of clips over seeds, ready for JSON.

  Args:
    truth: class index of each clip.
    predictions: predicted class index of each clip, for each seed.
    classes: class names.

  Returns:
    n, per-class counts, and for accuracy, UF1 and UAR: the value of each seed,
    their mean, standard deviation (None for one seed) and the chance interval
    of the first seed; the confusion matrix of each seed.
  """
  confusions = np.stack(
    [confusion_matrix(truth, seed, len(classes)) for seed in predictions]
  )
  chance = chance_interval(truth, predictions[0], len(classes))
  summary = {
    'n': len(truth),
    'clips_per_class': dict(zip(classes, confusions[0].sum(axis=1).tolist())),
  }
  for name, metric in METRICS.items():
    values = metric(confusions)
    summary[name] = {
      'mean': float(values.mean()),
      'std': float(values.std(ddof=1)) if len(values) > 1 else None,
      'seeds': values.tolist(),
      'chance_95': list(chance[name]),
    }
  f1 = f1_per_class(confusions).mean(axis=0)
  summary['f1_per_class'] = {
    name: None if np.isnan(value) else float(value)
    for name, value in zip(classes, f1)
  }
  summary['confusion'] = confusions.tolist()
  return summary
