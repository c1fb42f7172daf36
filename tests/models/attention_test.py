"""Attention against that of flax."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models import layers
from dianet_jax.models.layers import attention
from tests.models.closeness import assert_close, draw, precision


def apply_both(x, options, **arguments):
  own, reference = (
    module(2, **options)
    for module in (
      layers.MultiHeadDotProductAttention,
      nn.MultiHeadDotProductAttention,
    )
  )
  variables = reference.init(jax.random.key(0), x, deterministic=True)
  return (
    module.apply(
      variables,
      x,
      x + 1,
      x - 1,
      rngs={'dropout': jax.random.key(1)},
      mutable='intermediates',
      **arguments,
    )
    for module in (own, reference)
  )


@pytest.mark.parametrize(
  'options,arguments',
  [
    ({}, {}),
    ({}, {'mask': np.tril(np.ones((5, 5), bool))}),
    ({'dropout_rate': 0.5}, {'deterministic': False}),
    ({}, {'sow_weights': True}),
    ({'precision': 'highest', 'normalize_qk': True}, {}),
  ],
  ids=str,
)
def test_every_option_is_honoured(precision, options, arguments):
  x = draw(precision, 3, 5, 8)
  found, expected = apply_both(x, options, **arguments)
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
    assert_close(one, other, precision)
  if options or arguments:
    plain, _ = apply_both(x, {})
    # The option was at work.
    assert jax.tree.structure(plain) != jax.tree.structure(found) or (
      options.get('precision') or np.abs(plain[0] - found[0]).max() > 1e-3
    )


def test_scores_are_not_rounded_to_bfloat16():
  # Scores of 256 and 257, which bfloat16 rounds to 256.
  query = jnp.full((1, 1, 1, 4), 16, jnp.bfloat16)
  key = jnp.full((1, 2, 1, 4), 8, jnp.bfloat16).at[0, 1, 0, :2].add(0.0625)
  value = jnp.array([0, 1], jnp.bfloat16).reshape(1, 2, 1, 1)
  found = attention.dot_product_attention(query, key, value)
  assert found.dtype == jnp.bfloat16
  np.testing.assert_allclose(found.item(), 1 / (1 + np.exp(-1)), rtol=1 / 256)
