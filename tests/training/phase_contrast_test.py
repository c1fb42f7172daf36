"""Losses between the phases of a clip, beside cross-entropy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.core import errors
from dianet_jax.models.registry import Outputs
from dianet_jax.training import contrastive, phase_contrast
from dianet_jax.training.objectives import CrossEntropy
from tests.models.zoo import small
from tests.training import distillation_test


@pytest.fixture
def outputs():
  tokens = jax.random.normal(jax.random.key(0), (4, 2, 5, 3))
  logits = jax.random.normal(jax.random.key(1), (4, 1, 3))
  projections = jax.random.normal(jax.random.key(2), (4, 2, 6))
  return Outputs(logits, {'tokens': tokens, 'projections': projections})


plain = distillation_test.batch


@pytest.fixture
def batch(plain):
  return plain.replace(inputs={'any': jnp.ones((4, 2, 3, 3, 1))})


@pytest.mark.slow
@pytest.mark.parametrize('local', [True, False])
def test_it_is_the_sum_of_its_losses(outputs, batch, local):
  settings = phase_contrast.Settings(weight=0.5, local=local)
  found, _ = phase_contrast.PhaseContrast(settings)(outputs, batch, ())
  expected, _ = CrossEntropy(settings)(outputs, batch, ())
  first, second = outputs.auxiliary['projections'][:3].swapaxes(0, 1)
  total = sum(contrastive.global_losses(first, second)) / 2
  if local:
    first, second = outputs.auxiliary['tokens'][:3].swapaxes(0, 1)
    total += sum(contrastive.local_losses(first, second))
  np.testing.assert_allclose(found, expected + 0.5 * total, rtol=1e-5)


def _spoiled(outputs, clip):
  spoiled = {k: v.at[clip].set(jnp.inf) for k, v in outputs.auxiliary.items()}
  return outputs.replace(auxiliary=spoiled)


def _reached(batch, outputs):
  """Clips whose tokens and whose projections have a gradient."""
  objective = phase_contrast.PhaseContrast()
  found = jax.grad(lambda o: objective(o, batch, ())[0])(outputs).auxiliary
  return [
    (jnp.abs(leaf).reshape(4, -1).max(axis=1) > 0).tolist()
    for leaf in (found['tokens'], found['projections'])
  ]


def test_padding_counts_nothing(outputs, batch):
  objective = phase_contrast.PhaseContrast()
  loss = objective(outputs, batch, ())[0]
  assert objective(_spoiled(outputs, 3), batch, ())[0] == loss
  assert _reached(batch, outputs) == [[True, True, True, False]] * 2


def test_a_clip_that_lacks_a_phase_has_nothing_to_compare(outputs, batch):
  lacking = batch.inputs['any'].at[1, 0].set(0)
  batch = batch.replace(inputs={'any': lacking})
  assert _reached(batch, outputs) == [[True, False, True, False]] * 2


@pytest.mark.parametrize('shared', [True, False])
def test_projections_of_a_model(shared):
  model, _ = small.make('biovilt', projection_width=6, share_backbone=shared)
  inputs, _ = small.planted('biovilt', 4)
  variables = small.variables_of(model, inputs)
  assert ('projector' in variables['params']) == shared
  assert ('projector_1' in variables['params']) != shared
  outputs = small.jit(model.apply)(variables, inputs)
  assert outputs.auxiliary['projections'].shape == (4, 2, 6)
  # Those of each phase are of its own image.
  [images] = inputs.values()
  moved = {'dynamic_images': jnp.asarray(images).at[:, 1].multiply(-1)}
  other = small.jit(model.apply)(variables, moved)
  change = jnp.abs(
    outputs.auxiliary['projections'] - other.auxiliary['projections']
  ).max(axis=(0, 2))
  assert change[0] == 0 and change[1] > 1e-3


def test_two_phases_are_needed(outputs):
  objective = phase_contrast.PhaseContrast()
  assert objective.init({}, outputs, jax.random.key(0)) == ()
  one = outputs.replace(
    auxiliary={name: x[:, :1] for name, x in outputs.auxiliary.items()}
  )
  with pytest.raises(errors.UserError, match='two views.*has 1'):
    objective.init({}, one, jax.random.key(0))
  with pytest.raises(errors.UserError, match='phase_contrast.*tokens'):
    objective.init({}, Outputs(outputs.logits), jax.random.key(0))
  unprojected = {'tokens': outputs.auxiliary['tokens']}
  with pytest.raises(errors.UserError, match='projection_width=0.*Set 128'):
    objective.init(
      {}, outputs.replace(auxiliary=unprojected), jax.random.key(0)
    )
