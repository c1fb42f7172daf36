"""Spotters: what finds expressions in a long video, one row each."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from dianet_jax.clips import long_videos, segments
from dianet_jax.core import registry


class Spotter(Protocol):
  """Finds expressions in a stream of frames.

  Attributes:
    threshold: of the score, by default.
    unit: of the score.
  """

  threshold: float
  unit: str

  def __call__(
    self, frames: Iterable[segments.Frame], threshold: float
  ) -> Iterator[long_videos.Stretch]:
    """Judges a source stretch by stretch.

    Every interval that is found has a score of `threshold` or more, and a lower
    threshold adds intervals and takes none away.

    Args:
      frames: in the order of their time, read once and from the beginning.
      threshold: of the score.
    """
    ...


SPOTTERS: registry.Registry[Spotter] = registry.Registry(
  'spotter',
  'spotter',
  {'movement': 'dianet_jax.clips.long_videos:MOVEMENT'},
)
