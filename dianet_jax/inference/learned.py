"""The learned spotter, a network that classifies each step of a long video.

A small network (`models.movement_network`) predicts whether a step belongs to
no expression, to a micro- or to a macro-expression. It reads the same facial
movements as the spotter 'movement' (`clips.movement_windows`). Runs of steps
with high probability are intervals.
"""

from collections.abc import Iterable, Iterator, Mapping
import dataclasses
import json
import os
import pathlib
from typing import Any

from flax import traverse_util
import flax.errors
from jaxtyping import Float64
import numpy as np
import safetensors
import safetensors.numpy

from dianet_jax.clips import (
  expressions,
  face_blocks,
  faces,
  intervals,
  long_videos,
  movement_windows,
  movements,
  segments,
)
from dianet_jax.core import errors
from dianet_jax.models import movement_network

# Classes of a step: no expression, or a kind of expression.
CLASSES = ('none', *intervals.KINDS)
# Included in the package. Trained on the simulated development sets: drawn
# faces and warped photographs.
SHIPPED = pathlib.Path(__file__).parent / 'learned.safetensors'
# Half width of the moving average of probabilities.
_SMOOTHING_SECONDS = 0.04
# An interval ends below this fraction of the probability at its peak.
_EDGE = 0.4
# Lowest probability of a candidate.
MIN_PROBABILITY = 0.05


@dataclasses.dataclass(frozen=True)
class Learned:
  """A learned spotter.

  Attributes:
    variables: parameters of the network.
    threshold: default threshold of the score.
    unit: unit of the score.
    find: detects faces.
    trained_on: description of the training data, for reports.
  """

  variables: Mapping[str, Any]
  threshold: float = 0.5
  unit: str = 'probability'
  find: face_blocks.Find = faces.find
  trained_on: str = ''

  def __call__(
    self, frames: Iterable[segments.Frame], threshold: float
  ) -> Iterator[long_videos.Stretch]:
    """See `long_videos.spot`."""
    return long_videos.spot(frames, threshold, self.find, self.score)

  def score(self, track: movements.Track) -> 'Scores':
    """Applies the network to all steps of a track.

    Args:
      track: a stretch with its context, about twelve seconds.

    Returns:
      The probabilities of all steps.
    """
    inputs = {'differences': movement_windows.differences(track)}
    outputs = network().apply(self.variables, inputs)
    logits = np.asarray(outputs.logits, np.float64)[:, 0]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = exponentials / exponentials.sum(axis=1, keepdims=True)
    return Scores(track, probs)


def network() -> Any:
  """The network as a Linen module, without its variables.

  >>> network().num_classes, CLASSES
  (3, ('none', 'micro', 'macro'))
  """
  return movement_network.MovementNetwork(len(CLASSES))


class Scores:
  """Probabilities of a track, and the intervals found in them.

  Attributes:
    scores: kind -> float64 [step], smoothed probability, 0..1; 0 where no face
      is detected.
  """

  def __init__(
    self,
    track: movements.Track,
    probabilities: Float64[np.ndarray, 'step class_'],
  ):
    """Smooths the probabilities.

    Args:
      track: the track.
      probabilities: of `CLASSES` at each step of the track, 0..1.
    """
    self._track = track
    seen = np.where(track.part[:, None] >= 0, probabilities, 0)
    width = max(1, round(_SMOOTHING_SECONDS * track.rate))
    window = np.ones(2 * width + 1) / (2 * width + 1)
    self.scores = {
      kind: np.convolve(seen[:, number], window)[width:-width]
      for number, kind in enumerate(CLASSES)
      if number
    }

  def candidates(self, threshold: float) -> list[expressions.Candidate]:
    """Finds all intervals, one per movement.

    Args:
      threshold: has no effect: candidates below it are returned, too.

    Returns:
      Candidates with a score of at least `MIN_PROBABILITY`; the caller applies
      the threshold.
    """
    del threshold
    found = [
      candidate
      for kind, scores in self.scores.items()
      for candidate in self._of_kind(kind, scores)
    ]
    return expressions.without_overlaps(found)

  def _of_kind(
    self, kind: str, scores: Float64[np.ndarray, ' step']
  ) -> Iterator[expressions.Candidate]:
    taken = np.zeros(len(scores), bool)
    for peak in np.argsort(-scores, kind='stable'):
      if scores[peak] < MIN_PROBABILITY:
        return
      # Skips steps that are not local maxima.
      if (
        taken[peak] or scores[max(peak - 1, 0) : peak + 2].max() > scores[peak]
      ):
        continue
      inside = (scores >= _EDGE * scores[peak]) & ~taken
      onset = int(peak) - _run(inside[peak::-1])
      offset = int(peak) + _run(inside[peak:])
      taken[onset : offset + 1] = True
      length = offset - onset + 1
      # Intervals with the duration of the other kind are found in the
      # probability of that kind.
      if intervals.kind_of(0, length - 1, self._track.rate) == kind:
        yield self._candidate(onset, offset, float(scores[peak]))

  def _candidate(
    self, onset: int, offset: int, score: float
  ) -> expressions.Candidate:
    """The candidate, with the region of largest motion and its apex there."""
    motion = self._track.motion[onset : offset + 1]
    rest = (motion[0] + motion[-1]) / 2
    squares = ((motion - rest) ** 2).sum(axis=2)
    energies = {
      region: squares[:, face_blocks.region_slice(region)].mean(axis=1)
      for region in ('brows', 'mouth')
    }
    region = max(energies, key=lambda name: np.nan_to_num(energies[name]).max())
    apex = onset + int(np.nan_to_num(energies[region]).argmax())
    return expressions.Candidate(onset, apex, offset, score, region)


def _run(inside) -> int:
  """Index of the last step of the first run of true values."""
  outside = np.flatnonzero(~inside)
  return int(outside[0] if len(outside) else len(inside)) - 1


def save(path: str | os.PathLike[str], spotter: Learned) -> None:
  """Writes a spotter to a safetensors file.

  Args:
    path: of the file.
    spotter: its variables, threshold and training data are written.

  Raises:
    OSError: the file cannot be written.

  >>> import tempfile
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   save(f'{folder}/own.safetensors', load(SHIPPED))
  ...   again = load(f'{folder}/own.safetensors')
  >>> again.threshold == load(SHIPPED).threshold
  True
  """
  flat = traverse_util.flatten_dict(dict(spotter.variables), sep='/')
  arrays = {key: np.ascontiguousarray(value) for key, value in flat.items()}
  about = {'threshold': spotter.threshold, 'trained_on': spotter.trained_on}
  content = safetensors.numpy.save(arrays, {'spotter': json.dumps(about)})
  pathlib.Path(path).write_bytes(content)


def load(path: str | os.PathLike[str]) -> Learned:
  """Reads a file written by `save`.

  Args:
    path: of the file.

  Returns:
    The spotter.

  Raises:
    UserError: the file is damaged, or not a spotter.

  >>> spotter = load(SHIPPED)
  >>> spotter.unit, 0 < spotter.threshold < 1
  ('probability', True)
  """
  try:
    with safetensors.safe_open(path, 'numpy') as file:
      about = json.loads(file.metadata()['spotter'])
    flat = safetensors.numpy.load_file(path)
    variables = traverse_util.unflatten_dict(flat, sep='/')
    spotter = Learned(
      variables,
      float(about['threshold']),
      trained_on=str(about['trained_on']),
    )
    blank = np.zeros((1, *movement_windows.SHAPE), np.float32)
    network().apply(variables, {'differences': blank})
  except (
    OSError, LookupError, TypeError, ValueError, flax.errors.FlaxError,
    safetensors.SafetensorError,
  ) as error:  # fmt: skip
    raise errors.UserError(
      f'{path} is not a spotter, or is damaged ({error}). Expected a complete'
      ' file written by `dianet train-spotter`.'
    ) from error
  return spotter
