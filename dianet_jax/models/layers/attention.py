"""Attention whose softmax sees float32 scores."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


# Flax passes only arguments that the signature names; `wraps` shows it the
# signature of its own function, which names all of them.
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

  Flax rounds the scores to `dtype` before the softmax: to 8 bits in bfloat16.

  A query without direction weighs all values alike:

  >>> query, key = jnp.zeros((1, 1, 2)), jnp.ones((2, 1, 2))
  >>> value = jnp.array([[[1.0]], [[3.0]]])
  >>> dot_product_attention(query, key, value).tolist()
  [[[2.0]]]

  Args:
    query: any float dtype.
    key: any float dtype.
    value: any float dtype.
    *arguments: further arguments of `flax.linen.dot_product_attention`.
    dtype: dtype of the result; None for the common dtype of query, key, value.
    **options: further options of `flax.linen.dot_product_attention`.

  Returns:
    For every query, the mean of the values, weighted by the softmax over keys
    of query . key / sqrt(features).
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
