"""Where held-out clips lie by what their networks say, as points in a plane."""

from collections.abc import Iterator, Sequence
import dataclasses

from jaxtyping import Float
import numpy as np

# Of the drawing, and from its border to the points.
SIZE, _MARGIN = 360, 12
# Of float32: the logarithm of a probability of 0 is finite.
_LEAST = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True)
class Embedding:
  """Points and what they belong to.

  Attributes:
    points: float64 [clip, 2], 0..1, y down.
    names: a text for each point.
  """

  points: Float[np.ndarray, 'clip 2']
  names: Sequence[str]

  def drawn(self, labels: Sequence[str]) -> Iterator[tuple]:
    """(x, y, color, title) of each point, coloured by its label."""
    colors = dict(legend(labels))
    for (x, y), name, label in zip(self.points, self.names, labels):
      place = (
        round(float(_MARGIN + share * (SIZE - 2 * _MARGIN)), 1)
        for share in (x, y)
      )
      yield (*place, colors[label], f'{name}: {label}')

  def nearest(self, labels: Sequence[str]) -> tuple[float, float]:
    """How often the nearest clip has the same label, and by chance, 0..1."""
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
  """The two main axes of the log-probabilities, each clip's mean taken off.

  Each fold has a network of its own, whose features mean nothing to another;
  what all of them share are the classes. Features of one network for all clips
  would be those of clips that it was trained on.

  Args:
    probabilities: 0..1, of the clips when their subject was held out.
    names: a text for each clip.
  """
  logs = np.log(np.maximum(probabilities, _LEAST))
  # The centred log-ratio: of probabilities, only ratios count.
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
  """(Label, color), in the order in which labels first appear."""
  kinds = list(dict.fromkeys(labels))
  return [
    (kind, f'hsl({360 * number / len(kinds):.0f} 65% 42%)')
    for number, kind in enumerate(kinds)
  ]
