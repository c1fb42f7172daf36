"""Registry of spotters, which find expressions in long videos."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from dianet_jax.clips import long_videos, segments
from dianet_jax.core import registry


class Spotter(Protocol):
  """Finds expressions in a stream of frames.

  Attributes:
    threshold: default threshold of the score.
    unit: unit of the score.
  """

  threshold: float
  unit: str

  def __call__(
    self, frames: Iterable[segments.Frame], threshold: float
  ) -> Iterator[long_videos.Stretch]:
    """Spots a source, one stretch of frames after the other.

    Every interval has a score of at least `threshold`; a lower threshold only
    adds intervals.

    Args:
      frames: in temporal order; read once, from the beginning.
      threshold: lowest score of an interval.

    Yields:
      The stretches, with their signal and intervals.
    """
    ...


SPOTTERS: registry.Registry[Spotter] = registry.Registry(
  'spotter',
  'spotter',
  {'movement': 'dianet_jax.clips.long_videos:MOVEMENT'},
)
