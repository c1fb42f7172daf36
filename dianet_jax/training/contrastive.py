"""Contrastive losses between two phases of the same clips.

Row k of both arrays is clip k; all losses are means over clips, in nats.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Vectors = Float[Array, 'clip feature']
Queue = Float[Array, 'row feature']
# A score with zero probability after a softmax.
_NEVER = -1e9


def normalised(x: Float[Array, '... feature']) -> Float[Array, '... feature']:
  """Scales vectors to length 1; zero vectors stay zero."""
  squares = (x * x).sum(axis=-1, keepdims=True)
  return x / jnp.sqrt(jnp.where(squares > 0, squares, 1))


def _matching(
  scores: Float[Array, 'clip clip'], valid: Bool[Array, ' clip'] | None
) -> Float[Array, '']:
  """Mean cross-entropy of matching each row to its own clip."""
  if valid is None:
    valid = jnp.ones(len(scores), bool)
  logs = jax.nn.log_softmax(jnp.where(valid[None], scores, _NEVER))
  own = jnp.where(valid, jnp.diagonal(logs), 0)
  return -own.sum() / jnp.maximum(valid.sum(), 1)


def global_losses(
  first: Vectors,
  second: Vectors,
  valid: Bool[Array, ' clip'] | None = None,
  temperature: float = 0.1,
) -> tuple[Float[Array, ''], Float[Array, '']]:
  """Losses of matching the first to the second vectors, and vice versa.

  Args:
    first: one vector per clip, not normalised.
    second: one vector per clip, not normalised.
    valid: which clips are not padding; None for all.
    temperature: divisor of the cosine similarities.

  Returns:
    Both losses, each a mean over the valid clips, in nats.

  Source: GLoRIA, Huang et al., ICCV 2021, and its code; BioViL-T's global loss.
  """
  scores = normalised(first) @ normalised(second).T / temperature
  return _matching(scores, valid), _matching(scores.T, valid)


def word_attention(
  places: Float[Array, 'clip place feature'],
  words: Float[Array, 'text word feature'],
  sharpness: float = 4.0,
) -> Float[Array, 'clip text word place']:
  """Attention of each word of each text to the places of each clip's map.

  A softmax over the words, then a softmax over places, scaled by `sharpness`.

  Args:
    places: feature map of each clip.
    words: tokens of each text.
    sharpness: factor of the logits of the second softmax.

  Returns:
    Weights, 0..1, summing to 1 over places.
  """
  scores = jnp.einsum('cpf,twf->ctwp', places, words)
  return jax.nn.softmax(sharpness * jax.nn.softmax(scores, axis=2), axis=3)


def local_losses(
  places: Float[Array, 'clip place feature'],
  words: Float[Array, 'clip word feature'],
  valid: Bool[Array, ' clip'] | None = None,
  sharpness: tuple[float, float, float] = (4.0, 5.0, 10.0),
) -> tuple[Float[Array, ''], Float[Array, '']]:
  """Losses of matching each clip's map to its tokens, and vice versa.

  Their cost grows with the square of the batch size.

  Args:
    places: feature map of one phase.
    words: tokens of the other phase.
    valid: which clips are not padding; None for all.
    sharpness: scale of the attention, the words of a text, and the matching.

  Returns:
    Both losses, each a mean over the valid clips, in nats.

  Source: GLoRIA, Huang et al., ICCV 2021, and its code.
  """
  attention = word_attention(places, words, sharpness[0])
  found = jnp.einsum('ctwp,cpf->ctwf', attention, places)
  cosines = (normalised(found) * normalised(words)).sum(axis=-1)
  scores = jax.nn.logsumexp(sharpness[1] * cosines, axis=-1)
  scores = sharpness[2] * scores
  return _matching(scores, valid), _matching(scores.T, valid)


def queue_logits(
  queries: Vectors,
  keys: Vectors,
  queue: Queue,
  temperature: float = 0.07,
  own: Int[Array, ' clip'] | None = None,
  queued: Int[Array, ' row'] | None = None,
) -> Float[Array, 'clip one_and_row']:
  """Similarities to the clip's own key, then to the keys of a queue.

  Args:
    queries: of one phase, of length 1.
    keys: of the other phase of the same clips, of length 1.
    queue: keys of earlier clips, of length 1.
    temperature: divisor of the cosine similarities.
    own: index of each clip; rows of the queue of the same clip are masked.
    queued: index of the clip of each row; negative for an empty row.

  Returns:
    Cosine similarities divided by the temperature, own key first.
  """
  positive = (queries * keys).sum(axis=-1, keepdims=True)
  negative = queries @ queue.T
  if own is not None:
    assert queued is not None, 'own and queued are given together'
    unusable = (own[:, None] == queued) | (queued < 0)
    negative = jnp.where(unusable, _NEVER, negative)
  return jnp.concatenate([positive, negative], axis=-1) / temperature


def instance_loss(
  logits: Float[Array, 'clip one_and_row'],
  valid: Bool[Array, ' clip'] | None = None,
) -> Float[Array, '']:
  """Cross-entropy of classifying each clip's own key, which is the first.

  Args:
    logits: see `queue_logits`.
    valid: which clips are not padding; None for all.

  Returns:
    The mean over the valid clips, in nats.

  Source: COTS, Lu et al., arXiv 2204.07441; momentum contrast.
  """
  return _mean(-jax.nn.log_softmax(logits)[:, 0], valid)


def task_loss(
  logits: Float[Array, 'clip one_and_row'],
  other: Float[Array, 'clip one_and_row'],
  valid: Bool[Array, ' clip'] | None = None,
) -> Float[Array, '']:
  """KL divergence between both phases' distributions over the queue.

  Args:
    logits: of the first phase, see `queue_logits`.
    other: of the second, its queue's rows of the same clips.
    valid: which clips are not padding; None for all.

  Returns:
    The mean over the valid clips, in nats.

  Source: COTS, Lu et al., arXiv 2204.07441. The direction is ours: add both.
  """
  logs, others = jax.nn.log_softmax(logits), jax.nn.log_softmax(other)
  return _mean((jnp.exp(logs) * (logs - others)).sum(axis=-1), valid)


def _mean(
  losses: Float[Array, ' clip'], valid: Bool[Array, ' clip'] | None
) -> Float[Array, '']:
  if valid is None:
    return losses.mean()
  return jnp.where(valid, losses, 0).sum() / jnp.maximum(valid.sum(), 1)
