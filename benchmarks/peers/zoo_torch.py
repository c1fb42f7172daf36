"""Networks of the zoo in eager PyTorch, as a user would write them.

Images of flow are float32 [clip, channel, height, width]; what a network cuts
out of them before its first layer is done beforehand.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers import loso_torch


class STSTNet(nn.Module):
  """Three branches on one image of 28 x 28 pixels."""

  def __init__(self, settings: Any, classes: int):
    super().__init__()
    self.branches = nn.ModuleList(
      nn.Sequential(
        nn.Conv2d(3, filters, 3, padding=2),
        nn.ReLU(),
        nn.BatchNorm2d(filters),
        nn.MaxPool2d(3, 3, 1),
        nn.Dropout(0.5),
      )
      for filters in settings.filters
    )
    self.pool = nn.AvgPool2d(2, 2)
    self.classifier = nn.Linear(25 * sum(settings.filters), classes)

  def forward(self, image: torch.Tensor) -> torch.Tensor:
    found = torch.cat([branch(image) for branch in self.branches], 1)
    return self.classifier(self.pool(found).flatten(1))


class OffApexNet(nn.Module):
  """A stream for each component of the flow."""

  def __init__(self, settings: Any, classes: int):
    super().__init__()
    first, second = settings.filters
    self.streams = nn.ModuleList(
      nn.Sequential(
        nn.Conv2d(1, first, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(first, second, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Flatten(),
      )
      for _ in range(2)
    )
    width = settings.width
    self.head = nn.Sequential(
      nn.Linear(2 * 49 * second, width),
      nn.ReLU(),
      nn.Dropout(0.5),
      nn.Linear(width, width),
      nn.ReLU(),
      nn.Dropout(0.5),
      nn.Linear(width, classes),
    )

  def forward(self, image: torch.Tensor) -> torch.Tensor:
    streams = [
      stream(image[:, channel : channel + 1])
      for channel, stream in enumerate(self.streams)
    ]
    return self.head(torch.cat(streams, 1))


class _Block(nn.Module):
  """Attention, then two linear layers, each after a normalisation."""

  def __init__(self, width: int, heads: int):
    super().__init__()
    inner = width // heads * heads
    self.heads = heads
    self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
    self.queries = nn.Linear(width, 3 * inner, bias=False)
    self.out = nn.Linear(inner, width)
    self.mlp = nn.Sequential(
      nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
    )

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """[block, token, feature]."""
    query, key, value = (
      part.unflatten(-1, (self.heads, -1)).transpose(-2, -3)
      for part in self.queries(self.norms[0](x)).chunk(3, -1)
    )
    attended = functional.scaled_dot_product_attention(query, key, value)
    x = x + self.out(attended.transpose(-2, -3).flatten(-2))
    return x + self.mlp(self.norms[1](x))


class _Level(nn.Module):
  """Attention within the blocks of a map."""

  def __init__(self, width: int, heads: int, repeats: int, rows: int, cut: int):
    super().__init__()
    self.cut = cut
    self.position = nn.Parameter(torch.randn((rows // cut) ** 2, 1))
    self.blocks = nn.Sequential(*(_Block(width, heads) for _ in range(repeats)))

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """[clip, feature, row, column]."""
    clips, width, rows, _ = x.shape
    cut, side = self.cut, rows // self.cut
    x = x.view(clips, width, cut, side, cut, side).permute(0, 2, 4, 3, 5, 1)
    x = self.blocks(x.reshape(-1, side * side, width) + self.position)
    x = x.view(clips, cut, cut, side, side, width).permute(0, 5, 1, 3, 2, 4)
    return x.reshape(clips, width, rows, rows)


class _Aggregate(nn.Module):
  """Half the rows and columns."""

  def __init__(self, width: int):
    super().__init__()
    self.convolution = nn.Conv2d(width // 2, width, 3, padding=1)
    self.norm = nn.LayerNorm(width)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    x = self.norm(self.convolution(x).movedim(1, -1)).movedim(-1, 1)
    return functional.max_pool2d(x, 3, 2, 1)


class HTNet(nn.Module):
  """Attention within blocks, which are merged level by level."""

  def __init__(self, settings: Any, classes: int):
    super().__init__()
    width, heads = settings.width, settings.heads
    rows, cut = 28 // settings.patch, 2 ** (len(settings.repeats) - 1)
    layers: list[nn.Module] = [
      nn.Conv2d(3, width, settings.patch, settings.patch)
    ]
    for repeats in settings.repeats:
      layers.append(_Level(width, heads, repeats, rows, cut))
      if cut > 1:
        width, heads, rows, cut = 2 * width, 2 * heads, rows // 2, cut // 2
        layers.append(_Aggregate(width))
    self.trunk = nn.Sequential(*layers)
    self.norm = nn.LayerNorm(width)
    self.classifier = nn.Linear(width, classes)

  def forward(self, image: torch.Tensor) -> torch.Tensor:
    found = self.norm(self.trunk(image).movedim(1, -1))
    return self.classifier(found.mean((1, 2)))


def _dianet(settings: Any, classes: int) -> nn.Module:
  return loso_torch.Dual(settings.backbone, settings.pool, 28, classes)


NETWORKS: Mapping[str, Callable[[Any, int], nn.Module]] = {
  'dianet': _dianet,
  'ststnet': STSTNet,
  'offapexnet': OffApexNet,
  'htnet': HTNet,
}


def step_of(
  model: Any, clips: int, classes: int, parameters: int
) -> Callable[[], None] | None:
  """A function that does a training step on noise, on one core.

  Args:
    model: settings of a model, see `registry`.
    clips: in a step.
    classes: number of classes.
    parameters: number that the network must have.

  Returns:
    None for a model that is not written down here, or not with these settings.
  """
  if model.name not in NETWORKS:
    return None
  torch.set_num_threads(1)
  net = NETWORKS[model.name](model, classes)
  if loso_torch.count(net) != parameters:
    return None
  phases = (2,) if model.name == 'dianet' else ()
  images = torch.randn(clips, *phases, 3, 28, 28)
  labels = torch.arange(clips) % classes
  optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)

  def step():
    optimiser.zero_grad()
    functional.cross_entropy(net(images), labels).backward()
    optimiser.step()

  return step
