"""Networks of frames and of long-term flow, see `peers.zoo_torch`."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.zoo_layers_torch import Block, DropPath

_HEADS = 2


def _on_last(convolution: nn.Module, x: torch.Tensor) -> torch.Tensor:
  """A layer of [clip, feature, row, column], on features that come last."""
  return convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _depthwise(width: int, size: int) -> nn.Conv2d:
  return nn.Conv2d(width, width, size, padding=size // 2, groups=width)


class _Retention(nn.Module):
  """Attention that decays with distance: of a map, or of rows, then columns."""

  def __init__(self, width: int, side: int, whole: bool):
    super().__init__()
    self.whole = whole
    self.query, self.key, self.value, self.out = (
      nn.Linear(width, width) for _ in range(4)
    )
    self.local = _depthwise(width, 5)
    features = width // _HEADS
    angle = 10000 ** -torch.linspace(0, 1, features // 2)
    turn = torch.arange(side**2)[:, None] * angle.repeat_interleave(2)
    self.register_buffer('cos', turn.cos())
    self.register_buffer('sin', turn.sin())
    spread = (6 if whole else 4) * torch.arange(_HEADS) / _HEADS
    decay = (1 - 2 ** (-2 - spread)).log()[:, None, None]
    place = torch.arange(side)
    apart = (place[:, None] - place).abs()
    if whole:
      apart = apart[:, None, :, None] + apart[:, None]
      fade = decay * apart.reshape(side**2, side**2)
    else:
      fade = (decay * apart)[:, None]
    self.register_buffer('fade', fade)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """[clip, row, column, feature]."""
    value = self.value(x)
    local = _on_last(self.local, value)
    query, key, value = (
      y.flatten(1, 2).unflatten(-1, (_HEADS, -1)).transpose(1, 2)
      for y in (self.query(x), self.key(x), value)
    )
    query = self._turned(query)
    key = self._turned(key * key.shape[-1] ** -0.5)
    if self.whole:
      value = self._faded(query, key, value)
    else:
      query, key, value = (
        y.unflatten(2, x.shape[1:3]) for y in (query, key, value)
      )
      value = self._faded(query, key, value)
      columns = (y.transpose(2, 3) for y in (query, key, value))
      value = self._faded(*columns).transpose(2, 3).flatten(2, 3)
    value = value.transpose(1, 2).reshape(x.shape)
    return self.out(value + local)

  def _turned(self, x):
    """Rotary positions of [clip, head, place, feature]."""
    swapped = torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
    return x * self.cos + swapped * self.sin

  def _faded(self, query, key, value):
    return (query @ key.mT + self.fade).softmax(-1) @ value


class _RetentionBlock(nn.Module):
  """Positional convolution, retention and MLP, each with a shortcut."""

  def __init__(self, width: int, side: int, whole: bool, drop_path: float):
    super().__init__()
    self.place = _depthwise(width, 3)
    self.norms = nn.ModuleList([nn.LayerNorm(width, 1e-6) for _ in range(2)])
    self.retention = _Retention(width, side, whole)
    self.expand = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU())
    self.local = _depthwise(3 * width, 3)
    self.reduce = nn.Linear(3 * width, width)
    self.drop = DropPath(drop_path)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """[clip, row, column, feature]."""
    x = x + _on_last(self.place, x)
    x = x + self.drop(self.retention(self.norms[0](x)))
    y = self.expand(self.norms[1](x))
    return x + self.drop(self.reduce(y + _on_last(self.local, y)))


class _Position(nn.Module):
  """A small transformer on the face, reduced to a pixel for each token."""

  def __init__(self, width: int, side: int, antialias: bool):
    super().__init__()
    self.side, self.antialias = side, antialias
    self.patches = nn.Conv2d(3, width, 1)
    self.table = nn.Parameter(torch.randn(side**2, width) * 0.02)
    self.blocks = nn.Sequential(
      *(Block(width, 4, 4 * width) for _ in range(2)),
      nn.LayerNorm(width, 1e-6),
    )

  def forward(self, face: torch.Tensor) -> torch.Tensor:
    """[clip, row, column, feature]."""
    small = functional.interpolate(
      face, (self.side,) * 2, mode='bilinear', antialias=self.antialias
    )
    tokens = self.patches(small).flatten(2).transpose(1, 2)
    return self.blocks(tokens + self.table).unflatten(1, (self.side,) * 2)


class _RetentionNet(nn.Module):
  """A motion image and the face in which it happens."""

  def __init__(self, settings: Any, size: int, classes: int):
    super().__init__()
    widths, depths = settings.widths, (1, 1, 2, 1)
    stem, before, stride = [], 3, settings.stem_stride
    for width in (widths[0] // 2,) * 2 + (widths[0],) * 2:
      stem += [
        nn.Conv2d(before, width, 3, stride, 1),
        nn.BatchNorm2d(width),
        nn.GELU(),
      ]
      before, stride = width, 1
    self.stem = nn.Sequential(*stem[:-1])
    side = -(-size // settings.stem_stride)
    rates = iter(torch.linspace(0, settings.drop_path, sum(depths)).tolist())
    self.stages, self.reductions = nn.ModuleList(), nn.ModuleList()
    for stage, (width, depth) in enumerate(zip(widths, depths)):
      self.stages.append(
        nn.Sequential(
          *(
            _RetentionBlock(width, side, stage > 1, next(rates))
            for _ in range(depth)
          )
        )
      )
      if stage < 3:
        wider, side = widths[stage + 1], -(-side // 2)
        self.reductions.append(
          nn.Sequential(nn.Conv2d(width, wider, 3, 2, 1), nn.BatchNorm2d(wider))
        )
    self.position = _Position(widths[-1], side, settings.antialias)
    self.project = nn.Linear(widths[-1], settings.projection)
    self.norm = nn.BatchNorm1d(settings.projection)
    self.classifier = nn.Linear(settings.projection, classes)

  def forward(self, motion: torch.Tensor, face: torch.Tensor) -> torch.Tensor:
    x = self.stem(motion).permute(0, 2, 3, 1)
    for stage, blocks in enumerate(self.stages):
      x = blocks(x)
      if stage < 3:
        x = _on_last(self.reductions[stage], x)
    x = self.project((x + self.position(face)).flatten(1, 2))
    x = functional.silu(self.norm(x.transpose(1, 2)))
    return self.classifier(x.mean(-1))


class TSFmicro(_RetentionNet):
  """Apex minus onset, and the onset."""

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    return super().forward(images[:, 0], images[:, 1])


class GAMDSS(_RetentionNet):
  """Onset, apex and offset; both phases have logits, the first predicts."""

  def heads(self, images: torch.Tensor) -> list[torch.Tensor]:
    onset, apex, offset = images.unbind(1)
    predict = super().forward
    return [predict(apex - onset, onset), predict(apex - offset, apex)]

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    return self.heads(images)[0]


class SLSTT(nn.Module):
  """A vision transformer, all of it trained, and an LSTM over its tokens."""

  def __init__(self, settings: Any, size: int, classes: int):
    super().__init__()
    width, patch = settings.width, settings.patch
    self.size = settings.enlarge or size
    tokens = (self.size // patch) ** 2
    self.patches = nn.Conv2d(3, width, patch, patch)
    self.class_token = nn.Parameter(torch.zeros(width))
    self.position = nn.Parameter(torch.randn(1 + tokens, width) * 0.02)
    self.blocks = nn.Sequential(
      *(
        Block(
          width,
          settings.heads,
          settings.mlp_width,
          dropout=settings.dropout,
          gelu='tanh',
        )
        for _ in range(settings.depth)
      )
    )
    self.norm = nn.LayerNorm(width, 1e-6)
    self.lstm = nn.LSTM(
      width, settings.lstm_width, settings.lstm_depth, batch_first=True
    )
    self.head = nn.Sequential(
      nn.Linear(settings.lstm_width, settings.head_width),
      nn.ReLU(),
      nn.Linear(settings.head_width, classes),
    )

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    clips, frames = images.shape[:2]
    x = functional.interpolate(
      images.flatten(0, 1), (self.size,) * 2, mode='bilinear'
    )
    x = self.patches(x).flatten(2).transpose(1, 2)
    first = self.class_token.expand(len(x), 1, -1)
    x = self.blocks(torch.cat([first, x], 1) + self.position)[:, 0]
    outputs, _ = self.lstm(self.norm(x).view(clips, frames, -1))
    return self.head(outputs[:, -1])
