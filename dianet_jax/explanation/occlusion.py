"""Evidence of each face region, by removing the motion of the region.

A motion spans several regions, and inputs are scaled, so the motion that
remains after removing one region is as strong as before: removing single
regions may change nothing. So each region is also tested as the only one that
moves, and the mean of both effects counts. These are the two extreme terms of
the region's Shapley value (its contribution when added last, and first).

It needs only a function from inputs to probabilities, so it works for every
model and for the exported program of a bundle.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional
Networks", ECCV 2014, who move a grey square over the image. Ours: face regions,
replaced by the values of the clip without motion, so that only motion changes
the prediction. Shapley values: Lundberg and Lee, "A Unified Approach to
Interpreting Model Predictions", NeurIPS 2017.
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

# Smallest float32: makes the logarithm of a probability of 0 finite.
_LEAST = float(np.finfo(np.float32).tiny)


def still(
  inputs: Inputs,
  feed: Mapping[str, str],
  channels: Mapping[str, Sequence[motion.Channel]],
) -> dict[str, np.ndarray]:
  """The inputs of the same clip without motion.

  Args:
    inputs: raw inputs of one clip, without the clip axis.
    feed: name of each input -> its representation.
    channels: name of each input -> its channels; () if it is not an image.

  Returns:
    Inputs of the same shapes; those that are not images are unchanged.
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
  still: Inputs,
  channels: Mapping[str, Sequence[motion.Channel]],
  class_: int,
) -> dict[str, float]:
  """Evidence of each region's motion for a class, in nats.

  Args:
    predict: raw inputs [1, ...] -> probabilities [1, class], 0..1.
    inputs: raw inputs of one clip, without the clip axis.
    still: what `still` returned.
    channels: name of each input -> its channels; () if it is not an image.
    class_: index of the class to explain.

  Returns:
    Region -> the mean of two changes of the class's log-probability: the
    decrease if the region's motion is removed, and the increase if only this
    region moves. Negative evidence is against the class. {} for a model that
    reads no images.
  """
  images = [name for name in inputs if channels[name]]
  if not images:
    return {}
  masks = {}
  for name in images:
    _, height, width, _ = inputs[name].shape
    masks[name] = regions.of_channels(height, width, channels[name])

  def log_of(mask: Any) -> float:
    """Log-probability of the class without motion where the mask is true."""
    chosen = dict(inputs)
    for name in images:
      chosen[name] = np.where(mask(name), still[name], inputs[name])
    # One clip at a time: programs for batches round differently.
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
  """Shares of the positive evidence: 0..1, with a sum of 1, or 0 without any.

  Args:
    evidence: region -> nats.

  >>> shares({'brows': 3.0, 'mouth': 1.0, 'chin': -2.0})
  {'brows': 0.75, 'mouth': 0.25, 'chin': 0.0}
  """
  kept = {name: max(0.0, value) for name, value in evidence.items()}
  total = sum(kept.values())
  return {name: value / total if total else 0.0 for name, value in kept.items()}
