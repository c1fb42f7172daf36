"""Losses of one sample; reducing over a batch is `train`'s business."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import optax


def cross_entropy(
  logits: Float[Array, '*batch class_'],
  labels: Int[Array, '*batch'],
  class_weights: Float[Array, ' class_'],
  label_smoothing: float = 0.0,
) -> Float[Array, '*batch']:
  """Weighted softmax cross-entropy, in nats.

  Args:
    logits: float [*batch, class].
    labels: int [*batch], class indices.
    class_weights: weight of a sample by its true class; 0 leaves it out.
    label_smoothing: share of the target spread evenly over all classes, 0..1.

  Returns:
    float [*batch], at least 0.
  """
  targets = optax.smooth_labels(
    jnp.eye(logits.shape[-1], dtype=logits.dtype)[labels], label_smoothing
  )
  losses = optax.softmax_cross_entropy(logits, targets)
  return losses * class_weights[labels]
