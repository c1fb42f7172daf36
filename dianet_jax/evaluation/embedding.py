"""A plane of held-out clips by their predicted probabilities."""

from collections.abc import Iterator, Sequence
import dataclasses

from jaxtyping import Float
import numpy as np

# Side of the drawing and its margin, in pixels.
SIZE, _MARGIN = 360, 12
# Smallest float32: makes the logarithm of a probability of 0 finite.
_LEAST = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True)
class Embedding:
  """One point per clip.

  Attributes:
    points: float64 (x, y), 0..1, y pointing down.
    names: a text for each point.
  """

  points: Float[np.ndarray, 'clip 2']
  names: Sequence[str]

  def drawn(self, labels: Sequence[str]) -> Iterator[tuple]:
    """Yields (x, y, color, title) of each point, coloured by its label.

    Args:
      labels: one for each point.
    """
    colors = dict(legend(labels))
    for (x, y), name, label in zip(self.points, self.names, labels):
      place = (
        round(float(_MARGIN + share * (SIZE - 2 * _MARGIN)), 1)
        for share in (x, y)
      )
      yield (*place, colors[label], f'{name}: {label}')

  def nearest(self, labels: Sequence[str]) -> tuple[float, float]:
    """How often the nearest clip has the same label, 0..1.

    Args:
      labels: one for each point.

    Returns:
      The observed share and that expected by chance; NaN for fewer than two
      clips.

    >>> plane = Embedding(np.array([[0, 0], [0, 0.1], [1.0, 1.0]]), 'abc')
    >>> same, chance = plane.nearest(['sad', 'sad', 'happy'])
    >>> round(same, 2), round(chance, 2)
    (0.67, 0.33)
    """
    number = len(labels)
    if number < 2:
      return float('nan'), float('nan')
    values = np.array(labels)
    apart = ((self.points[:, None] - self.points) ** 2).sum(axis=-1)
    np.fill_diagonal(apart, np.inf)
    same = values[apart.argmin(axis=1)] == values
    counts = np.unique(values, return_counts=True)[1]
    chance = (counts * (counts - 1)).sum() / (number * (number - 1))
    return float(same.mean()), float(chance)


def of_probabilities(
  probabilities: Float[np.ndarray, 'clip class_'], names: Sequence[str]
) -> Embedding:
  """The first two principal components of centred log-ratios.

  Features of different folds' networks are not comparable, but their classes
  are. One network for all clips would show clips that it was trained on.

  Args:
    probabilities: 0..1, predicted with the clip's subject held out.
    names: a text for each clip.

  Returns:
    The plane, scaled to 0..1 with equal units on both axes.

  >>> plane = of_probabilities(np.array([[0.9, 0.1], [0.2, 0.8]]), ['a', 'b'])
  >>> sorted(plane.points[:, 0].round(3).tolist())
  [0.0, 1.0]
  """
  logs = np.log(np.maximum(probabilities, _LEAST))
  # Probabilities are compositional: only their ratios carry information.
  ratios = logs - logs.mean(axis=1, keepdims=True)
  ratios -= ratios.mean(axis=0)
  *_, axes = np.linalg.svd(ratios, full_matrices=False)
  plane = ratios @ axes[:2].T
  points = np.zeros((len(plane), 2))
  points[:, : plane.shape[1]] = plane
  points -= points.min(axis=0)
  span = points.max()
  points = points / (span if span > 0 else 1)
  return Embedding(points, names)


def legend(labels: Sequence[str]) -> list[tuple[str, str]]:
  """A color for each label, as (label, color) in order of first appearance.

  >>> legend(['sad', 'happy', 'sad'])
  [('sad', 'hsl(0 65% 42%)'), ('happy', 'hsl(180 65% 42%)')]
  """
  kinds = list(dict.fromkeys(labels))
  return [
    (kind, f'hsl({360 * number / len(kinds):.0f} 65% 42%)')
    for number, kind in enumerate(kinds)
  ]
