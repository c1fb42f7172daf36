"""Losses and descriptors, as `benchmarks.parity` runs its fixtures."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.parity_apply import first, tokens
from dianet_jax.training import contrastive, distillation, objectives


def run_contrastive(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  phase = float(key.removeprefix('outputs_p'))

  def draw(shape, offset):
    index = np.arange(np.prod(shape))
    values = np.sin(phase + offset + (index * index) % 1009)
    return jnp.asarray(values.reshape(shape))

  places = tokens(draw((3, 8, 3, 3), 0))
  words = draw((3, 8, 4), 0.5).swapaxes(1, 2)
  to_text, to_image = contrastive.global_losses(
    draw((3, 8), 1), draw((3, 8), 1.5)
  )
  local = contrastive.local_losses(places, words)
  q_a, q_b, k_a, k_b = (
    contrastive.normalised(draw((3, 8), offset)) for offset in (2, 2.5, 3, 3.5)
  )
  queue_a, queue_b = (
    contrastive.normalised(draw((5, 8), offset)) for offset in (4, 4.5)
  )
  a = contrastive.queue_logits(q_a, k_b, queue_b)
  b = contrastive.queue_logits(q_b, k_a, queue_a)
  values = (
    to_text,
    to_image,
    *local,
    contrastive.word_attention(places, words)[0, 0, 0],
    contrastive.instance_loss(a),
    contrastive.instance_loss(b),
    contrastive.task_loss(a, b),
    contrastive.task_loss(b, a),
  )
  return dict(zip(fixture[key], values, strict=True))


def skd_batch(fixture: Mapping[str, Any]) -> tuple[Any, objectives.Batch]:
  """Outputs and batch of the fixture of self-distillation."""
  described = fixture['inputs']
  i, wide = np.arange(20), np.arange(4 * 384)
  logits = 4 * np.stack(
    [np.sin(0.37 * i), np.cos(0.31 * i), np.sin(0.53 * i + 1)]
  ).reshape(3, 4, 5)
  features = np.maximum(
    0,
    np.stack(
      [np.sin(0.017 * wide), np.cos(0.029 * wide), np.sin(0.041 * wide + 2)]
    ),
  ).reshape(3, 4, 384)
  labels = jnp.asarray(described['labels'])
  weights = 1 / np.array(described['class_counts'])
  batch = objectives.Batch(
    inputs={},
    labels=labels,
    partner_labels=labels,
    own_weight=jnp.ones(4),
    valid=jnp.ones(4, bool),
    clips=jnp.arange(4),
    class_weights=jnp.asarray(weights / weights.sum()),
    variables={},
    key=jax.random.key(0),
    apply=None,
  )
  outputs = objectives.Outputs(
    jnp.asarray(logits[0])[:, None],
    {
      'logits': jnp.asarray(logits[1:]).swapaxes(0, 1),
      'features': jnp.asarray(features[0]),
      'head_features': jnp.asarray(features[1:]).swapaxes(0, 1),
    },
  )
  return outputs, batch


def run_skd_losses(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  outputs, batch = skd_batch(fixture)
  objective = distillation.SelfDistillation()
  gamma = objective.settings.focal_gamma
  temperature = objective.settings.temperature
  y, features = outputs.logits[:, 0], outputs.auxiliary['features']
  found = {
    'class_weights': batch.class_weights,
    'focal_main': distillation.focal(y, batch, gamma),
    'focal_main_unweighted': distillation.focal(
      y, batch.replace(class_weights=jnp.ones(5)), gamma
    ),
    'total': objective(outputs, batch, ())[0],
  }
  for branch in range(2):
    name = f'AC{branch + 1}'
    a = outputs.auxiliary['logits'][:, branch]
    learnt = outputs.auxiliary['head_features'][:, branch]
    found |= {
      f'focal_{name}': distillation.focal(a, batch, gamma),
      f'kd_{name} (times T^2)': temperature**2
      * distillation.divergence(y, a, batch, temperature),
      f'feature_{name}': distillation.distance(features, learnt, batch),
    }
  return found


def run_mm_cof(fixture, inputs, entries, key):
  """See `parity_apply.System.run`."""
  from dianet_jax.motion import mm_cof

  shape = fixture['inputs']['flow']['shape']
  flow = 0.5 * np.sin(0.017 * np.arange(np.prod(shape))).reshape(shape)
  flow = jnp.asarray(np.moveaxis(flow, 1, -1))
  magnitude = jnp.sqrt((flow**2).sum(axis=-1))
  low = magnitude.min(axis=(1, 2), keepdims=True)
  high = magnitude.max(axis=(1, 2), keepdims=True)
  scaled = (magnitude - low) / (high - low)
  combined = scaled.mean(axis=0)
  direction, modulated = mm_cof.combine(flow, magnitude)
  length = modulated[..., None]
  vector = jnp.concatenate([direction * length, length], axis=-1)
  return {
    'normalised_magnitude_1': scaled[0],
    'normalised_magnitude_2': scaled[1],
    'combined': combined,
    'threshold': combined.mean(),
    'modulated': modulated,
    'descriptor_vector (3,6,6)': first(vector),
  }
