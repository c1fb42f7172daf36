"""A value over time, laid out for the macro `curve` of parts.html.j2."""

from collections.abc import Iterator, Sequence
import dataclasses
from typing import ClassVar

from jaxtyping import Float
import numpy as np

# Each becomes its lowest and highest value, so that no peak disappears.
_MOST_PARTS = 600


@dataclasses.dataclass(frozen=True)
class Curve:
  """A value over time; positions are in units of the drawing.

  Attributes:
    title: quantity and unit.
    seconds: float64 [frame], ascending.
    values: float64 [frame], finite.
    threshold: drawn as a horizontal line; None for none.
    marks: (seconds, title) of points in time.
    intervals: (first second, last second, title).
  """

  WIDTH: ClassVar[int] = 640
  HEIGHT: ClassVar[int] = 180
  LEFT: ClassVar[int] = 4
  RIGHT: ClassVar[int] = 636
  TOP: ClassVar[int] = 20
  BOTTOM: ClassVar[int] = 160
  INNER: ClassVar[int] = 140

  title: str
  seconds: Float[np.ndarray, ' frame']
  values: Float[np.ndarray, ' frame']
  threshold: float | None = None
  marks: Sequence[tuple[float, str]] = ()
  intervals: Sequence[tuple[float, float, str]] = ()

  def _x(self, seconds: float) -> float:
    first, last = self.seconds[0], self.seconds[-1]
    share = (seconds - first) / (last - first) if last > first else 0.0
    return round(self.LEFT + float(share) * (self.RIGHT - self.LEFT), 1)

  def _y(self, value: float) -> float:
    low, high = self._limits
    share = (value - low) / (high - low) if high > low else 0.0
    return round(self.BOTTOM - float(share) * self.INNER, 1)

  @property
  def _limits(self) -> tuple[float, float]:
    shown = [float(self.values.min()), float(self.values.max())]
    shown += [] if self.threshold is None else [self.threshold]
    return min(shown), max(shown)

  @property
  def points(self) -> str:
    """Points of a polyline; a long curve is thinned without losing peaks."""
    parts = np.array_split(
      np.arange(len(self.values)), min(len(self.values), _MOST_PARTS)
    )
    kept = sorted(
      {int(part[k]) for part in parts for k in self._ends(self.values[part])}
    )
    return ' '.join(
      f'{self._x(self.seconds[i])},{self._y(self.values[i])}' for i in kept
    )

  @staticmethod
  def _ends(values: np.ndarray) -> tuple[int, int]:
    return int(values.argmin()), int(values.argmax())

  @property
  def threshold_y(self) -> float:
    """Vertical position of the threshold, if there is one."""
    assert self.threshold is not None
    return self._y(self.threshold)

  @property
  def lines(self) -> list[tuple[float, str]]:
    """(x, title) of each mark."""
    return [(self._x(at), title) for at, title in self.marks]

  @property
  def bands(self) -> list[tuple[float, float, str]]:
    """(x, width, title) of each interval, at least as wide as a line."""
    found = [(self._x(a), self._x(b), text) for a, b, text in self.intervals]
    return [(a, max(1.0, round(b - a, 1)), text) for a, b, text in found]

  @property
  def ticks(self) -> Iterator[tuple[float, str]]:
    """(x, text) of labels below the axis: both ends and the middle."""
    for share in (0, 0.5, 1):
      at = self.seconds[0] + share * (self.seconds[-1] - self.seconds[0])
      yield self._x(at), f'{at:.2f} s'

  @property
  def range(self) -> tuple[str, str]:
    """The lowest and the highest value."""
    return f'{self.values.min():.3g}', f'{self.values.max():.3g}'

  def anchor(self, x: float) -> str:
    """Text anchor at which a text at `x` stays inside the drawing."""
    middle = (self.LEFT + self.RIGHT) / 2
    if abs(x - middle) < self.WIDTH / 3:
      return 'middle'
    return 'start' if x < middle else 'end'
