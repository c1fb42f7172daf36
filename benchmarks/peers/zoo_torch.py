"""Networks of the zoo and their training in eager PyTorch.

As a user would write them, with the computation of the published code; in
favour of PyTorch: images are in memory, scaled, and cut and normalised as a
network reads them, nothing is augmented, the optimiser is the fused one. Where
published code reads position images (CausalNet), they are made beforehand, too.

Classes have no weights, and labels are not smoothed.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers import (
  loso_torch,
  zoo_flow_torch,
)


def _dianet(settings: Any, size: int, classes: int) -> nn.Module:
  return loso_torch.Dual(settings.backbone, settings.pool, size, classes)


# Made from settings, pixels of an image's side, and number of classes; reads
# float32 [clip, view, channel, height, width].
NETWORKS: Mapping[str, Callable[[Any, int, int], nn.Module]] = {
  'dianet': _dianet,
  'ststnet': zoo_flow_torch.STSTNet,
  'offapexnet': zoo_flow_torch.OffApexNet,
  'htnet': zoo_flow_torch.HTNet,
  'causalnet': zoo_flow_torch.CausalNet,
}


def _cross_entropy(net, images, labels):
  return functional.cross_entropy(net(images), labels)


OBJECTIVES: Mapping[str, Callable[..., torch.Tensor]] = {
  'cross_entropy': _cross_entropy,
}


def step_of(
  model: Any,
  objective: str,
  specs: Mapping[str, Any],
  clips: int,
  classes: int,
  parameters: int,
) -> Callable[[], None] | None:
  """A function that does a training step on noise, on one core.

  Args:
    model: settings of a model, see `registry`.
    objective: name of the objective.
    specs: what the model reads: name -> shape and dtype without the clips; the
      channels come last.
    clips: in a step.
    classes: number of classes.
    parameters: number that the network must have.

  Returns:
    None for a model or an objective that is not written down here, or not with
    these settings.
  """
  if model.name not in NETWORKS or objective not in OBJECTIVES:
    return None
  [spec] = specs.values()
  views, height, width, channels = spec.shape
  torch.set_num_threads(1)
  net = NETWORKS[model.name](model, width, classes)
  if loso_torch.count(net) != parameters:
    return None
  images = torch.randn(clips, views, channels, height, width)
  labels = torch.arange(clips) % classes
  optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
  loss_of = OBJECTIVES[objective]

  def step():
    optimiser.zero_grad()
    loss_of(net, images, labels).backward()
    optimiser.step()

  return step
