"""Objectives of several heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dianet_jax.core import errors
from dianet_jax.models.registry import Outputs
from dianet_jax.training import distillation
from dianet_jax.training.objectives import Batch, CrossEntropy


def _draw(*shape):
  return jax.random.normal(jax.random.key(len(shape)), shape)


@pytest.fixture
def outputs():
  return Outputs(
    _draw(4, 1, 3),
    {
      'logits': _draw(4, 2, 3),
      'features': _draw(4, 5),
      'head_features': jnp.abs(_draw(4, 2, 5)) + 1,
    },
  )


@pytest.fixture
def batch():
  labels = jnp.array([0, 2, 1, 0])
  return Batch(
    inputs={},
    labels=labels,
    partner_labels=labels,
    own_weight=jnp.ones(4),
    valid=jnp.array([True, True, True, False]),
    clips=jnp.arange(4),
    class_weights=jnp.array([1.0, 2.0, 0.5]),
    variables={},
    key=jax.random.key(0),
    apply=None,
  )


def _spoiled(tree):
  return jax.tree.map(lambda leaf: leaf.at[3].multiply(9.0), tree)


def _part(tree):
  return jax.tree.map(lambda leaf: leaf[:3], tree)


@pytest.mark.slow
@pytest.mark.parametrize(
  'objective', [distillation.AuxiliaryHeads(), distillation.SelfDistillation()]
)
def test_padding_counts_nothing(objective, outputs, batch):
  loss, state = objective(outputs, batch, ())
  assert state == () and np.isfinite(loss)
  assert objective(_spoiled(outputs), batch, ())[0] == loss
  short = batch.replace(
    labels=batch.labels[:3],
    partner_labels=batch.labels[:3],
    own_weight=jnp.ones(3),
    valid=jnp.ones(3, bool),
    clips=batch.clips[:3],
  )
  alone, _ = objective(_part(outputs), short, ())
  np.testing.assert_allclose(loss, alone, rtol=1e-5)
  gradient = jax.grad(lambda o: objective(o, batch, ())[0])(outputs)
  assert jnp.abs(gradient.logits[3]).max() == 0
  assert jnp.abs(gradient.logits[:3]).max() > 0


def test_auxiliary_heads_are_added(outputs, batch):
  settings = distillation.AuxiliaryHeadsSettings(weight=0.5)
  found, _ = distillation.AuxiliaryHeads(settings)(outputs, batch, ())
  heads = outputs.auxiliary['logits']
  entropy = CrossEntropy(settings)
  parts = [
    entropy(Outputs(logits), batch, ())[0]
    for logits in (outputs.logits, heads[:, :1], heads[:, 1:])
  ]
  expected = parts[0] + 0.5 * (parts[1] + parts[2])
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_network_does_not_learn_from_its_branches(outputs, batch):
  """The network is the teacher and gets no gradient from distillation."""
  settings = distillation.SelfDistillationSettings(beta=1.0)
  objective = distillation.SelfDistillation(settings)
  gradient = jax.grad(lambda o: objective(o, batch, ())[0])(outputs)
  assert jnp.abs(gradient.auxiliary['features']).max() == 0
  assert jnp.abs(gradient.auxiliary['head_features'][:3]).max() > 0
  own = jax.grad(lambda y: distillation.focal(y, batch, settings.focal_gamma))(
    outputs.logits[:, 0]
  )
  np.testing.assert_allclose(gradient.logits[:, 0], own, atol=1e-6)


def test_a_student_that_agrees_has_nothing_to_learn(outputs, batch):
  y, features = outputs.logits[:, 0], outputs.auxiliary['features']
  assert distillation.divergence(y, y, batch, 3.0) == pytest.approx(0, abs=1e-6)
  assert distillation.distance(features, features, batch) == 0
  assert distillation.divergence(y, -y, batch, 3.0) > 0.01


def test_features_that_are_negative_in_both_do_not_count(batch):
  teacher, student = jnp.array([[-1.0, -1.0]] * 4), jnp.array([[-3.0, 1.0]] * 4)
  assert distillation.distance(teacher, student, batch) == 3 * 4


def test_blended_labels_are_blended(outputs, batch):
  y = outputs.logits[:, 0]
  other = jnp.array([1, 1, 1, 1])
  plain = batch.replace(class_weights=jnp.ones(3))
  mixed = plain.replace(partner_labels=other, own_weight=jnp.full(4, 0.75))
  parts = [
    distillation.focal(
      y, plain.replace(labels=labels, partner_labels=labels), 2.0
    )
    for labels in (batch.labels, other)
  ]
  np.testing.assert_allclose(
    distillation.focal(y, mixed, 2.0),
    0.75 * parts[0] + 0.25 * parts[1],
    rtol=1e-5,
  )


@pytest.mark.parametrize(
  'objective', [distillation.AuxiliaryHeads(), distillation.SelfDistillation()]
)
def test_a_model_without_heads_is_refused(objective):
  with pytest.raises(errors.UserError, match=objective.settings.name):
    objective.init({}, Outputs(_draw(4, 1, 3)), jax.random.key(0))
