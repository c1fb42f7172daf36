"""Clips are explained by the networks that never saw their subject."""

import types

import numpy as np
import pytest

from dianet_jax.evaluation import report
from dianet_jax.experiments import explained

SUBJECTS = ['a', 'a', 'b', 'c', 'b']


def result(seed, subject):
  index = np.flatnonzero(np.array(SUBJECTS) == subject)
  return types.SimpleNamespace(seed=seed, subject=subject, test_index=index)


@pytest.mark.parametrize('ensemble', [1, 2])
def test_by_all_networks_of_the_first_seed_that_held_it_out(
  monkeypatch, ensemble
):
  made = []

  def network(seed, subject):
    kind = 'gated' if subject == 'c' else 'concat'
    return types.SimpleNamespace(
      config=kind, dtype='float32', variables=(seed, subject)
    )

  def explainer_of(first, dataset):
    made.append(first.config)
    return lambda members, inputs, class_: (
      first.config, members, float(inputs['x']), class_
    )  # fmt: skip

  monkeypatch.setattr(
    explained.trained_lib,
    'open_run',
    lambda _: types.SimpleNamespace(network=network),
  )
  monkeypatch.setattr(explained, '_explainer', explainer_of)
  seeds = range(2 * ensemble, 4 * ensemble)
  results = [result(seed, subject) for seed in seeds for subject in 'abc']
  predictions = np.array([[0, 1, 2, 1, 0], [2, 2, 2, 2, 2]])
  pooled = report.Pooled((2, 3), np.eye(3)[predictions], predictions)
  dataset = types.SimpleNamespace(inputs={'x': np.arange(10).reshape(2, 5)})
  found = explained.explain(
    'workdir', dataset, results, pooled, ensemble, [1, 2, 3]
  )
  assert sorted(found) == [1, 2, 3]
  for clip, (kind, members, value, class_) in found.items():
    subject = SUBJECTS[clip]
    expected = [(2 * ensemble + n, subject) for n in range(ensemble)]
    assert members == expected
    assert kind == ('gated' if subject == 'c' else 'concat')
    # Of the variant that predicts, and for what was predicted.
    assert value == clip and class_ == predictions[0, clip]
  # Networks of one kind share what is compiled.
  assert made == ['concat', 'gated']
