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
  zoo_frames_torch,
  zoo_fusions_torch,
  zoo_skd_torch,
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
  'gban': zoo_fusions_torch.GBAN,
  'biovilt': zoo_fusions_torch.BioViLT,
  'skd_tstsan_t': zoo_skd_torch.TemporalStream,
  'skd_tstsan': zoo_skd_torch.SKDTSTSAN,
  'slstt': zoo_frames_torch.SLSTT,
  'tsfmicro': zoo_frames_torch.TSFmicro,
  'gamdss': zoo_frames_torch.GAMDSS,
}


def _cross_entropy(net, images, labels):
  return functional.cross_entropy(net(images), labels)


def _auxiliary_heads(net, images, labels):
  return sum(
    functional.cross_entropy(logits, labels) for logits in net.heads(images)
  )


def _self_distillation(net, images, labels):
  """With the constants of SKD-TSTSAN."""
  alpha, temperature, beta = 0.1, 3.0, 1e-6

  def focal(logits):
    losses = functional.cross_entropy(logits, labels, reduction='none')
    return ((1 - (-losses).exp()) ** 2 * losses).mean()

  (logits, features), *branches = net.heads(images)
  loss = focal(logits)
  taught = features.detach()
  target = (logits.detach() / temperature).softmax(-1)
  for student, learnt in branches:
    divergence = functional.kl_div(
      (student / temperature).log_softmax(-1), target, reduction='batchmean'
    )
    counted = (learnt > 0) | (taught > 0)
    distance = ((learnt - taught) ** 2 * counted).sum()
    loss = loss + (1 - alpha) * focal(student)
    loss = loss + alpha * temperature**2 * divergence + beta * distance
  return loss


OBJECTIVES: Mapping[str, Callable[..., torch.Tensor]] = {
  'cross_entropy': _cross_entropy,
  'auxiliary_heads': _auxiliary_heads,
  'self_distillation': _self_distillation,
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
