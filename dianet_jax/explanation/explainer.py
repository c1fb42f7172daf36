"""Explains the predictions of one network, or of an ensemble."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
from typing import Any

import cv2
from jaxtyping import Float, UInt8
import numpy as np

from dianet_jax.explanation import maps, occlusion, regions
from dianet_jax.motion import registry as motion

Inputs = Mapping[str, Float[np.ndarray, '...']]
Picture = UInt8[np.ndarray, 'height width 3']

# Pictures are enlarged to at least this side, to make places distinguishable.
_LEAST_PIXELS = 224
# Opacity at the maximum of a map; below 1, so that the picture stays visible.
_OPACITY = 0.7


@dataclasses.dataclass(frozen=True)
class Explanation:
  """Why one clip was given one class.

  Attributes:
    evidence: region of the face -> evidence of its motion for the class, in
      nats; {} for a model that reads no images.
    activation: feature layer -> map in nats, 0 and above.
    attention: attention layer -> map, 0..1.
  """

  evidence: Mapping[str, float]
  activation: Mapping[str, maps.Map]
  attention: Mapping[str, maps.Map]

  @property
  def shares(self) -> dict[str, float]:
    """Region -> its share of all positive evidence, 0..1."""
    return occlusion.shares(self.evidence)

  def bars(self) -> list[tuple[str, float, str]]:
    """(Region, share, text of share and evidence) for the macro `bars`."""
    return [
      (name, share, f'{share:.2f} ({self.evidence[name]:+.2f} nats)')
      for name, share in self.shares.items()
    ]

  def pictures(self, face: Picture | None) -> list[tuple[str, Picture]]:
    """Pictures of the regions and of every map.

    Args:
      face: background, RGB, 0..255, an image of the same area of the face;
        None for grey.

    Returns:
      (title, picture) pairs.
    """
    size = _LEAST_PIXELS
    if face is None:
      face = np.full((size, size, 3), 128, np.uint8)
    found = []
    if self.evidence:
      shares = np.array([self.shares[name] for name in regions.NAMES])
      heat = np.tensordot(shares, regions.masks(size, size), axes=1)
      found.append(('regions of the face', overlay(face, heat)))
    for title, group in (
      ('class activation', self.activation),
      ('attention', self.attention),
    ):
      # One scale for all: a stream that contributes less looks weaker.
      largest = max((float(m.max()) for m in group.values()), default=0.0)
      for layer, heat in group.items():
        shown = heat / largest if largest else heat
        found.append((f'{title}, {layer}', overlay(face, shown)))
    return found


def overlay(
  face: Picture, heat: Float[np.ndarray, 'row column']
) -> UInt8[np.ndarray, 'new_height new_width 3']:
  """Draws a map over the picture of a face.

  Args:
    face: RGB, 0..255; it is converted to grey.
    heat: 0..1, over the same area.

  Returns:
    RGB, 0..255, of at least 224 pixels on the shorter side.
  """
  height, width = face.shape[:2]
  scale = max(1.0, _LEAST_PIXELS / min(height, width))
  size = round(width * scale), round(height * scale)
  grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
  grey = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC)[..., None]
  smooth = cv2.resize(heat.astype(np.float32), size)
  smooth = np.clip(smooth, 0, 1)
  levels = np.round(255 * smooth).astype(np.uint8)
  colors = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]
  opacity = _OPACITY * smooth[..., None]
  return np.round(grey * (1 - opacity) + colors * opacity).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Explainer:
  """Explains predictions of a network or ensemble.

  Attributes:
    network: the Linen module, which names its feature and attention layers.
    apply: (variables, raw inputs [clip, ...], options of `Module.apply`) ->
      `Outputs` in inference mode.
    predict: (members, raw inputs [clip, ...]) -> probabilities [clip, class].
    feed: name of each input -> its representation.
    channels: name of each input -> its channels; () if it is not an image.
  """

  network: Any
  apply: maps.Apply
  predict: Callable[[Sequence[Any], dict[str, np.ndarray]], Any]
  feed: Mapping[str, str]
  channels: Mapping[str, Sequence[motion.Channel]]

  @functools.cached_property
  def _maps(self) -> maps.Maps:
    return maps.Maps(
      self.apply,
      getattr(self.network, 'feature_layers', ''),
      getattr(self.network, 'attention_layers', ()),
    )

  def __call__(
    self, members: Sequence[Any], inputs: Inputs, class_: int
  ) -> Explanation:
    """Explains one clip.

    Args:
      members: variables of each network; their maps are averaged.
      inputs: raw inputs of the clip, without the clip axis.
      class_: index of the class to explain.
    """
    still = occlusion.still(inputs, self.feed, self.channels)
    evidence = occlusion.by_region(
      functools.partial(self.predict, members),
      inputs,
      still,
      self.channels,
      class_,
    )
    return Explanation(
      evidence,
      _mean([self._maps.activation(m, inputs, still, class_) for m in members]),
      _mean([self._maps.attention(m, inputs, still) for m in members]),
    )


def _mean(found: Sequence[Mapping[str, maps.Map]]) -> dict[str, maps.Map]:
  return {
    name: np.mean([one[name] for one in found], axis=0) for name in found[0]
  }


def table(
  explanations: Sequence[Explanation],
  labels: Sequence[int],
  classes: Sequence[str],
) -> list[list[str]]:
  """Share of attribution by region and class, as a table of texts.

  Args:
    explanations: one for each clip.
    labels: index of the class that each explains.
    classes: names of all classes.

  Returns:
    A header and a row for each region: means over the clips of each class, ''
    for a class without clips; [] for a model that reads no images.
  """
  explained = [
    (label, one.shares) for label, one in zip(labels, explanations, strict=True)
  ]
  if not any(shares for _, shares in explained):
    return []
  of_class = [
    [shares for label, shares in explained if label == number]
    for number in range(len(classes))
  ]
  header = [
    'region (action units)',
    *(f'{name}\n{len(own)} clips' for name, own in zip(classes, of_class)),
  ]
  rows = []
  for region, units in regions.ACTION_UNITS.items():
    known = f' ({", ".join(map(str, units))})' if units else ''
    cells = [
      f'{np.mean([shares[region] for shares in own]):.2f}' if own else ''
      for own in of_class
    ]
    rows.append([region + known, *cells])
  return [header, *rows]
