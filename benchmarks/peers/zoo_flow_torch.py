"""Networks of images of optical flow, see `peers.zoo_torch`."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.zoo_layers_torch import Block, merged, mlp, split


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


class _MaskedAttention(nn.Module):
  """Attention that opposite tokens of a map have no part in."""

  def __init__(self, width: int, tokens: int, settings: Any, scale: float):
    super().__init__()
    self.heads, self.scale = settings.block_heads, scale
    self.query = nn.Linear(width, width)
    self.keys = nn.Linear(width, 2 * width)
    self.out = nn.Linear(width, width)
    pairs = torch.eye(tokens).flip(0)
    penalty = -settings.gamma * pairs * torch.arange(1, tokens + 1)
    self.register_buffer('mask', 1 - pairs)
    self.register_buffer('penalty', penalty)

  def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    query, key, value = (
      split(part, self.heads)
      for part in (self.query(x), *self.keys(context).chunk(2, -1))
    )
    scores = query @ key.mT / self.scale * self.mask + self.penalty
    return self.out(merged(scores.softmax(-1) * self.mask @ value))


class _Crosswise(nn.Module):
  """Two streams attend to each other, with shared weights."""

  def __init__(self, width: int, tokens: int, settings: Any):
    super().__init__()
    self.norm = nn.LayerNorm(width)
    self.attention = _MaskedAttention(width, tokens, settings, width**0.5)
    self.mlp = mlp(width, 4 * width)

  def forward(
    self, x: torch.Tensor, y: torch.Tensor
  ) -> tuple[torch.Tensor, torch.Tensor]:
    normed_x, normed_y = self.norm(x), self.norm(y)
    x = x + self.attention(normed_x, y)
    y = y + self.attention(normed_y, x)
    return x + self.mlp(x), y + self.mlp(y)


class _Temporal(nn.Module):
  """Each token of v attends to itself and to that of u."""

  def __init__(self, width: int, heads: int):
    super().__init__()
    self.heads = heads
    self.query = nn.Linear(width, width)
    self.keys = nn.Linear(width, 2 * width)
    self.out = nn.Linear(width, width)

  def forward(self, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    pairs = self.keys(torch.stack([u, v], 2)).chunk(2, -1)
    query, key, value = (
      split(part, self.heads) for part in (self.query(v)[:, :, None], *pairs)
    )
    found = functional.scaled_dot_product_attention(query, key, value)
    return self.out(merged(found)[:, :, 0])


class _Causal(nn.Module):
  """Both directions in time, and attention between their results."""

  def __init__(self, width: int, tokens: int, settings: Any):
    super().__init__()
    self.heads = settings.block_heads
    scale = (width // self.heads) ** 0.5
    self.norm = nn.LayerNorm(width)
    self.attention = _MaskedAttention(width, tokens, settings, scale)
    self.mlp = mlp(width, 4 * width)
    self.temporal = _Temporal(width, self.heads)
    self.common = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
    self.out = nn.Linear(width, width)

  def forward(self, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    forward, v_forward = self._one_way(x, y)
    backward, v_backward = self._one_way(y, x)
    together = v_backward + v_forward
    sources = v_forward, v_backward, together
    query, key, value = (
      split(linear(source), self.heads)
      for linear, source in zip(self.common, sources)
    )
    found = functional.scaled_dot_product_attention(query, key, value)
    return [self.out(merged(found) + together), forward, backward]

  def _one_way(self, u, v):
    u, v = self.norm(u), self.norm(v)
    u, v = u + self.attention(u, u), v + self.attention(v, v)
    v = v + self.temporal(u, v)
    return u + self.mlp(u), v + self.mlp(v)


class CausalNet(nn.Module):
  """Flow and position images of both phases."""

  def __init__(self, settings: Any, size: int, classes: int):
    super().__init__()
    levels = 2 ** (len(settings.repeats) - 1)
    tokens = (2 * size // settings.patch // levels) ** 2
    width = settings.width
    self.trunks = nn.ModuleList(_trunk(settings, size) for _ in range(2))
    self.crosswise = nn.ModuleList(
      _Crosswise(width, tokens, settings) for _ in range(settings.depth)
    )
    self.causal = _Causal(width, tokens, settings)
    self.head = nn.Sequential(
      nn.Linear(3 * tokens * width, settings.head_width),
      nn.Linear(settings.head_width, classes),
    )

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    # Position images are the last views; where ours derives them, they are made
    # beforehand, and the flow stands in for them.
    return self.fused(images[:, :2], images[:, -2:])

  def fused(self, flow: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    (first, second), (x, y) = (
      self._tokens(trunk, images)
      for trunk, images in zip(self.trunks, (flow, position))
    )
    for layer in self.crosswise:
      x, y = layer(x, y)
    parts = self.causal(first + x, second + y)
    return self.head(torch.cat(parts, 1).flatten(1))

  def _tokens(self, trunk, images):
    """[clip, phase, ...] -> tokens of each phase."""
    maps = functional.pixel_shuffle(trunk(images.flatten(0, 1)), 2)
    tokens = maps.flatten(2).transpose(1, 2)
    return tokens.unflatten(0, (-1, 2)).unbind(1)
