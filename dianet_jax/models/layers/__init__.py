"""Layers that all models share: convolution, norms, pooling, transformers.

In: arrays. Out: arrays. May import: core.

`cpu.switched_off()` gives all of them their plain forms, `cpu.for_one_clip()`
those that are fast for single clips.
"""

from dianet_jax.models.layers import cpu as cpu
from dianet_jax.models.layers.attention import (
  MultiHeadDotProductAttention as MultiHeadDotProductAttention,
)
from dianet_jax.models.layers.conv import Conv as Conv
from dianet_jax.models.layers.normalization import BatchNorm as BatchNorm
from dianet_jax.models.layers.pooling import avg_pool as avg_pool
from dianet_jax.models.layers.pooling import largest as largest
from dianet_jax.models.layers.pooling import max_pool as max_pool
from dianet_jax.models.layers.temporal import temporal_shift as temporal_shift
from dianet_jax.models.layers.transformer import Attention as Attention
from dianet_jax.models.layers.transformer import Block as Block
from dianet_jax.models.layers.transformer import DropPath as DropPath
from dianet_jax.models.layers.transformer import Mlp as Mlp
from dianet_jax.models.layers.transformer import gelu as gelu
from dianet_jax.models.layers.transformer import grid_side as grid_side
from dianet_jax.models.layers.transformer import (
  uniform_fan_in as uniform_fan_in,
)
from dianet_jax.models.layers.transformer import widened as widened
