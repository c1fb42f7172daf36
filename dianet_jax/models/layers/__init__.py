"""Layers that all models share: convolution, normalisation, pooling, attention.

In: arrays. Out: arrays. May import: core.

`cpu.switched_off()` gives all of them their plain forms.
"""

from dianet_jax.models.layers import cpu as cpu
from dianet_jax.models.layers.attention import (
  MultiHeadDotProductAttention as MultiHeadDotProductAttention,
)
from dianet_jax.models.layers.conv import Conv as Conv
from dianet_jax.models.layers.normalization import BatchNorm as BatchNorm
from dianet_jax.models.layers.pooling import avg_pool as avg_pool
from dianet_jax.models.layers.pooling import max_pool as max_pool
