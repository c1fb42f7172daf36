"""DIANet's streams with BioViL-T's and GBAN's fusions, see `peers.zoo_torch`.

Without BioViL-T's losses between images, which no row of the zoo has.
"""

from typing import Any

import torch
from torch import nn

from benchmarks.peers import loso_torch
from benchmarks.peers.zoo_layers_torch import Attention, DropPath
from dianet_jax.models.fusions import biovilt


def _tokens(backbone: nn.Module, image: torch.Tensor) -> torch.Tensor:
  return backbone(image).flatten(2).transpose(1, 2)


class _PoolerBlock(nn.Module):
  """A transformer block whose positions enter queries, keys and values."""

  def __init__(self, width: int, heads: int):
    super().__init__()
    self.norms = nn.ModuleList([nn.LayerNorm(width, 1e-6) for _ in range(2)])
    self.attention = Attention(width, heads, bias=False, dropout=0.1)
    self.mlp = nn.Sequential(
      nn.Linear(width, width),
      nn.GELU(),
      nn.Dropout(0.1),
      nn.Linear(width, width),
    )
    self.dropout, self.drop = nn.Dropout(0.1), DropPath(0.25)

  def forward(self, x: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    y = self.attention(self.norms[0](x) + place)
    x = x + self.drop(self.dropout(y))
    return x + self.drop(self.dropout(self.mlp(self.norms[1](x))))


class BioViLT(nn.Module):
  """The first phase, and what the second adds to it; either may be hidden."""

  def __init__(self, settings: Any, size: int, classes: int):
    super().__init__()
    make = loso_torch.BACKBONES[settings.backbone]
    self.backbone = make()
    tokens, width = loso_torch.tokens_of(make(), size)
    table = biovilt.positions(int(tokens**0.5), width)
    self.register_buffer('place', torch.from_numpy(table).float())
    self.types = nn.Parameter(torch.randn(2, width) * 0.02)
    self.missing = nn.Parameter(torch.randn(width) * 0.02)
    self.blocks = nn.ModuleList(
      _PoolerBlock(width, settings.heads) for _ in range(settings.depth)
    )
    self.norm = nn.LayerNorm(width, 1e-6)
    self.token_dropout = nn.Dropout(0.1)
    self.phase_dropout = settings.phase_dropout
    self.dropout = nn.Dropout(settings.dropout)
    self.flat = settings.pool == 'flatten'
    self.classifier = nn.Linear(
      2 * width * (tokens if self.flat else 1), classes
    )

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    current, previous = (
      _tokens(self.backbone, image) for image in images.unbind(1)
    )
    place = torch.cat([self.place + kind for kind in self.types])
    x = self.token_dropout(torch.cat([current, previous], 1))
    for block in self.blocks:
      x = block(x, place)
    added = self.norm(x[:, : current.shape[1]])
    if self.training:
      drawn = torch.rand(2, len(x), 1, 1)
      hides, first = drawn[0] < self.phase_dropout, drawn[1] < 0.5
      added = torch.where(hides, self.missing, added)
      current = torch.where(hides & first, previous, current)
    found = torch.cat([current, added], -1)
    vector = found.flatten(1) if self.flat else found.mean(1)
    return self.classifier(self.dropout(vector))


class GBAN(nn.Module):
  """Alignment of both phases, and the sum of two gated groups."""

  def __init__(self, settings: Any, size: int, classes: int):
    super().__init__()
    make = loso_torch.BACKBONES[settings.backbone]
    self.backbones = nn.ModuleList([make(), make()])
    _, width = loso_torch.tokens_of(make(), size)
    self.scales = nn.Parameter(
      (torch.rand(width, 2) * 2 - 1) * (3 / width) ** 0.5
    )
    gate = settings.gate_width
    self.first, self.second, self.gates = (
      nn.ModuleList(nn.Linear(before, gate, bias=False) for _ in range(2))
      for before in (width, width, 2 * width)
    )
    self.head = nn.Sequential(
      nn.Linear(gate, settings.hidden_width),
      nn.ReLU(),
      nn.Dropout(settings.dropout),
      nn.Linear(settings.hidden_width, classes),
    )

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    first, second = (
      _tokens(backbone, image)
      for backbone, image in zip(self.backbones, images.unbind(1))
    )
    both = torch.tanh(first[:, :, None] + second[:, None])
    # [clip, token of the first, token of the second].
    to_first, to_second = (both @ self.scales).unbind(-1)
    weights = to_first.softmax(1).mean(2), to_second.softmax(2).mean(1)
    aligned = (
      (weight[:, None] @ tokens)[:, 0]
      for weight, tokens in zip(weights, (first, second))
    )
    groups = tuple(aligned), (first.mean(1), second.mean(1))
    fused = 0
    for group, (own, other) in enumerate(groups):
      gate = self.gates[group](torch.cat([other, own], -1)).sigmoid()
      other = self.second[group](other).tanh()
      fused = fused + gate * other + (1 - gate) * self.first[group](own).tanh()
    return self.head(fused)
