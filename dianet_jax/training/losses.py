"""Losses of one sample; reducing over a batch is `train`'s business."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import optax


def classification(
  logits: Float[Array, '*batch class_'],
  labels: Int[Array, '*batch'],
  class_weights: Float[Array, ' class_'],
  label_smoothing: float = 0.0,
  focal_gamma: float = 0.0,
) -> Float[Array, '*batch']:
  """Weighted softmax cross-entropy or focal loss, in nats.

  With targets t and probabilities p of the classes c, the loss of a sample is

      w sum_c -t_c (1 - p_c)^gamma log p_c.

  Args:
    logits: float [*batch, class].
    labels: int [*batch], class indices.
    class_weights: weight w of a sample by its true class; 0 leaves it out.
    label_smoothing: share of the target spread evenly over all classes, 0..1.
    focal_gamma: at least 0; 0 is cross-entropy.

  Returns:
    float [*batch], at least 0.

  Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq.
  4. There targets are one class; the sum over smoothed targets is ours.
  """
  targets = optax.smooth_labels(
    jnp.eye(logits.shape[-1], dtype=logits.dtype)[labels], label_smoothing
  )
  if focal_gamma:
    log_shares = jax.nn.log_softmax(logits)
    # 1 - p as exp(log(1 - p)): the power of an exact 0 has no gradient.
    others = jnp.log1p(-jnp.minimum(jnp.exp(log_shares), 1 - 1e-6))
    losses = -(targets * jnp.exp(focal_gamma * others) * log_shares).sum(-1)
  else:
    losses = optax.softmax_cross_entropy(logits, targets)
  return losses * class_weights[labels]
