"""Attention whose softmax sees float32 scores."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


# Flax passes on only the arguments that the signature names: all of its own.
@functools.wraps(nn.dot_product_attention, assigned=())
def dot_product_attention(
  query: Float[Array, '*batch query head feature'],
  key: Float[Array, '*batch key head feature'],
  value: Float[Array, '*batch key head value_feature'],
  *arguments: Any,
  dtype: Any = None,
  **options: Any,
) -> Float[Array, '*batch query head value_feature']:
  """`flax.linen.dot_product_attention` with scores and weights in float32.

  Flax rounds the scores to `dtype`, in bfloat16 to 8 bits, before the softmax.

  Args:
    query: of any float type.
    key: of any float type.
    value: of any float type.
    *arguments: further ones of `flax.linen.dot_product_attention`.
    dtype: of the result; None is the type of the first three.
    **options: as `arguments`.
  """
  dtype = dtype or jnp.result_type(query, key, value)
  wide = jnp.promote_types(dtype, jnp.float32)
  return nn.dot_product_attention(
    query, key, value, *arguments, dtype=wide, **options
  ).astype(dtype)


# `flax.linen.MultiHeadDotProductAttention` with the softmax in float32.
MultiHeadDotProductAttention = functools.partial(
  nn.MultiHeadDotProductAttention, attention_fn=dot_product_attention
)
