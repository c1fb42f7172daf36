"""Losses between the phases of a clip, beside cross-entropy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.core import errors
from dianet_jax.models.registry import Outputs
from dianet_jax.training import contrastive, phase_contrast
from dianet_jax.training.objectives import CrossEntropy
from tests.training.distillation_test import batch


@pytest.fixture
def outputs():
  tokens = jax.random.normal(jax.random.key(0), (4, 2, 5, 3))
  logits = jax.random.normal(jax.random.key(1), (4, 1, 3))
  return Outputs(logits, {'tokens': tokens})


@pytest.mark.slow
@pytest.mark.parametrize('local', [True, False])
def test_it_is_the_sum_of_its_losses(outputs, batch, local):
  settings = phase_contrast.Settings(weight=0.5, local=local)
  found, _ = phase_contrast.PhaseContrast(settings)(outputs, batch, ())
  expected, _ = CrossEntropy(settings)(outputs, batch, ())
  first, second = outputs.auxiliary['tokens'][:3].swapaxes(0, 1)
  parts = contrastive.global_losses(first.mean(axis=1), second.mean(axis=1))
  if local:
    parts += contrastive.local_losses(first, second)
  np.testing.assert_allclose(found, expected + 0.5 * sum(parts), rtol=1e-5)


def test_padding_counts_nothing(outputs, batch):
  objective = phase_contrast.PhaseContrast()
  spoiled = outputs.replace(
    auxiliary={'tokens': outputs.auxiliary['tokens'].at[3].set(jnp.inf)}
  )
  loss = objective(outputs, batch, ())[0]
  assert objective(spoiled, batch, ())[0] == loss
  gradient = jax.grad(lambda o: objective(o, batch, ())[0])(outputs)
  found = jnp.abs(gradient.auxiliary['tokens']).max(axis=(1, 2, 3))
  assert found[3] == 0 and (found[:3] > 0).all()


def test_two_phases_are_needed(outputs):
  objective = phase_contrast.PhaseContrast()
  assert objective.init({}, outputs, jax.random.key(0)) == ()
  one = outputs.replace(
    auxiliary={'tokens': outputs.auxiliary['tokens'][:, :1]}
  )
  with pytest.raises(errors.UserError, match='two phases.*has 1'):
    objective.init({}, one, jax.random.key(0))
  with pytest.raises(errors.UserError, match='phase_contrast.*tokens'):
    objective.init({}, Outputs(outputs.logits), jax.random.key(0))
