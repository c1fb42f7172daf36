"""DIANet and its training in eager PyTorch, as a user would write them.

In favour of PyTorch: images are in memory and scaled, nothing is augmented,
the optimiser is the fused one.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
  """ResNet's basic block."""

  def __init__(self, before: int, width: int, stride: int):
    super().__init__()
    self.body = nn.Sequential(
      nn.Conv2d(before, width, 3, stride, 1, bias=False),
      nn.BatchNorm2d(width),
      nn.ReLU(inplace=True),
      nn.Conv2d(width, width, 3, 1, 1, bias=False),
      nn.BatchNorm2d(width),
    )
    self.shortcut = nn.Identity()
    if stride != 1 or before != width:
      self.shortcut = nn.Sequential(
        nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
      )

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    return functional.relu(self.body(x) + self.shortcut(x), inplace=True)


def resnet18() -> nn.Sequential:
  """Without the classifier."""
  layers = [
    nn.Conv2d(3, 64, 7, 2, 3, bias=False),
    nn.BatchNorm2d(64),
    nn.ReLU(inplace=True),
    nn.MaxPool2d(3, 2, 1),
  ]
  before = 64
  for stage, width in enumerate((64, 128, 256, 512)):
    layers.append(Block(before, width, 2 if stage else 1))
    layers.append(Block(width, width, 1))
    before = width
  return nn.Sequential(*layers)


def compact() -> nn.Sequential:
  """`dianet_jax.models.backbones.compact.Compact`."""
  layers, before = [], 3
  for width in (16, 32, 48):
    layers += [
      nn.Conv2d(before, width, 3, 1, 1, bias=False),
      nn.BatchNorm2d(width),
      nn.ReLU(inplace=True),
      nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False),
    ]
    before = width
  return nn.Sequential(*layers)


BACKBONES = {'resnet18': resnet18, 'compact': compact}


def tokens_of(backbone: nn.Module, size: int) -> tuple[int, int]:
  """Positions and features of the map of an image of `size` pixels."""
  with torch.no_grad():
    _, width, rows, columns = backbone(torch.zeros(2, 3, size, size)).shape
  return rows * columns, width


class Attention(nn.Module):
  """Multi-head attention without biases."""

  def __init__(self, width: int, heads: int):
    super().__init__()
    self.heads = heads
    self.query, self.key, self.value, self.out = (
      nn.Linear(width, width, bias=False) for _ in range(4)
    )

  def forward(self, query, key, value) -> torch.Tensor:
    query, key, value = (
      layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
      for layer, x in (
        (self.query, query),
        (self.key, key),
        (self.value, value),
      )
    )
    attended = functional.scaled_dot_product_attention(query, key, value)
    return self.out(attended.transpose(1, 2).flatten(2))


class Dual(nn.Module):
  """A backbone a phase, fused by cross-attention."""

  def __init__(self, backbone: str, pool: str, size: int, classes: int):
    super().__init__()
    make = BACKBONES[backbone]
    self.backbones = nn.ModuleList([make(), make()])
    tokens, width = tokens_of(make(), size)
    self.position = nn.Parameter(torch.randn(tokens, width) * 0.02)
    self.attention = nn.ModuleList([Attention(width, 4) for _ in range(2)])
    self.norm = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
    self.flat = pool == 'flatten'
    self.dropout = nn.Dropout(0.5)
    each = tokens * width if self.flat else width
    self.classifier = nn.Linear(2 * each, classes)

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    """[clip, phase, channel, height, width] -> [clip, class]."""
    phases = [
      backbone(images[:, phase]).flatten(2).transpose(1, 2)
      for phase, backbone in enumerate(self.backbones)
    ]
    fused = []
    for phase, (attention, norm) in enumerate(zip(self.attention, self.norm)):
      own, other = phases[phase], phases[1 - phase]
      attended = attention(own + self.position, other + self.position, other)
      vector = norm(own + attended)
      fused.append(vector.flatten(1) if self.flat else vector.mean(1))
    return self.classifier(self.dropout(torch.cat(fused, 1)))


def count(net: nn.Module) -> int:
  """Parameters."""
  return sum(parameter.numel() for parameter in net.parameters())


def train_fold(
  case, images: torch.Tensor, labels: torch.Tensor, fold: int
) -> np.ndarray:
  """Trains a new network on a fold, as `case` says, and predicts its clips.

  Args:
    case: a `loso.Case`.
    images: float32 [clip, phase, channel, height, width].
    labels: int64 [clip].
    fold: the held-out subject.

  Returns:
    float32 [clip, class], of the held-out clips.
  """
  net = Dual(case.backbone, case.pool, case.size, case.classes)
  optimiser = torch.optim.AdamW(
    net.parameters(), lr=1e-3, weight_decay=1e-2, fused=True
  )
  held_out = torch.from_numpy(case.held_out(fold))
  kept = torch.nonzero(~held_out)[:, 0]
  for _ in range(case.epochs):
    order = kept[torch.randperm(len(kept))]
    for chosen in torch.tensor_split(order, case.steps_per_epoch):
      optimiser.zero_grad()
      loss = functional.cross_entropy(
        net(images[chosen]), labels[chosen], label_smoothing=0.1
      )
      loss.backward()
      optimiser.step()
  net.eval()
  with torch.inference_mode():
    return net(images[held_out]).softmax(-1).numpy()
