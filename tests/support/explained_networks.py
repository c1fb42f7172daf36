"""Explainers of small networks."""

import jax

from dianet_jax.core import config
from dianet_jax.explanation import explainer
from dianet_jax.motion import registry as motion
from dianet_jax.motion.registry import Channel
from tests.models.zoo import small


def of_model(model, read, shape):
  """The explainer of a model whose inputs are scaled already."""
  channels = tuple(Channel(f'c{n}', '') for n in range(shape[-1]))
  if read == 'skd_tstsan':
    # Its channels show blocks of the face.
    channels = motion.REPRESENTATIONS[read].channels(config.Data())
  predict = small.jit(
    lambda variables, inputs: jax.nn.softmax(
      model.apply(variables, inputs).logits
    ).mean(axis=1)
  )
  return explainer.Explainer(
    model,
    model.apply,
    lambda members, inputs: (
      sum(predict(m, inputs) for m in members) / len(members)
    ),
    {read: read},
    {read: channels},
  )
