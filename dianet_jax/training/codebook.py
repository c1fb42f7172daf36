"""Discrete codes of vectors: the nearest of some k-means centres."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

Vectors = Float[Array, 'vector feature']
Codes = Float[Array, 'code feature']
# Iterations after which centres of a few thousand vectors hardly move. Ours.
_ITERATIONS = 20


def fit(
  vectors: Vectors,
  valid: Bool[Array, ' vector'],
  number: int,
  key: Key[Array, ''],
) -> Codes:
  """Centres of k-means (Lloyd's algorithm), which start as random vectors.

  The result depends on the valid vectors and the key alone. Usable within
  `jax.jit` and `jax.vmap`.

  >>> vectors = jnp.array([[0.0], [9.0], [1.0], [10.0], [99.0]])
  >>> valid = jnp.array([True, True, True, True, False])
  >>> sorted(fit(vectors, valid, 2, jax.random.key(0)).ravel().tolist())
  [0.5, 9.5]

  Args:
    vectors: to be represented by codes.
    valid: which of them count; at least `number`, of which some may be equal.
    number: of codes, at most that of the vectors.
    key: draws the vectors from which the centres start.

  Returns:
    One centre for each code; one that is nearest to no vector stays as it is.
  """
  rank = jnp.where(valid, jax.random.uniform(key, valid.shape), 1)
  codes = vectors[jnp.argsort(rank)[:number]]

  def improved(codes, _):
    own = jax.nn.one_hot(nearest(vectors, codes), number, dtype=vectors.dtype)
    own = jnp.where(valid[:, None], own, 0)
    counts = own.sum(axis=0)[:, None]
    means = own.T @ vectors / jnp.maximum(counts, 1)
    return jnp.where(counts > 0, means, codes), None

  return jax.lax.scan(improved, codes, length=_ITERATIONS)[0]


def nearest(vectors: Vectors, codes: Codes) -> Int[Array, ' vector']:
  """The code with the smallest distance to each vector.

  >>> nearest(jnp.array([[4.0], [6.0]]), jnp.array([[0.0], [9.0]])).tolist()
  [0, 1]
  """
  # Without the squares of the vectors, which are the same for all codes.
  return ((codes**2).sum(axis=1) / 2 - vectors @ codes.T).argmin(axis=1)
