"""The spotter that was trained: how probable is an expression at each time?

A small network (`models.movement_network`) says of every step of a video if it
lies in no expression, in a micro- or in a macro-expression, by the movements
that the other spotter goes by (`clips.movement_windows`). Runs of probable
steps are intervals.
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

# What a step is: of no expression, or of one of these kinds.
CLASSES = ('none', *intervals.KINDS)
# Comes with the package: trained on the development sets of drawn faces and of
# warped photographs.
SHIPPED = pathlib.Path(__file__).parent / 'learned.safetensors'
# Probabilities are averaged over so long a time on either side.
_SMOOTHING_SECONDS = 0.04
# An interval reaches as far as this share of the probability of its peak.
_SHARE = 0.4
# Below it nothing is a candidate.
LEAST = 0.05


@dataclasses.dataclass(frozen=True)
class Learned:
  """The learned spotter, as a row of the registry.

  Attributes:
    variables: of the network.
    threshold: of the score, by default.
    unit: of the score.
    find: finds faces.
    trained_on: on what; for reports.
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
    return long_videos.spot(frames, threshold, self.find, self.judge)

  def judge(self, track: movements.Track) -> 'Judged':
    """What the network says of a dozen seconds."""
    inputs = {'differences': movement_windows.differences(track)}
    outputs = network().apply(self.variables, inputs)
    logits = np.asarray(outputs.logits, np.float64)[:, 0]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return Judged(track, odds / odds.sum(axis=1, keepdims=True))


def network() -> Any:
  """The network as a Linen module, without its variables."""
  return movement_network.MovementNetwork(len(CLASSES))


class Judged:
  """Probabilities along a track, and the intervals in them."""

  def __init__(
    self,
    track: movements.Track,
    probabilities: Float64[np.ndarray, 'step class_'],
  ):
    """Nothing is probable where no face is seen."""
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
    """All intervals, one for each movement, whatever the threshold."""
    del threshold
    found = [
      candidate
      for kind, scores in self.scores.items()
      for candidate in self._of_kind(kind, scores)
    ]
    return expressions.largest(found)

  def _of_kind(
    self, kind: str, scores: Float64[np.ndarray, ' step']
  ) -> Iterator[expressions.Candidate]:
    taken = np.zeros(len(scores), bool)
    for peak in np.argsort(-scores, kind='stable'):
      if scores[peak] < LEAST:
        return
      # The slopes of a peak are no peaks.
      if (
        taken[peak] or scores[max(peak - 1, 0) : peak + 2].max() > scores[peak]
      ):
        continue
      inside = (scores >= _SHARE * scores[peak]) & ~taken
      onset = int(peak) - _run(inside[peak::-1])
      offset = int(peak) + _run(inside[peak:])
      taken[onset : offset + 1] = True
      length = offset - onset + 1
      # What is as long as the other kind is left to that kind's probability.
      if intervals.kind_of(0, length - 1, self._track.rate) == kind:
        yield self._candidate(onset, offset, float(scores[peak]))

  def _candidate(
    self, onset: int, offset: int, score: float
  ) -> expressions.Candidate:
    """With its apex, the greatest way from both ends, and where that is."""
    motion = self._track.motion[onset : offset + 1]
    ground = (motion[0] + motion[-1]) / 2
    squares = ((motion - ground) ** 2).sum(axis=2)
    heights = {
      region: squares[:, face_blocks.region_slice(region)].mean(axis=1)
      for region in ('brows', 'mouth')
    }
    region = max(heights, key=lambda name: np.nan_to_num(heights[name]).max())
    apex = onset + int(np.nan_to_num(heights[region]).argmax())
    return expressions.Candidate(onset, apex, offset, score, region)


def _run(inside) -> int:
  """Steps from the first one to the last that is inside without a break."""
  outside = np.flatnonzero(~inside)
  return int(outside[0] if len(outside) else len(inside)) - 1


def save(path: str | os.PathLike[str], spotter: Learned) -> None:
  """Writes a spotter as one file.

  Raises:
    OSError: it cannot be written.
  """
  flat = traverse_util.flatten_dict(dict(spotter.variables), sep='/')
  arrays = {key: np.ascontiguousarray(value) for key, value in flat.items()}
  about = {'threshold': spotter.threshold, 'trained_on': spotter.trained_on}
  content = safetensors.numpy.save(arrays, {'spotter': json.dumps(about)})
  pathlib.Path(path).write_bytes(content)


def load(path: str | os.PathLike[str]) -> Learned:
  """Reads what `save` wrote.

  Raises:
    UserError: it is another file, or damaged.
  """
  try:
    with safetensors.safe_open(path, 'numpy') as held:
      about = json.loads(held.metadata()['spotter'])
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
      f'{path} is no spotter ({error}). Expected a file that `dianet'
      ' train-spotter` wrote, copied whole.'
    ) from error
  return spotter
