"""Registry of spotters, which find expressions in long videos."""

from collections.abc import Iterable, Iterator
import pathlib
from typing import Protocol

from dianet_jax.clips import long_videos, segments
from dianet_jax.core import errors, registry


class Spotter(Protocol):
  """Finds expressions in a stream of frames."""

  @property
  def threshold(self) -> float:
    """Default threshold of the score."""
    ...

  @property
  def unit(self) -> str:
    """Unit of the score."""
    ...

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
  {
    'movement': 'dianet_jax.clips.long_videos:MOVEMENT',
    'learned': 'dianet_jax.inference.shipped_spotter:LEARNED',
  },
)


def get(name: str) -> Spotter:
  """Gets a spotter of the registry, or reads one from a file.

  Args:
    name: name in `SPOTTERS`, or path of a file of `dianet train-spotter`.

  Returns:
    The spotter.

  Raises:
    UserError: there is no such spotter or file, or the file is damaged.

  >>> get('movement').unit
  'noise floors'
  """
  if name in SPOTTERS:
    return SPOTTERS[name]
  if not pathlib.Path(name).is_file():
    raise errors.UserError(
      f'--spotter={name}: there is no such file. Expected one of'
      f' {", ".join(SPOTTERS)}, or a file written by `dianet train-spotter`.'
    )
  # Imported here, because most spotters need no network.
  from dianet_jax.inference import learned

  return learned.load(name)
