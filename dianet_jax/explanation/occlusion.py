"""What a region of the face is worth to a prediction: hold it still, and see.

A motion spans several regions, and scaling makes what is left of it as strong
as all of it was: held still one by one, none may matter. So a region also moves
alone, in a face that is still otherwise; the mean of both counts. These are the
two ends of its Shapley value (its worth when it comes last, and first).

Needs a function from inputs to probabilities and nothing else, so it works for
every model, and for the exported program of a bundle.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional
Networks", ECCV 2014. There a grey square is moved over the image. Ours: face
regions, and in their place what the clip would be without motion, so that the
prediction changes by the motion alone. Shapley values: Lundberg and Lee, "A
Unified Approach to Interpreting Model Predictions", NeurIPS 2017.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxtyping import Float
import numpy as np

from dianet_jax.explanation import regions
from dianet_jax.motion import registry as motion

Inputs = Mapping[str, Float[np.ndarray, '...']]
# Raw inputs [clip, ...] -> probabilities [clip, class], 0..1.
Predict = Callable[[dict[str, np.ndarray]], Any]

# Of a float32: below it no probability is told from 0.
_LEAST = float(np.finfo(np.float32).tiny)


def still(
  inputs: Inputs,
  feed: Mapping[str, str],
  channels: Mapping[str, Sequence[motion.Channel]],
) -> dict[str, np.ndarray]:
  """The same clip without motion; what is no image stays as it is.

  Args:
    inputs: of one clip, without the clip's axis.
    feed: name of each input -> its representation.
    channels: name of each input -> its channels.
  """
  return {
    name: np.asarray(motion.REPRESENTATIONS[feed[name]].still(values))
    if channels[name]
    else values
    for name, values in inputs.items()
  }


def by_region(
  predict: Predict,
  inputs: Inputs,
  held: Inputs,
  channels: Mapping[str, Sequence[motion.Channel]],
  class_: int,
) -> dict[str, float]:
  """Evidence that each region's motion gives for a class, in nats.

  Args:
    predict: raw inputs [1, ...] -> probabilities [1, class], 0..1.
    inputs: of one clip, without the clip's axis.
    held: what `still` returns.
    channels: name of each input -> its channels.
    class_: which is explained.

  Returns:
    Region -> by how much the logarithm of the class's probability falls where
    it is held still, and rises where it alone moves, the mean of the two; below
    0 where it speaks against the class. {} for a model that reads no image.
  """
  images = [name for name in inputs if channels[name]]
  if not images:
    return {}
  masks = {}
  for name in images:
    _, height, width, _ = inputs[name].shape
    masks[name] = regions.of_channels(height, width, channels[name])

  def log_of(mask: Any) -> float:
    """Of the class where regions are held still."""
    chosen = dict(inputs)
    for name in images:
      chosen[name] = np.where(mask(name), held[name], inputs[name])
    # One clip at a time: no rounding tells one program from another.
    [probabilities] = predict({k: v[None] for k, v in chosen.items()})
    return float(np.log(max(float(probabilities[class_]), _LEAST)))

  whole, nothing = log_of(lambda _: False), log_of(lambda _: True)
  found = {}
  for number, region in enumerate(regions.NAMES):
    without = log_of(lambda name, n=number: masks[name][n])
    alone = log_of(lambda name, n=number: ~masks[name][n])
    found[region] = ((whole - without) + (alone - nothing)) / 2
  return found


def shares(evidence: Mapping[str, float]) -> dict[str, float]:
  """What speaks for the class, as shares of it: 0..1, adding up to 1 or to 0.

  >>> shares({'brows': 3.0, 'mouth': 1.0, 'chin': -2.0})
  {'brows': 0.75, 'mouth': 0.25, 'chin': 0.0}
  """
  kept = {name: max(0.0, value) for name, value in evidence.items()}
  total = sum(kept.values())
  return {name: value / total if total else 0.0 for name, value in kept.items()}
