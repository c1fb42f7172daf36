"""Networks of images of optical flow, see `peers.zoo_torch`."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.zoo_layers_torch import Block


class STSTNet(nn.Module):
  """Three branches on the image of the first phase."""

  def __init__(self, settings: Any, size: int, classes: int):
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
    side = (size + 4) // 3 // 2
    self.classifier = nn.Linear(side**2 * sum(settings.filters), classes)

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    found = torch.cat([branch(images[:, 0]) for branch in self.branches], 1)
    return self.classifier(self.pool(found).flatten(1))


class OffApexNet(nn.Module):
  """A stream for each component of the first phase's flow."""

  def __init__(self, settings: Any, size: int, classes: int):
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
      nn.Linear(2 * (size // 4) ** 2 * second, width),
      nn.ReLU(),
      nn.Dropout(0.5),
      nn.Linear(width, width),
      nn.ReLU(),
      nn.Dropout(0.5),
      nn.Linear(width, classes),
    )

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    streams = [
      stream(images[:, 0, channel : channel + 1])
      for channel, stream in enumerate(self.streams)
    ]
    return self.head(torch.cat(streams, 1))


class _Level(nn.Module):
  """Attention within the blocks of a map."""

  def __init__(self, width: int, heads: int, repeats: int, rows: int, cut: int):
    super().__init__()
    self.cut = cut
    self.position = nn.Parameter(torch.randn((rows // cut) ** 2, 1))
    self.blocks = nn.Sequential(
      *(
        Block(width, heads, 4 * width, bias=False, epsilon=1e-5)
        for _ in range(repeats)
      )
    )

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


def _trunk(settings: Any, size: int) -> nn.Sequential:
  """HTNet without its head."""
  width, heads = settings.width, settings.heads
  rows, cut = size // settings.patch, 2 ** (len(settings.repeats) - 1)
  layers: list[nn.Module] = [
    nn.Conv2d(3, width, settings.patch, settings.patch)
  ]
  for repeats in settings.repeats:
    layers.append(_Level(width, heads, repeats, rows, cut))
    if cut > 1:
      width, heads, rows, cut = 2 * width, 2 * heads, rows // 2, cut // 2
      layers.append(_Aggregate(width))
  return nn.Sequential(*layers)


class HTNet(nn.Module):
  """Attention within blocks, which are merged level by level."""

  def __init__(self, settings: Any, size: int, classes: int):
    super().__init__()
    self.trunk = _trunk(settings, size)
    width = settings.width * 2 ** (len(settings.repeats) - 1)
    self.norm = nn.LayerNorm(width)
    self.classifier = nn.Linear(width, classes)

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    found = self.norm(self.trunk(images[:, 0]).movedim(1, -1))
    return self.classifier(found.mean((1, 2)))
