"""SKD-TSTSAN and its temporal stream alone, see `peers.zoo_torch`."""

from collections.abc import Iterable
import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from dianet_jax.models.zoo.magnifier import widths_of

# Onset to apex, apex to offset.
_SEGMENTS = 2
# A logit vector, and the features that it is made of.
Head = tuple[torch.Tensor, torch.Tensor]


def _reflected(before: int, width: int, size: int = 3, stride: int = 1):
  return nn.Conv2d(
    before,
    width,
    size,
    stride,
    size // 2,
    bias=False,
    padding_mode='reflect',
  )


class _Residual(nn.Module):
  def __init__(self, width: int):
    super().__init__()
    self.body = nn.Sequential(
      _reflected(width, width), nn.ReLU(), _reflected(width, width)
    )

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    return x + self.body(x)


class _Magnifier(nn.Module):
  """Features of the apex, with amplified motion."""

  def __init__(self, channels: int, settings: Any):
    super().__init__()
    low, high = widths_of(16, 32, factor=settings.width)
    self.amplification = settings.amplification
    self.encode = nn.Sequential(
      _reflected(channels, low, 7),
      nn.ReLU(),
      _reflected(low, high, stride=2),
      nn.ReLU(),
      *(_Residual(high) for _ in range(3)),
      _reflected(high, high),
      nn.ReLU(),
      *(_Residual(high) for _ in range(2)),
    )
    self.difference = nn.Sequential(_reflected(high, high, 7), nn.ReLU())
    self.amplify = nn.Sequential(_reflected(high, high), _Residual(high))

  def forward(self, onset: torch.Tensor, apex: torch.Tensor) -> torch.Tensor:
    onset, apex = self.encode(onset), self.encode(apex)
    motion = self.difference(apex - onset) * self.amplification
    return apex + self.amplify(motion)


class _Shift(nn.Module):
  """An eighth of the features from the next segment, and the previous one."""

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """[clip segment, feature, row, column]."""
    part = x.shape[1] // 8
    x = x.unflatten(0, (-1, _SEGMENTS))
    shifted = torch.zeros_like(x)
    shifted[:, :-1, :part] = x[:, 1:, :part]
    shifted[:, 1:, part : 2 * part] = x[:, :-1, part : 2 * part]
    shifted[:, :, 2 * part :] = x[:, :, 2 * part :]
    return shifted.flatten(0, 1)


class _ChannelAttention(nn.Module):
  """Weights of channels, from mean and maximum of neighbouring ones."""

  def __init__(self, width: int):
    super().__init__()
    size = int((math.log2(width) + 1) / 2)
    size += 1 - size % 2
    self.convolution = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    summed = sum(
      self.convolution(pool(x, 1)[:, None, :, 0, 0])
      for pool in (
        functional.adaptive_avg_pool2d,
        functional.adaptive_max_pool2d,
      )
    )
    return x * summed.sigmoid()[:, 0, :, None, None]


class _Stream(nn.Module):
  """Onset and apex -> features of the main path and of two branches."""

  def __init__(
    self,
    channels: int,
    settings: Any,
    temporal: bool = False,
    local: bool = False,
  ):
    super().__init__()
    high, narrow, wide = widths_of(32, 64, 128, factor=settings.width)

    def layer(before, width):
      return nn.Sequential(
        _Shift() if temporal else nn.Identity(),
        nn.Conv2d(before, width, 3, padding=1),
        *after(width),
      )

    def after(width):
      yield nn.BatchNorm2d(width)
      yield nn.ReLU()
      if local:
        yield _ChannelAttention(width)

    self.segments = _SEGMENTS if temporal else 1
    self.magnifier = _Magnifier(channels, settings)
    self.stem = nn.Sequential(
      nn.Conv2d(high, narrow, 5), *after(narrow), nn.MaxPool2d(5, 2, 2)
    )
    self.middle = nn.Sequential(
      layer(narrow, narrow), layer(narrow, narrow), nn.AvgPool2d(3, 2, 1)
    )
    self.branch_1, self.branch_2, self.top = (
      nn.Sequential(layer(narrow, wide), layer(wide, wide)) for _ in range(3)
    )

  def forward(
    self, onset: torch.Tensor, apex: torch.Tensor
  ) -> list[torch.Tensor]:
    """[clip segment, channel, height, width] -> [clip, feature], three."""
    early = self.stem(self.magnifier(onset, apex))
    late = self.middle(early)
    maps = self.top(late), self.branch_1(early), self.branch_2(late)
    return [
      x.mean((2, 3)).unflatten(0, (-1, self.segments)).mean(1) for x in maps
    ]


class _Network(nn.Module):
  """Streams, and a classifier for the main path and for each branch."""

  def __init__(self, settings: Any, streams: Iterable[_Stream], classes: int):
    super().__init__()
    self.streams = nn.ModuleList(streams)
    [wide] = widths_of(128, factor=settings.width)
    self.dropout = nn.Dropout(settings.dropout)
    self.classifiers = nn.ModuleList(
      nn.Linear(len(self.streams) * wide, classes) for _ in range(3)
    )

  def features(self, images: torch.Tensor) -> Iterable[list[torch.Tensor]]:
    """Those of each stream."""
    raise NotImplementedError

  def heads(self, images: torch.Tensor) -> list[Head]:
    """The main path and both branches."""
    features = [torch.cat(parts, 1) for parts in zip(*self.features(images))]
    return [
      (classifier(self.dropout(feature)), feature)
      for classifier, feature in zip(self.classifiers, features)
    ]

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    return self.heads(images)[0][0]


class TemporalStream(_Network):
  """The flow of both phases; there is none at the onset."""

  def __init__(self, settings: Any, size: int, classes: int):
    super().__init__(settings, [_Stream(2, settings, temporal=True)], classes)
    self.size = settings.enlarge or size

  def features(self, images: torch.Tensor) -> Iterable[list[torch.Tensor]]:
    flow = functional.interpolate(
      images[:, :, :2].flatten(0, 1), (self.size,) * 2, mode='bilinear'
    )
    [stream] = self.streams
    yield stream(torch.zeros_like(flow), flow)


class SKDTSTSAN(_Network):
  """Blocks of the face, the face, and flow, in 38 channels."""

  def __init__(self, settings: Any, size: int, classes: int):
    streams = (
      _Stream(16, settings, local=True),
      _Stream(1, settings),
      _Stream(2, settings, temporal=True),
    )
    super().__init__(settings, streams, classes)

  def features(self, images: torch.Tensor) -> Iterable[list[torch.Tensor]]:
    [x] = images.unbind(1)
    local, static, temporal = self.streams
    flow = x[:, 34:].unflatten(1, (_SEGMENTS, 2)).flatten(0, 1)
    yield local(x[:, 18:34], x[:, 2:18])
    yield static(x[:, 1:2], x[:, :1])
    yield temporal(torch.zeros_like(flow), flow)
