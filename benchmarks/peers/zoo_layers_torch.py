"""Layers that several networks of `peers.zoo_torch` share."""

import torch
from torch import nn
from torch.nn import functional


def split(x: torch.Tensor, heads: int) -> torch.Tensor:
  """[..., token, feature] -> [..., head, token, feature of the head]."""
  return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def merged(x: torch.Tensor) -> torch.Tensor:
  """The reverse of `split`."""
  return x.transpose(-2, -3).flatten(-2)


class Attention(nn.Module):
  """Self-attention; one matrix makes queries, keys and values."""

  def __init__(
    self, width: int, heads: int, bias: bool = True, dropout: float = 0.0
  ):
    super().__init__()
    inner = width // heads * heads
    self.heads, self.dropout = heads, dropout
    self.queries = nn.Linear(width, 3 * inner, bias)
    self.out = nn.Linear(inner, width)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    query, key, value = (
      split(part, self.heads) for part in self.queries(x).chunk(3, -1)
    )
    dropout = self.dropout if self.training else 0.0
    attended = functional.scaled_dot_product_attention(
      query, key, value, dropout_p=dropout
    )
    return self.out(merged(attended))


def mlp(width: int, hidden: int, gelu: str = 'none') -> nn.Sequential:
  return nn.Sequential(
    nn.Linear(width, hidden), nn.GELU(gelu), nn.Linear(hidden, width)
  )


class Block(nn.Module):
  """Attention, then two linear layers, each after a normalisation."""

  def __init__(
    self,
    width: int,
    heads: int,
    hidden: int,
    *,
    bias: bool = True,
    epsilon: float = 1e-6,
    dropout: float = 0.0,
    gelu: str = 'none',
  ):
    super().__init__()
    self.norms = nn.ModuleList([nn.LayerNorm(width, epsilon) for _ in range(2)])
    self.attention = Attention(width, heads, bias, dropout)
    self.mlp = mlp(width, hidden, gelu)
    self.dropout = nn.Dropout(dropout)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """[block, token, feature]."""
    x = x + self.dropout(self.attention(self.norms[0](x)))
    return x + self.dropout(self.mlp(self.norms[1](x)))


class DropPath(nn.Module):
  """Leaves a residual branch out, clip by clip, in training."""

  def __init__(self, rate: float):
    super().__init__()
    self.dropout = nn.Dropout(rate)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    return x * self.dropout(x.new_ones(len(x), *(1,) * (x.ndim - 1)))
