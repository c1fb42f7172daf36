"""Retention, and the networks that are made of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.models.registry import MODELS
from dianet_jax.models.zoo import retention
from tests.models.zoo import small

pytestmark = pytest.mark.usefixtures('plain_layers')


def test_retention_fades_with_the_distance():
  x = jnp.zeros((1, 1, 6, 4)).at[0, 0, 0].set(1.0)
  module = retention.Retention(1, whole=True, spread=4)
  variables = module.init(jax.random.key(0), x)
  params = variables['params']
  params['query']['kernel'] *= 0
  params['local']['kernel'] *= 0
  params['value']['kernel'] = params['out']['kernel'] = jnp.eye(4)
  found = np.asarray(module.apply({'params': params}, x))[0, 0, :, 0]
  assert (np.diff(found) < 0).all()


@pytest.mark.slow
def test_only_the_first_phase_of_gamdss_predicts():
  model, variables, inputs = small.initialised('gamdss')
  outputs = small.apply(model, variables, inputs)
  assert outputs.logits.shape == (2, 1, 3)
  assert outputs.auxiliary['logits'].shape == (2, 1, 3)
  both, *_ = small.initialised('gamdss', predicts='both')
  found = small.apply(both, variables, inputs)
  assert found.auxiliary['logits'].shape == (2, 0, 3)
  heads = jnp.concatenate([outputs.logits, outputs.auxiliary['logits']], axis=1)
  np.testing.assert_allclose(
    found.logits, heads.mean(axis=1, keepdims=True), atol=1e-5
  )
  trained, _ = both.apply(
    variables, inputs, None, True, mutable=['batch_stats']
  )
  assert trained.logits.shape == (2, 2, 3)


@pytest.mark.slow
def test_both_phases_of_tsfmicro():
  # It has the parameters and the frames of GAMDSS.
  _, variables, inputs = small.initialised('gamdss')
  [frames] = inputs.values()
  settings = small.make('tsfmicro')[0].settings
  two, one = (
    MODELS['tsfmicro'](3, dataclasses.replace(settings, two_phases=choice))
    for choice in (True, False)
  )

  def logits(model, images):
    return small.logits(model, variables, {'images': images})

  # Apex minus onset with the onset's face, apex minus offset with the offset's.
  onset, apex, offset = (frames[:, view] for view in range(3))
  alone = [
    logits(one, jnp.stack([apex - face, face], axis=1))
    for face in (onset, offset)
  ]
  np.testing.assert_allclose(
    logits(two, frames), np.mean(alone, axis=0), atol=1e-5
  )
  assert np.abs(alone[0] - alone[1]).max() > 1e-4
